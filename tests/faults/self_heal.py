"""What a cluster does unasked, with timers of a second or so: repair, drain, scrubbing, garbage collection, the trash."""

import json
import random
import threading
import time
from pathlib import Path

from botocore.exceptions import ClientError

from dev import Dev, arguments, body, check

# The order of magnitude of production, divided by some hundreds.
FAST = {
    "heartbeat-ms": 100, "offline-after-ms": 600, "quarantine-ms": 400, "drain-after-ms": 1500, "remove-after-ms": 600_000,
    "repair-interval-ms": 400, "gc-interval-ms": 200, "gc-grace-ms": 1000, "scrub-interval-ms": 0,
}
PATIENCE = 40


class Cluster(Dev):
    """A cluster with a bucket, shortened timers and objects that are known."""

    def __init__(self, args, nodes, **timers):
        super().__init__(args.binary, "--nodes", str(nodes), *self.timer_flags(timers))
        self.objects, self.seed = {}, args.seed
        self.client = self.s3()
        self.client.create_bucket(Bucket="bucket")

    @staticmethod
    def timer_flags(timers):
        timers = FAST | {name.replace("_", "-"): value for name, value in timers.items()}
        return [f"--{name}={value}" for name, value in timers.items()]

    def start_again(self, **timers):
        if timers:
            self.flags = self.timer_flags(timers)
        self.start()
        self.client = self.s3()

    def put(self, key, size=70_000):
        self.objects[key] = (f"{self.seed} {key}", size)
        self.client.put_object(Bucket="bucket", Key=key, Body=body(*self.objects[key]))

    def fill(self, small=20):
        """Objects of one chunk and one of three, spread over all nodes."""
        for number in range(small):
            self.put(f"small/{number}")
        self.put("large", 9_000_000)

    def get(self, key):
        return self.client.get_object(Bucket="bucket", Key=key)["Body"].read()

    def reads_back(self):
        return all(self.get(key) == body(*what) for key, what in self.objects.items())

    def delete(self, key):
        """The time before the deletion: what happens at least so much later is measured from it."""
        before = time.monotonic()
        self.client.delete_object(Bucket="bucket", Key=key)
        self.objects.pop(key, None)
        return before

    def node(self, number):
        return self.command("dev-node", "list")[number]

    def files(self, number):
        return set(Path(self.data_dir).glob(f"nodes/node-{number:02}/shards/*/*"))

    def files_of(self, put):
        """The shard files that `put` makes."""
        before = set(self.shard_files())
        put()
        return set(self.shard_files()) - before

    def wait(self, what, holds):
        """Polls until `holds()` answers something, which is returned."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found = holds()
            if found:
                return found
            time.sleep(0.03)
        print("\n".join(map(str, self.command("dev-node", "list"))), json.dumps(self.health()), self.command("dev-repair", "--list"), sep="\n")
        check(False, f"waited {PATIENCE} s in vain: {what}")

    def healthy(self):
        health = self.health()
        return health if health["status"] == "healthy" else None

    def refused(self, *command):
        """What a command says that must not succeed; None when it does."""
        try:
            self.command(*command)
            return None
        except RuntimeError as error:
            return str(error).strip()


def gone_when(dev, files):
    """When the first and the last of the files went."""
    first = None
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        left = sum(path.exists() for path in files)
        if left < len(files) and first is None:
            first = time.monotonic()
        if left == 0:
            return first, time.monotonic()
        time.sleep(0.02)
    check(False, f"{left} of {len(files)} shard files are still there")


def wiped(args):
    dev = Cluster(args, 14, repair_interval_ms=1500)
    dev.fill()
    before = dev.wait("a healthy cluster", dev.healthy)
    check(before["tolerance"] == {"stored": 4, "new_writes": 4}, f"14 nodes: any {before['tolerance']['stored']} may be lost")
    for node in random.Random(args.seed).sample(range(14), 2):
        dev.command("dev-node", "wipe", str(node))
    seen, began = [], time.monotonic()

    def healed():
        health = dev.health()
        seen.append(health)
        return health if health["status"] == "healthy" else None

    after = dev.wait("the wiped nodes are filled again", healed)
    worst = min(seen, key=lambda health: health["tolerance"]["stored"])
    check(worst["status"] == "degraded" and worst["tolerance"]["stored"] == 2 and worst["shards_missing"] > 0,
          f"two nodes wiped: {worst['status']}, {worst['shards_missing']} shards missing, {worst['tolerance']['stored']} may be lost")
    check(worst["chunks"]["at_risk"] > 0, f"chunks are at risk then: {worst['chunks']}")
    check(after["tolerance"]["stored"] == 4 and after["shards_missing"] == 0,
          f"healed unasked in {time.monotonic() - began:.1f} s, no shard is missing, any 4 nodes may be lost again")
    # A record is changed a moment before its job is completed.
    dev.wait("every job is completed", lambda: all(job["state"] == "completed" for job in dev.command("dev-repair", "--list")))
    done = len(dev.command("dev-repair", "--list"))
    check(done == after["chunks"]["total"], f"dev-repair --list: {done} jobs completed")
    check(dev.reads_back(), "every object reads back")
    scan = dev.command("dev-repair")
    check(scan["damaged"] == 0 and scan["shards_written"] == 0, f"dev-repair finds nothing left to do in {scan['chunks']} chunks")
    dev.close()


def deleted(args):
    grace = 3.0
    dev = Cluster(args, 14, gc_grace_ms=int(1000 * grace))
    unique = dev.files_of(lambda: dev.put("unique", 9_000_000))
    shared = dev.files_of(lambda: dev.client.put_object(Bucket="bucket", Key="twin", Body=body(7, 70_000)))
    again = dev.files_of(lambda: dev.client.put_object(Bucket="bucket", Key="other twin", Body=body(7, 70_000)))
    check((len(unique), len(shared)) == (3 * 14, 14), "3 chunks of one object and 1 that two objects share are on disk")
    content = {path.name.split(".")[0] for path in shared}
    check({path.name.split(".")[0] for path in again} == content, "the second twin has the chunk of the first")
    dev.delete("twin")
    began = dev.delete("unique")
    first, last = gone_when(dev, unique)
    check(first - began >= grace, f"deleted: no shard file went before the grace of {grace:.0f} s, the first after {first - began:.1f} s")
    check(True, f"all {len(unique)} were gone from every node's directory after {last - began:.1f} s")
    kept = sum(path.name.split(".")[0] in content for path in dev.shard_files())
    check(kept == 14 and dev.get("other twin") == body(7, 70_000), "the content that another object shares is all there and reads back")
    dev.close()


def stopped(args):
    dev = Cluster(args, 15)
    dev.fill()
    stale = dev.wait("shards on node 3", lambda: dev.files(3))
    dev.command("dev-node", "stop", "3")
    node = dev.wait("the silent node is offline", lambda: (n := dev.node(3))["state"] != "online" and n)
    check(node["shards"] == len(stale), f"stopped: {node['state']}, its {node['shards']} shards are waited for")
    dev.wait("its shards are made elsewhere", lambda: (n := dev.node(3))["state"] == "draining" and n["shards"] == 0)
    health = dev.wait("a healthy cluster without it", dev.healthy)
    check(health["tolerance"]["stored"] == 4 and dev.reads_back(), "silent for the drain time: its shards are on others, any 4 more may be lost")
    check(dev.files(3) == stale, "nobody touched its directory")
    dev.command("dev-node", "start", "3")
    dev.wait("its stale shards are deleted", lambda: not stale & dev.files(3))
    dev.wait("it is trusted again", lambda: dev.node(3)["state"] == "online")
    check(dev.reads_back() and dev.wait("healthy", dev.healthy), f"started again: its {len(stale)} stale shard files went, and it is online")
    check(dev.node(3)["failures"] == 1, "its absence was counted once")
    dev.close()


class Reader(threading.Thread):
    """Reads every object again and again; `trouble` is what did not read right."""

    def __init__(self, dev):
        super().__init__()
        self.client, self.objects, self.trouble, self.reads, self.stop = dev.s3(), dict(dev.objects), [], 0, False

    def run(self):
        while not self.stop:
            for key, what in self.objects.items():
                try:
                    if self.client.get_object(Bucket="bucket", Key=key)["Body"].read() != body(*what):
                        self.trouble.append(f"wrong bytes of {key}")
                except Exception as error:
                    self.trouble.append(repr(error))
                self.reads += 1


def drained(args):
    dev = Cluster(args, 16)
    dev.fill()
    dev.wait("healthy", dev.healthy)
    refusal = dev.refused("dev-node", "remove", "5")
    check(refusal and "drain it first" in refusal, f"a node with shards cannot be removed: {refusal}")
    reader = Reader(dev)
    reader.start()
    dev.command("dev-node", "drain", "5")
    dev.wait("no shard is placed on the drained node", lambda: dev.node(5)["shards"] == 0)
    dev.wait("its directory is empty", lambda: not dev.files(5))
    reader.stop = True
    reader.join()
    check(not reader.trouble and reader.reads > 0, f"drained: {reader.reads} reads went on meanwhile, its directory is empty {reader.trouble[:2]}")
    health = dev.wait("healthy", dev.healthy)
    check(health["tolerance"]["stored"] == 4, "any 4 of the others may be lost")
    for number in range(5):
        dev.put(f"during/{number}")
    check(not dev.files(5), "it takes no new shards")
    dev.command("dev-node", "undrain", "5")
    dev.wait("it is online", lambda: dev.node(5)["state"] == "online")
    for number in range(15):
        dev.put(f"after/{number}")
    check(len(dev.files(5)) > 0 and dev.reads_back(), f"after undrain it takes new shards: {len(dev.files(5))}")

    # With slow heartbeats nothing happens unasked, so that the figures of dev-repair are those of the drain alone.
    check(dev.interrupt() == 0, "stopped for slower timers")
    dev.start_again(heartbeat_ms=60_000, offline_after_ms=120_000, drain_after_ms=120_000, repair_interval_ms=600_000)
    shards = dev.command("dev-node", "drain", "6")["shards"]
    done = dev.command("dev-repair")
    check(done["shards_written"] == shards > 0 and done["bytes_read"] == done["bytes_written"],
          f"a drain copies: {shards} shards, {done['bytes_read']} bytes read, {done['bytes_written']} written")
    check(dev.node(6)["shards"] == 0 and dev.command("dev-node", "remove", "6")["state"] == "removed", "the empty node can be removed")
    check(dev.reads_back() and dev.healthy(), "and every object reads back")
    check(dev.command("dev-node", "start", "6")["state"] == "online", "start takes it up again")
    dev.close()


def damaged(args):
    dev = Cluster(args, 14, scrub_interval_ms=100, scrub_chunks=8)
    dev.fill()
    damage = {}
    for path in dev.files(2):
        bytes_there = bytearray(path.read_bytes())
        bytes_there[len(bytes_there) // 2] ^= 0x40
        # In place, as a disk does it: the name and the epoch stay.
        with path.open("r+b") as file:
            file.write(bytes_there)
        damage[path] = bytes(bytes_there)

    def mended():
        return not any(path.exists() and path.read_bytes() == bytes_there for path, bytes_there in damage.items())

    dev.wait("every damaged file is replaced", mended)
    health = dev.wait("healthy", dev.healthy)
    found = dev.command("dev-scrub")
    check(found["damaged"] == [] and found["copies"] == 14 * health["chunks"]["total"],
          f"a byte flipped in each of {len(damage)} shard files: scrubbing mended them unasked, dev-scrub verified {found['copies']} shards")
    check(len(dev.files(2)) == len(damage) and dev.reads_back(), "the node has all its shards, every object reads back")
    dev.close()


def killed(args):
    dev = Cluster(args, 14, repair_parallelism=1)
    dev.fill(60)
    dev.wait("healthy", dev.healthy)
    victims = (1, 8)
    count = lambda: sum(len(dev.files(node)) for node in victims)
    total = count()
    for node in victims:
        dev.command("dev-node", "wipe", str(node))
    dev.wait("repairs are well under way", lambda: total // 5 < count())
    dev.kill()
    left = total - count()
    check(0 < left < total, f"kill -9 in the middle of repairs: {left} of {total} shards were still missing")
    dev.start_again()
    health = dev.wait("it heals", dev.healthy)
    check(health["shards_missing"] == 0 and count() == total and dev.reads_back(), "after a restart it heals, every object reads back")
    dev.command("dev-gc")
    placed = sum(node["shards"] for node in dev.health()["nodes"])
    check(len(dev.shard_files()) == placed, f"the {placed} shard files are those that the metadata name")
    dev.close()


def trashed(args):
    window = 4.0
    dev = Cluster(args, 14, trash_window_ms=int(1000 * window), gc_grace_ms=0)
    dev.put("back", 9_000_000)
    wanted = dict(dev.objects)
    files = dev.files_of(lambda: dev.put("gone"))
    dev.delete("back")
    began = dev.delete("gone")
    versions = {entry["key"]: entry["version"] for entry in dev.command("dev-trash", "list", "bucket")}
    check(sorted(versions) == ["back", "gone"], "two deleted objects are in the trash")
    try:
        dev.get("back")
        check(False, "a deleted object was read")
    except ClientError as error:
        check(error.response["Error"]["Code"] == "NoSuchKey", "a deleted object is not there for S3")
    dev.put("back", 10)
    refusal = dev.refused("dev-trash", "restore", "bucket", "back", versions["back"])
    check(refusal and "new object" in refusal, f"it is not restored over another: {refusal}")
    dev.client.delete_object(Bucket="bucket", Key="back")
    dev.command("dev-trash", "restore", "bucket", "back", versions["back"])
    dev.objects = wanted
    check(dev.reads_back(), "restored with all its bytes")
    first, _ = gone_when(dev, files)
    check(first - began >= window, f"the other's shards went {first - began:.1f} s after its deletion, not within the {window:.0f} s of the trash")
    refusal = dev.refused("dev-trash", "restore", "bucket", "gone", versions["gone"])
    check(refusal and "in the trash" in refusal, f"after that it cannot be restored: {refusal}")
    check(dev.reads_back(), "the restored object still reads back")
    dev.close()


def maintained(args):
    dev = Cluster(args, 16)
    dev.fill()
    shards = dev.wait("healthy", dev.healthy) and dev.node(4)["shards"]
    dev.command("dev-node", "maintenance", "4", "--for-ms", "60000")
    dev.command("dev-node", "stop", "4")
    dev.command("dev-node", "stop", "9")
    # Both are silent for as long; the one that did not say so is the clock.
    dev.wait("the other stopped node is drained", lambda: (n := dev.node(9))["state"] == "draining" and n["shards"] == 0)
    node = dev.node(4)
    check(node["state"] == "offline" and node["shards"] == shards and dev.node(9)["failures"] == 1 and node["failures"] == 0,
          f"silent as announced: offline, {shards} shards waited for, no failure; the other was drained")
    check(dev.reads_back(), "every object reads back meanwhile")
    dev.command("dev-node", "start", "4")
    dev.command("dev-node", "end-maintenance", "4")
    dev.wait("it is online", lambda: dev.node(4)["state"] == "online")
    health = dev.wait("healthy", dev.healthy)
    check(dev.node(4)["shards"] >= shards and health["shards_missing"] == 0, "back from maintenance with its shards")
    dev.close()


def main():
    args = arguments(only="")
    for part in (wiped, deleted, stopped, drained, damaged, killed, trashed, maintained):
        if args.only in ("", part.__name__):
            began = time.monotonic()
            print(f"-- {part.__name__}", flush=True)
            part(args)
            print(f"   {time.monotonic() - began:.1f} s", flush=True)


main()
