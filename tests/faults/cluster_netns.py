"""Nodes behind a network that loses packets: uploads, downloads and repair still finish, and every byte is right.

Two network namespaces joined by a veth pair; each end drops a part of what arrives. Needs root, `ip` and `nft`; without them it says so and is
skipped, or fails with CYX_REQUIRE_NETNS=1.
"""

import atexit
import ctypes
import os
import re
import shutil
import subprocess
import sys
import time

from cluster import Cluster
from dev import arguments, body, check

BUCKET = "lossy"
NEAR, FAR, CIDR = "10.213.7.1", "10.213.7.2", "10.213.7.0/24"
LOSS_PERCENT = 3
OBJECTS = [1_000_000] * 10 + [9_000_000] * 4 + [64 << 20]
DIRECT = 64 << 20


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Network:
    """This process and what it starts are in `near`; `far` is entered with a prefix."""

    def __init__(self):
        self.near, self.far = "cyx-lossy-near", "cyx-lossy-far"
        # What a run that was killed left.
        self.remove()
        atexit.register(self.remove)
        for namespace in (self.near, self.far):
            run("ip", "netns", "add", namespace)
            self.inside(namespace, "ip", "link", "set", "lo", "up")
        self.inside(self.near, "ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns", self.far)
        for namespace, address in ((self.near, NEAR), (self.far, FAR)):
            # Packets of one segment, as a wire has them: a lost one is not 64 KiB at once.
            self.inside(namespace, "ip", "link", "set", "veth0", "gso_max_segs", "1")
            self.inside(namespace, "ip", "address", "add", f"{address}/24", "dev", "veth0")
            self.inside(namespace, "ip", "link", "set", "veth0", "up")
        self.far_prefix = ["ip", "netns", "exec", self.far]

    @staticmethod
    def inside(namespace, *command):
        return run("ip", "netns", "exec", namespace, *command)

    def remove(self):
        for namespace in (self.near, self.far):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True)

    def enter(self):
        """Takes this process to `near`; before it has threads."""
        with open(f"/run/netns/{self.near}") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
                raise OSError(ctypes.get_errno(), "setns")

    def lose(self, percent):
        for namespace in (self.near, self.far):
            self.inside(namespace, "nft", f"""
                table inet lossy {{
                    chain arrives {{
                        type filter hook input priority 0;
                        iifname veth0 counter
                        iifname veth0 numgen random mod 100 < {percent} counter drop
                    }}
                }}""")

    def lost(self):
        """Packets that arrived and those of them that were dropped, in both directions."""
        counted = [re.findall(r"counter packets (\d+)", self.inside(namespace, "nft", "list", "ruleset")) for namespace in (self.near, self.far)]
        return [sum(int(counts[which]) for counts in counted) for which in (0, 1)]


def missing():
    """Why this cannot run here, or None."""
    if os.geteuid() != 0:
        return "it needs root"
    absent = [tool for tool in ("ip", "nft") if not shutil.which(tool)]
    return f"{' and '.join(absent)} not found (Debian: apt-get install iproute2 nftables)" if absent else None


class Load:
    def __init__(self, args, cluster):
        self.seed, self.cluster, self.s3 = args.seed, cluster, cluster.s3()
        self.s3.create_bucket(Bucket=BUCKET)
        self.objects = {}

    def timed(self, phase, what, size, call):
        begun = time.monotonic()
        call()
        took = time.monotonic() - begun
        print(f"    {phase}: {what}, {size / 1e6:.0f} MB: {took:.2f} s, {size / 1e6 / took:.0f} MB/s", flush=True)

    def through_s3(self, phase):
        objects = {f"{phase}/{n}": (f"{self.seed} {phase} {n}", size) for n, size in enumerate(OBJECTS)}
        bodies = {key: body(*what) for key, what in objects.items()}
        self.objects.update(objects)

        def put():
            for key, whole in bodies.items():
                self.s3.put_object(Bucket=BUCKET, Key=key, Body=whole)

        def get():
            for key, whole in bodies.items():
                if self.get(key) != whole:
                    check(False, f"{phase}: wrong bytes of {key}")

        self.timed(phase, "S3 uploads", sum(OBJECTS), put)
        self.timed(phase, "S3 downloads", sum(OBJECTS), get)
        check(True, f"{phase}: {len(OBJECTS)} S3 uploads and downloads finished, byte-identical")

    def direct(self, phase):
        key, what = f"{phase}/direct", (f"{self.seed} {phase} direct", DIRECT)
        source, back = self.cluster.directory / "source", self.cluster.directory / "back"
        source.write_bytes(body(*what))

        def command(*words):
            try:
                self.cluster.cyxcloud(*words)
            except RuntimeError as error:
                check(False, f"{phase}: {words[0]} --direct: {error}")

        self.timed(phase, "upload --direct", DIRECT, lambda: command("upload", "--direct", str(source), f"{BUCKET}/{key}"))
        self.objects[key] = what
        self.timed(phase, "download --direct", DIRECT, lambda: command("download", "--direct", f"{BUCKET}/{key}", str(back)))
        same = back.read_bytes() == source.read_bytes() == self.get(key)
        check(same, f"{phase}: what upload --direct stored is the same by download --direct and by S3")

    def get(self, key):
        return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def repair(self, phase, node):
        before = self.cluster.repaired()
        node.kill()
        size = self.cluster.wipe(node)
        node.start()
        node.ready()
        begun = time.monotonic()
        # Nothing is missing until somebody has looked; under loss the cluster is unwell for other reasons too.
        noticed = lambda: self.cluster.health()["shards_missing"] > 0 or self.cluster.repaired()[1] > before[1]  # noqa: E731
        self.cluster.wait(noticed, f"{phase}: the wiped node is noticed")
        self.cluster.wait(self.cluster.healthy, f"{phase}: repair finishes", 300)
        read, written = (after - at for after, at in zip(self.cluster.repaired(), before))
        check(written > 0, f"{phase}: {node.name} wiped ({size / 1e6:.0f} MB): repaired after {time.monotonic() - begun:.1f} s, "
                           f"{read / 1e6:.1f} MB read, {written / 1e6:.1f} MB written")

    def reads_back(self):
        return all(self.get(key) == body(*what) for key, what in self.objects.items())


def main():
    args = arguments()
    why = missing()
    if why:
        print(f"SKIPPED  packet loss between network namespaces: {why}", flush=True)
        sys.exit(1 if os.environ.get("CYX_REQUIRE_NETNS") == "1" else 0)
    network = Network()
    network.enter()
    cluster = Cluster(args.binary, near=NEAR, far=FAR, far_prefix=network.far_prefix, cidr=CIDR)
    load = Load(args, cluster)
    begun = time.monotonic()
    for number, phase in enumerate(("without loss", f"{LOSS_PERCENT} % loss")):
        if number:
            network.lose(LOSS_PERCENT)
        load.through_s3(phase)
        load.repair(phase, cluster.nodes[args.seed % 7 + 7 * number])
        load.direct(phase)
    arrived, dropped = network.lost()
    check(dropped > 0, f"{dropped} of {arrived} packets were dropped, {100 * dropped / arrived:.1f} %")
    check(load.reads_back(), f"all {len(load.objects)} objects read back; {time.monotonic() - begun:.0f} s, "
                             f"{sum(size for _, size in load.objects.values()) / 1e6:.0f} MB of objects")
    cluster.close()


main()
