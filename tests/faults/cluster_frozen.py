"""A node that is frozen (SIGSTOP) delays no PUT and no GET past the hedge: neither before nor in the middle of one."""

import hashlib
import random
import threading
import time

from cluster import Cluster
from dev import arguments, body, check

BUCKET = "frozen"
SIZES = {"1 MB": 1_000_000, "9 MB": 9_000_000}
OPERATIONS = 50
# As in cyxcloud-core/src/policy.rs: hedge_after_ms and store_hedge_after_ms.
HEDGE = {"GET": 0.25, "PUT": 1.0}
# Two cores run 16 processes and the client.
SLACK = 1.0
# Enough chunks that the freeze meets some on the way.
LARGE = 96 << 20


class Measured:
    def __init__(self, args, cluster):
        self.s3, self.seed = cluster.s3(), args.seed
        self.s3.create_bucket(Bucket=BUCKET)
        self.objects = {}

    def operation(self, kind, size, number, phase):
        """How long one PUT or GET took."""
        if kind == "PUT":
            key, what = f"{phase}/{size}/{number}", (f"{self.seed} {phase} {size} {number}", size)
            whole = body(*what)
            begun = time.monotonic()
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=whole)
            took = time.monotonic() - begun
            self.objects[key] = what
            return took
        # What was written before: its shards are on the frozen node as on all others.
        key = f"before/{size}/{number}"
        begun = time.monotonic()
        got = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        took = time.monotonic() - begun
        if got != body(*self.objects[key]):
            check(False, f"wrong bytes of {key}")
        return took

    def operations(self, kind, label, phase):
        """The latencies of many, sorted."""
        taken = sorted(self.operation(kind, SIZES[label], number, phase) for number in range(OPERATIONS))
        print(f"    {phase}: {OPERATIONS} {kind}s of {label}: median {1000 * taken[OPERATIONS // 2]:.0f} ms, slowest {1000 * taken[-1]:.0f} ms", flush=True)
        return taken

    def reads_back(self):
        return all(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body(*what) for key, what in self.objects.items())


def in_the_middle(node, call):
    """How long a call takes at most without, and with a node that is frozen in its middle."""
    unhindered = []
    for number in range(2):
        begun = time.monotonic()
        call(f"unhindered {number}")
        unhindered.append(time.monotonic() - begun)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call("hindered")), daemon=True)
    begun = time.monotonic()
    thread.start()
    time.sleep(min(unhindered) / 3)
    node.freeze()
    thread.join(90)
    took = time.monotonic() - begun
    node.thaw()
    return max(unhindered), took, bool(answers)


def direct(cluster, node, whole):
    """An upload whose client meets the frozen node itself."""
    path, back = cluster.directory / "source", cluster.directory / "back"
    path.write_bytes(whole)
    times = []
    for name in ("direct before", "direct frozen"):
        if times:
            node.freeze()
        begun = time.monotonic()
        try:
            cluster.cyxcloud("upload", "--direct", str(path), f"{BUCKET}/{name}")
        except RuntimeError as error:
            check(False, f"{name} on {node.name}: {error}")
        times.append(time.monotonic() - begun)
    cluster.cyxcloud("download", "--direct", f"{BUCKET}/{name}", str(back))
    check(back.read_bytes() == whole, f"{node.name} frozen: what upload --direct stored reads back by download --direct")
    node.thaw()
    bound = times[0] + HEDGE["PUT"] + SLACK
    check(times[1] <= bound, f"{node.name} frozen: upload --direct of {len(whole) >> 20} MiB took {times[1]:.2f} s, {times[0]:.2f} s without; at most {bound:.2f} s")


def main():
    args = arguments()
    # No offline node and no drain: what is frozen stays a member for the whole measurement.
    cluster = Cluster(args.binary, timers={"offline": 600_000, "drain": 600_000})
    measured = Measured(args, cluster)
    nodes = random.Random(args.seed).sample(cluster.nodes, 7)
    begun = time.monotonic()
    for kind in ("PUT", "GET"):
        for label in SIZES:
            # One that nobody knows to be slow: who is, is asked last for a while.
            node = nodes.pop()
            before = measured.operations(kind, label, "before")
            node.freeze()
            during = measured.operations(kind, label, "frozen")
            node.thaw()
            bound = before[-1] + HEDGE[kind] + SLACK
            check(during[-1] <= bound, f"{node.name} frozen: no {kind} of {label} took longer than {bound:.2f} s, the slowest {during[-1]:.2f} s")
            took = cluster.wait(cluster.healthy, "healthy after the thaw")
            print(f"    healthy {took:.1f} s after the thaw", flush=True)
    check(measured.reads_back(), "every object reads back")

    whole, s3 = body(args.seed, LARGE), measured.s3
    digest = hashlib.sha256(whole).digest()

    def put(name):
        s3.put_object(Bucket=BUCKET, Key=name, Body=whole)
        return True

    def get(name):
        del name
        hashed = hashlib.sha256()
        for piece in s3.get_object(Bucket=BUCKET, Key="unhindered 0")["Body"].iter_chunks(1 << 20):
            hashed.update(piece)
        if hashed.digest() != digest:
            raise AssertionError("wrong bytes")
        return True

    for kind, call in (("PUT", put), ("GET", get)):
        node = nodes.pop()
        unhindered, took, finished = in_the_middle(node, call)
        bound = unhindered + HEDGE[kind] + SLACK
        check(finished and took <= bound, f"{node.name} frozen in the middle of a {kind} of {LARGE >> 20} MiB: {took:.2f} s, "
                                          f"{unhindered:.2f} s without; at most {bound:.2f} s")
        took = cluster.wait(cluster.healthy, "healthy after the thaw")
        print(f"    healthy {took:.1f} s after the thaw", flush=True)
    for name in ("unhindered 1", "hindered"):
        got = hashlib.sha256(s3.get_object(Bucket=BUCKET, Key=name)["Body"].read()).digest()
        check(got == digest, f"the PUT that was {name.split()[0]} reads back")
    direct(cluster, nodes.pop(), whole)
    moved = sum(size for _, size in measured.objects.values())
    print(f"{time.monotonic() - begun:.0f} s, {moved / 1e6:.0f} MB written in {len(measured.objects)} objects, and 5 of {LARGE >> 20} MiB", flush=True)
    cluster.close()


main()
