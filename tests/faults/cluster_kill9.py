"""kill -9 of storage nodes, of the gateway and of the rebalancer under load: no acked object is lost, and the cluster heals."""

import random
import time
from collections import Counter

from cluster import Cluster
from dev import arguments, body, check
from load import SIZES, Tolerant, abort_uploads, listed, read, settle

BUCKET = "kill9"
WRITERS = 4
# What nobody writes again: a wiped node has to get its part of it back.
KEPT = 40
# Any four of 14 nodes may be lost.
TOLERANCE = 4


class Run:
    def __init__(self, args):
        self.rng = random.Random(args.seed)
        self.cluster = Cluster(args.binary)
        self.s3 = self.cluster.s3()
        self.s3.create_bucket(Bucket=BUCKET)
        self.kept = {f"kept/{n}": (self.rng.getrandbits(64), SIZES[n % len(SIZES)]) for n in range(KEPT)}
        for key, what in self.kept.items():
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=body(*what))
        self.writers = [Tolerant(self.cluster.s3(), BUCKET, f"w{n}", self.rng.getrandbits(32)) for n in range(WRITERS)]
        # Between these times only nodes were down, no more than may be lost at once.
        self.outages = []
        self.heals, self.moved, self.keys = [], [0, 0], 0

    def pause(self, most=0.7):
        time.sleep(self.rng.uniform(0.1, most))

    def finished(self, since, kind):
        return sum(k == kind and begun >= since for writer in self.writers for k, begun, _ in list(writer.done))

    def kill_nodes(self, number):
        # All that may be lost at least in the first round and every third.
        count = TOLERANCE if number % 3 == 0 else self.rng.randint(1, TOLERANCE)
        down = self.rng.sample(self.cluster.nodes, count)
        before = time.monotonic()
        for node in down:
            node.kill()
        since = time.monotonic()
        time.sleep(self.rng.uniform(1, 3))
        served = self.cluster.wait(lambda: self.finished(since, "write") and self.finished(since, "read"), f"{count} nodes down: PUT and GET work", 60)
        writes, reads = self.finished(since, "write"), self.finished(since, "read")
        self.outages.append((before, time.monotonic()))
        print(f"    {count} nodes down for {time.monotonic() - since:.1f} s: {writes} writes and {reads} reads acked meanwhile, "
              f"both kinds after {served:.1f} s", flush=True)
        wiped = down[0] if number % 2 else None
        if wiped:
            print(f"    {wiped.name} wiped, {self.cluster.wipe(wiped) / 1e6:.1f} MB", flush=True)
        self.start_nodes(down)
        return wiped

    @staticmethod
    def start_nodes(nodes):
        for node in nodes:
            node.start()
        for node in nodes:
            node.ready()

    def kill_gateway(self):
        self.cluster.gateway.kill()
        self.pause()
        self.cluster.gateway.start()
        self.cluster.gateway.ready()

    def kill_rebalancer(self):
        self.count_moved()
        self.cluster.rebalancer.kill()
        self.pause()
        self.cluster.rebalancer.start()
        self.cluster.wait(self.cluster.repaired, "the rebalancer serves")

    def count_moved(self):
        """The counters of a rebalancer begin anew with it."""
        for way, size in enumerate(self.cluster.repaired()):
            self.moved[way] += size - self.seen[way]
            self.seen[way] = size

    def round(self, number):
        before, self.seen = list(self.moved), self.cluster.repaired()
        print(f"-- round {number + 1}", flush=True)
        self.pause()
        wiped = self.kill_nodes(number)
        since = time.monotonic()
        self.pause()
        self.kill_gateway()
        self.pause()
        self.kill_rebalancer()
        self.seen = [0, 0]
        self.cluster.wait(self.cluster.healthy, "healthy under load", 240)
        took = time.monotonic() - since
        self.count_moved()
        read_bytes, written = (after - at for after, at in zip(self.moved, before))
        self.heals.append(took)
        print(f"    healthy under load {took:.1f} s after the nodes started; repair read {read_bytes / 1e6:.1f} MB and wrote {written / 1e6:.1f} MB", flush=True)
        for writer in self.writers:
            writer.pause()
        self.cluster.wait(self.cluster.healthy, "healthy without load")
        down = self.rng.sample([node for node in self.cluster.nodes if node is not wiped], TOLERANCE) if wiped else []
        if down:
            # Only with what repair gave back to the wiped node there is enough of everything.
            for node in down:
                node.kill()
            print(f"    {wiped.name} is needed: {TOLERANCE} others are down while everything is read", flush=True)
        self.settle()
        self.start_nodes(down)
        self.cluster.wait(self.cluster.healthy, "healthy for the next round")
        abort_uploads(self.s3, BUCKET)
        for writer in self.writers:
            writer.go.set()

    def settle(self):
        unexpected = [failure for writer in self.writers for failure in writer.failed if "NOT EXPECTED" in failure[3]]
        if unexpected:
            check(False, f"writers met {unexpected[:3]}")
        truth = dict(self.kept)
        for writer in self.writers:
            writer.acked, writer.tried = settle(writer), {}
            truth.update(writer.acked)
        for key, what in self.kept.items():
            if read(self.s3, BUCKET, key) != body(*what):
                check(False, f"{key} does not read back")
        wrong = listed(self.s3, BUCKET) ^ {key for key, what in truth.items() if what}
        if wrong:
            check(False, f"the list is wrong about {wrong}")
        self.keys += len(truth)

    def refusals(self):
        """Failures while nobody but nodes was down, and all others, by kind and reason."""
        apart, others = Counter(), Counter()
        for kind, begun, ended, why in (failure for writer in self.writers for failure in writer.failed):
            within = any(start <= begun and ended <= end for start, end in self.outages)
            (apart if within else others)[f"{kind} {why}"] += 1
        return dict(apart), dict(others)

    def end(self):
        for writer in self.writers:
            writer.pause()
            writer.stop = True
            writer.go.set()
            writer.join()
        apart, others = self.refusals()
        done = sum(len(writer.done) for writer in self.writers)
        print(f"{done} operations acked; failed while only nodes were down: {apart}; otherwise: {others}", flush=True)
        check(not any(why.startswith("read") for why in apart), "no read failed while only nodes were down")
        took = self.cluster.wait(self.cluster.healthy, "healthy at the end")
        check(True, f"healthy at the end, {took:.1f} s after the load")
        self.cluster.close()


def main():
    args = arguments(rounds=3)
    run = Run(args)
    for writer in run.writers:
        writer.start()
    begun = time.monotonic()
    for number in range(args.rounds):
        run.round(number)
    check(True, f"{args.rounds} rounds of kill -9 in {time.monotonic() - begun:.0f} s: {run.keys} acked keys read back, none half visible, the list is right")
    heals = sorted(run.heals)
    check(True, f"healthy again each time, after {heals[len(heals) // 2]:.1f} s (median) and {heals[-1]:.1f} s at most; "
                f"repair read {run.moved[0] / 1e6:.1f} MB and wrote {run.moved[1] / 1e6:.1f} MB")
    run.end()


main()
