"""Nodes wiped, stopped and damaged while clients read and write."""

import random
import subprocess
import threading
import time
from collections import defaultdict

from botocore.exceptions import ClientError

from dev import Dev, arguments, body, check

# What the nodes that are left are good for shows while nothing is mended.
NO_UPKEEP = ["--repair-interval-ms", "86400000", "--scrub-interval-ms", "0"]
SIZES = [10, 5000, 70_000, 4 << 20, (4 << 20) + 1, 9_000_000]


def code(call, **parameters):
    """The S3 error code and status of a call, or None and 200."""
    try:
        call(**parameters)
        return None, 200
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]


def reads_back(s3, objects):
    return all(s3.get_object(Bucket="bucket", Key=key)["Body"].read() == body(*what) for key, what in objects.items())


class Load(threading.Thread):
    """Writes and reads until told to stop; every failure and every wrong byte is kept."""

    def __init__(self, dev, name, seed):
        super().__init__()
        self.s3, self.name, self.random = dev.s3(), name, random.Random(seed)
        self.acked, self.trouble, self.reads, self.stop = {}, [], 0, False

    def run(self):
        number = 0
        while not self.stop:
            try:
                number += 1
                key, what = f"{self.name}/{number}", (self.random.getrandbits(64), self.random.choice(SIZES))
                self.s3.put_object(Bucket="bucket", Key=key, Body=body(*what))
                self.acked[key] = what
                self.read(self.random.choice(list(self.acked)))
            except Exception as error:
                self.trouble.append(repr(error))

    def read(self, key):
        whole = body(*self.acked[key])
        got = self.s3.get_object(Bucket="bucket", Key=key)["Body"].read()
        start = self.random.randrange(len(whole))
        end = self.random.randrange(start, len(whole))
        part = self.s3.get_object(Bucket="bucket", Key=key, Range=f"bytes={start}-{end}")["Body"].read()
        if got != whole or part != whole[start:end + 1]:
            self.trouble.append(f"wrong bytes of {key}")
        self.reads += 1


def wipe_under_load(args):
    dev = Dev(args.binary, *NO_UPKEEP)
    dev.s3().create_bucket(Bucket="bucket")
    loads = [Load(dev, f"load{n}", args.seed + n) for n in range(4)]
    for load in loads:
        load.start()
    for node in random.Random(args.seed).sample(range(14), 4):
        time.sleep(1.5)
        dev.command("dev-node", "wipe", str(node))
    time.sleep(1.5)
    for load in loads:
        load.stop = True
    for load in loads:
        load.join()
    trouble = [t for load in loads for t in load.trouble]
    acked = {key: what for load in loads for key, what in load.acked.items()}
    check(not trouble, f"no read or write failed while 4 of 14 nodes were wiped ({sum(l.reads for l in loads)} reads) {trouble[:3]}")
    check(len(acked) > 20 and sum(l.reads for l in loads) > 20, "the load was worth the name")
    check(reads_back(dev.s3(), acked), f"all {len(acked)} acked writes survived")
    health = dev.health()
    honest = health["status"] == "degraded" and health["tolerance"]["stored"] == 0 and health["shards_missing"] > 0
    check(honest, f"GET /health/cluster says what is left: tolerance {health['tolerance']}, {health['shards_missing']} shards missing")
    dev.close()


def stop_five(args):
    dev = Dev(args.binary)
    s3 = dev.s3()
    s3.create_bucket(Bucket="bucket")
    objects = {"large": (1, 9_000_000), "medium": (2, 70_000)}
    for key, what in objects.items():
        s3.put_object(Bucket="bucket", Key=key, Body=body(*what))
    s3.put_object(Bucket="bucket", Key="inline", Body=b"in the metadata")
    for node in range(5):
        dev.command("dev-node", "stop", str(node))
    refusals = {code(s3.get_object, Bucket="bucket", Key=key) for key in objects}
    check(refusals == {("ServiceUnavailable", 503)}, f"with 5 nodes stopped, reads that need them say 503: {refusals}")
    check(s3.get_object(Bucket="bucket", Key="inline")["Body"].read() == b"in the metadata", "reads that need no shard still work")
    check(dev.health()["status"] == "unavailable", "GET /health/cluster says so")
    dev.command("dev-node", "start", "3")
    check(reads_back(s3, objects), "they come back when one starts")
    for node in range(13):
        dev.command("dev-node", "stop", str(node))
    refused = code(s3.put_object, Bucket="bucket", Key="new", Body=body(3, 70_000))
    check(refused == ("ServiceUnavailable", 503), f"with 1 of 14 nodes a PUT says 503: {refused}")
    refused = code(s3.put_object, Bucket="bucket", Key="large", Body=body(4, 70_000))
    for node in range(13):
        dev.command("dev-node", "start", str(node))
    check(code(s3.head_object, Bucket="bucket", Key="new")[1] == 404 and reads_back(s3, objects), "and leaves no partial object, the old one intact")
    dev.close()


def few_nodes(args):
    for nodes in (3, 4, 7, 13):
        dev = Dev(args.binary, "--nodes", str(nodes))
        s3 = dev.s3()
        s3.create_bucket(Bucket="bucket")
        objects = {f"o{n}": (n, 70_000) for n in range(5)}
        for key, what in objects.items():
            s3.put_object(Bucket="bucket", Key=key, Body=body(*what))
        tolerance = dev.health()["tolerance"]
        survived = True
        for node in range(nodes):
            dev.command("dev-node", "stop", str(node))
            survived &= reads_back(s3, objects)
            dev.command("dev-node", "start", str(node))
        holds = survived and tolerance["stored"] >= 1 and tolerance["new_writes"] >= 1
        check(holds, f"{nodes} nodes survive the loss of any one; GET /health/cluster states {tolerance}")
        dev.close()


def bad_disks(args):
    """One of 16 nodes has a full disk, one turns read-only: writes go to the spares. Mounting needs root."""
    dev = Dev(args.binary, "--nodes", "16")
    s3 = dev.s3()
    s3.create_bucket(Bucket="bucket")
    dev.interrupt()
    full, read_only = (f"{dev.data_dir}/nodes/node-{n:02}" for n in (3, 5))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", full], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", read_only], check=True)
    try:
        dev.start()
        s3 = dev.s3()
        objects = {f"o{n}": (n, 9_000_000) for n in range(4)}
        for number, (key, what) in enumerate(objects.items()):
            if number == 2:
                subprocess.run(["mount", "-o", "remount,ro", read_only], check=True)
            s3.put_object(Bucket="bucket", Key=key, Body=body(*what))
        health = dev.health()
        whole = reads_back(s3, objects) and health["chunks"]["clumped"] == 0 and health["chunks"]["degraded"] == 0
        check(whole, "a full and a read-only disk: every shard went to a spare")
        dev.interrupt()
    finally:
        for path in (full, read_only):
            subprocess.run(["umount", "-l", path], check=True)
        dev.close()


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << at % 8]))


def damaged_shards(args):
    rng = random.Random(args.seed)
    dev = Dev(args.binary, *NO_UPKEEP)
    s3 = dev.s3()
    s3.create_bucket(Bucket="bucket")
    whole = body(9, 9_000_000)
    s3.put_object(Bucket="bucket", Key="key", Body=whole)
    chunks = defaultdict(list)
    for path in dev.shard_files():
        chunks[path.name.split(".")[0]].append(path)
    check(sorted(map(len, chunks.values())) == [14, 14, 14], "3 chunks of 14 shards lie on disk")
    for _ in range(40):
        flips = [(path, rng.randrange(path.stat().st_size)) for paths in chunks.values() for path in rng.sample(paths, 4)]
        for path, at in flips:
            flip(path, at)
        start = rng.randrange(len(whole))
        end = rng.randrange(start, len(whole))
        right = s3.get_object(Bucket="bucket", Key="key")["Body"].read() == whole
        right &= s3.get_object(Bucket="bucket", Key="key", Range=f"bytes={start}-{end}")["Body"].read() == whole[start:end + 1]
        for path, at in flips:
            flip(path, at)
        if not right:
            check(False, f"wrong bytes with {flips}")
    check(True, "40 rounds of a flipped byte in 4 shard files of every chunk: every byte served was right")
    for paths in chunks.values():
        for path in paths[:5]:
            flip(path, 128 + rng.randrange(1000))
    refused = code(lambda **p: s3.get_object(**p)["Body"].read(), Bucket="bucket", Key="key")
    check(refused == ("ServiceUnavailable", 503), f"5 damaged shards of a chunk are a 503, never wrong bytes: {refused}")
    dev.close()


def main():
    args = arguments()
    wipe_under_load(args)
    stop_five(args)
    few_nodes(args)
    bad_disks(args)
    damaged_shards(args)


main()
