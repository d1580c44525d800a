"""A cluster of real processes that a test starts, kills, freezes and starts again: gateway, storage nodes, rebalancer."""

import atexit
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

TIMERS = {"heartbeat": 500, "offline": 3000, "quarantine": 1500, "drain": 60_000, "remove": 600_000}
KEY, SECRET, TOKEN = "CYXROOTKEY", "cluster-test-secret", "cluster-test-join-token"


# Below the ports that connections go out from: one of those may take a port while the process that is to listen there begins or begins again.
PORTS = range(10_000, 32_000)
given_ports = set()


def free_port():
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in given_ports:
            given_ports.add(port)
            return port


class Process:
    """One executable that can be killed and started again with the same arguments."""

    def __init__(self, name, command, env, log, prefix=()):
        self.name, self.command, self.env, self.log, self.prefix = name, [*prefix, *command], env, log, prefix
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            # None of them outlives a test that is killed.
            env = {**os.environ, **self.env, "CYX_END_WITH_PARENT": "1"}
            self.process = subprocess.Popen(self.command, env=env, stdout=subprocess.PIPE, stderr=log)
        atexit.register(self.process.kill)

    def ready(self):
        """Waits for the line of JSON that says that it serves."""
        line = self.process.stdout.readline()
        if not line:
            tail = Path(self.log).read_text()[-2000:]
            raise SystemExit(f"{self.name} ended with {self.process.wait()}: {tail}")
        return json.loads(line)

    def kill(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        self.process.wait(timeout=30)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)


class Cluster:
    """`nodes` nodes on loopback ports. Heartbeats and timers are short, so that tests need not wait."""

    def __init__(self, binaries, nodes=14, timers=None, rebalancer=True, gateway_flags=(), rebalancer_flags=(), other_gateways=(), node_env=None, near="127.0.0.1", far="127.0.0.1",
                 far_prefix=(), cidr="127.0.0.0/8"):
        """Nodes serve at the address `far`, started with `far_prefix`, everybody else at `near`."""
        self.far, self.far_prefix, self.cidr = far, far_prefix, cidr
        self.binaries = Path(binaries).resolve().parent
        self.directory = Path(tempfile.mkdtemp(prefix="cluster-", dir=self.binaries))
        # Of a test that fails only the logs are left.
        atexit.register(self.forget_data)
        self.timers = {**TIMERS, **(timers or {})}
        http, grpc = free_port(), free_port()
        self.endpoint, self.grpc = f"http://{near}:{http}", f"{near}:{grpc}"
        self.gateway_addresses = ",".join([self.grpc, *other_gateways])
        self.secrets = {"CYX_ROOT_ACCESS_KEY": KEY, "CYX_ROOT_SECRET_KEY": SECRET, "CYX_JOIN_TOKEN": TOKEN}
        data = self.directory / "gateway"
        lifecycle = [f"--heartbeat-ms={self.timers['heartbeat']}", f"--offline-after-ms={self.timers['offline']}",
                     f"--quarantine-ms={self.timers['quarantine']}", f"--drain-after-ms={self.timers['drain']}",
                     f"--remove-after-ms={self.timers['remove']}"]
        repair = ["--repair-interval-ms=1000", "--balance-interval-ms=0", "--scrub-interval-ms=0"]
        common = [f"--allow-node-cidr={cidr}", *lifecycle, *repair]
        self.gateway = self.process("gateway", "cyxcloud-gateway", self.secrets, [
            "--json", f"--http-addr={near}:{http}", f"--grpc-addr={self.grpc}", f"--data-dir={data}", "--node-reserve-bytes=0",
            f"--repair={'false' if rebalancer else 'true'}", "--gc-grace-ms=2000", "--gc-interval-ms=1000", *common, *gateway_flags])
        self.nodes = [self.node(number, node_env or {}) for number in range(nodes)]
        self.rebalancer = None
        if rebalancer:
            self.rebalancer = self.process("rebalancer", "cyxcloud-rebalancer", {}, [
                f"--data-dir={data}", f"--http-addr={near}:{(port := free_port())}", *common, *rebalancer_flags])
            self.rebalancer.metrics = f"http://{near}:{port}"
        self.start()

    def process(self, name, binary, env, flags, prefix=()):
        return Process(name, [str(self.binaries / binary), *flags], env, self.directory / f"{name}.log", prefix)

    def node(self, number, env):
        name = f"node-{number:02}"
        port, metrics = free_port(), free_port()
        env = {"NODE_ID": f"{number + 1:032x}", "NODE_NAME": name, "GRPC_HOST": self.far, "GRPC_PORT": str(port), "METRICS_PORT": str(metrics),
               "STORAGE_PATH": str(self.directory / name), "STORAGE_CAPACITY_GB": "20", "CENTRAL_SERVER_ADDR": self.gateway_addresses,
               "CYX_JOIN_TOKEN": TOKEN, **env}
        node = self.process(name, "cyxcloud-node", env, [
            "--json", f"--advertise-addr={self.far}:{port}", f"--allow-node-cidr={self.cidr}",
            f"--heartbeat-interval-ms={self.timers['heartbeat']}"], self.far_prefix)
        node.metrics = f"http://{self.far}:{metrics}"
        node.storage = self.directory / name
        return node

    def wipe(self, node):
        """Takes a node that is down everything but who it is, as a new disk does; how many bytes that was."""
        size = 0
        for store in ("files", "segment"):
            size += sum(path.stat().st_blocks * 512 for path in (node.storage / store).rglob("*") if path.is_file())
            shutil.rmtree(node.storage / store, ignore_errors=True)
        return size

    def start(self):
        self.gateway.start()
        self.gateway.ready()
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.ready()
        self.wait(lambda: self.health()["nodes_reachable"] == len(self.nodes), "all nodes registered")
        if self.rebalancer:
            self.rebalancer.start()
            self.wait(lambda: urllib.request.urlopen(self.rebalancer.metrics + "/health", timeout=5), "the rebalancer serves")

    def wait(self, holds, what, seconds=120):
        """Waits until `holds()`; how long that took. A cluster in trouble may fail to answer meanwhile."""
        begun = time.monotonic()
        why = None
        while time.monotonic() < begun + seconds:
            try:
                if holds():
                    return time.monotonic() - begun
            except Exception as error:  # whatever the reason, it is asked again
                why = error
            time.sleep(0.1)
        raise SystemExit(f"FAIL  {what}: not within {seconds} s ({why}); {self.health()}")

    def s3(self, **config):
        settings = Config(retries={"total_max_attempts": 1, "mode": "standard"}, max_pool_connections=64, read_timeout=60, **config)
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", config=settings, aws_access_key_id=KEY,
                            aws_secret_access_key=SECRET)

    def health(self):
        with urllib.request.urlopen(self.endpoint + "/health/cluster", timeout=30) as answer:
            return json.load(answer)

    def healthy(self):
        """Every node is there, and every shard is where it should be."""
        health = self.health()
        whole = health["status"] == "healthy" and health["shards_missing"] == 0
        return whole and all(node["state"] == "online" and node["reachable"] for node in health["nodes"])

    def healthy_but_lost(self):
        """The same, but for chunks of which too few shards are left."""
        health = self.health()
        busy = {name: count for name, count in health["chunks"].items() if name in ("at_risk", "urgent") and count}
        degraded = health["chunks"]["degraded"] - health["chunks"].get("lost", 0)
        return not busy and degraded == 0 and all(node["state"] == "online" and node["reachable"] for node in health["nodes"])

    def repaired(self):
        """Bytes that this run of the rebalancer has read and written for repair."""
        return [int(self.metric(self.rebalancer.metrics, f"cyxcloud_repair_bytes_{way}_total")) for way in ("read", "written")]

    def metric(self, url, name):
        """The sum of a counter over its labels."""
        with urllib.request.urlopen(url + "/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def cyxcloud(self, *args):
        """The command line of a direct client."""
        env = {**os.environ, "CYX_GATEWAY": self.grpc, "CYX_ACCESS_KEY_ID": KEY, "CYX_SECRET_ACCESS_KEY": SECRET}
        done = subprocess.run([str(self.binaries / "cyxcloud"), *args], env=env, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def processes(self):
        return [self.gateway, *self.nodes, *([self.rebalancer] if self.rebalancer else [])]

    def forget_data(self):
        for path in self.directory.glob("*/"):
            shutil.rmtree(path, ignore_errors=True)

    def close(self):
        for process in self.processes():
            process.thaw()
            process.process.kill()
            process.process.wait()
        shutil.rmtree(self.directory)
