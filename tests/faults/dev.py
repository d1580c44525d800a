"""A `cyxcloud dev` process that a test starts, kills and asks about itself."""

import argparse
import atexit
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config


def arguments(**extra):
    """The binary, and a scratch directory on the disk of the checkout (not on a tmpfs, where syncs are free)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    for name, default in extra.items():
        parser.add_argument("--" + name, type=type(default), default=default)
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    return args


def body(seed, size):
    """Bytes that depend on every bit of the seed."""
    return random.Random(seed).randbytes(size)


def check(holds, what):
    print(("ok  " if holds else "FAIL  ") + what, flush=True)
    if not holds:
        sys.exit(1)


class Dev:
    def __init__(self, binary, *flags):
        self.binary, self.flags = binary, flags
        scratch = Path(binary).resolve().parent
        self.data_dir = tempfile.mkdtemp(prefix="faults-", dir=scratch)
        self.address = "127.0.0.1:0"
        self.start()

    def start(self):
        command = [self.binary, "dev", "--json", "--data-dir", self.data_dir, "--http-addr", self.address, *self.flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        atexit.register(self.process.kill)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"cyxcloud dev ended with {self.process.wait()}")
        self.about = json.loads(line)
        self.address = self.about["endpoint"].removeprefix("http://")

    def s3(self, **config):
        """A client that never retries: a test must see every failure."""
        settings = Config(retries={"total_max_attempts": 1, "mode": "standard"}, max_pool_connections=64, read_timeout=60, **config)
        return boto3.client(
            "s3", endpoint_url=self.about["endpoint"], region_name=self.about["region"], config=settings,
            aws_access_key_id=self.about["access_key_id"], aws_secret_access_key=self.about["secret_access_key"])

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=30)

    def close(self):
        self.kill()
        shutil.rmtree(self.data_dir)

    def command(self, *args):
        """One of the dev-* commands, as an operator types it."""
        done = subprocess.run([self.binary, *args, "--json", "--http-addr", self.address], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout)

    def health(self):
        with urllib.request.urlopen(self.about["endpoint"] + "/health/cluster") as answer:
            return json.load(answer)

    def shard_files(self):
        return [path for path in Path(self.data_dir).glob("nodes/*/shards/*/*") if path.is_file()]

    def status_kib(self, field):
        """A field of /proc/PID/status, e.g. VmHWM, the most memory that was ever resident."""
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise KeyError(field)
