"""The lifecycle of nodes that are processes, seen through ListNodes, while readers read: online, offline, recovering, online; offline, draining,
removed; and an operator's drain that empties a node."""

import json
import random
import threading
import time

from cluster import Cluster
from dev import arguments, body, check

OBJECTS = 40


class Reader(threading.Thread):
    """Reads objects until told to stop, and keeps what went wrong."""

    def __init__(self, cluster, bucket, seed):
        super().__init__(daemon=True)
        self.s3, self.bucket, self.random = cluster.s3(), bucket, random.Random(seed)
        self.reads, self.failures, self.stopped = 0, [], threading.Event()

    def run(self):
        while not self.stopped.is_set():
            n = self.random.randrange(OBJECTS)
            try:
                if self.s3.get_object(Bucket=self.bucket, Key=f"k{n}")["Body"].read() != body(n, size(n)):
                    self.failures.append(f"k{n} has other bytes")
            except Exception as error:  # every failure counts
                self.failures.append(f"k{n}: {error}")
            self.reads += 1


def size(n):
    return [5_000, 300_000, 1_000_000, 5_000_000][n % 4]


def nodes(cluster, *flags):
    return {node["name"]: node for node in json.loads(cluster.cyxcloud("node", "list", "--json", *flags))}


def states(cluster, name, until, seconds=90):
    """The states a node goes through, up to `until`."""
    seen, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = nodes(cluster)[name]["state"]
        if not seen or seen[-1] != state:
            seen.append(state)
        if state == until:
            return seen
        time.sleep(0.1)
    raise SystemExit(f"FAIL  {name} went through {seen} and never became {until}")


def whole(cluster):
    health = cluster.health()
    return health["status"] == "healthy" and health["shards_missing"] == 0


def main():
    args = arguments()
    cluster = Cluster(args.binary, nodes=17, timers={"drain": 9_000, "remove": 16_000})
    s3 = cluster.s3()
    s3.create_bucket(Bucket="lifecycle")
    for n in range(OBJECTS):
        s3.put_object(Bucket="lifecycle", Key=f"k{n}", Body=body(n, size(n)))
    reader = Reader(cluster, "lifecycle", args.seed)
    reader.start()

    cluster.nodes[3].kill()
    check(states(cluster, "node-03", "offline") == ["online", "offline"], "a killed node goes from online to offline")
    cluster.nodes[3].start()
    cluster.nodes[3].ready()
    seen = states(cluster, "node-03", "online")
    check(seen[-2:] == ["recovering", "online"] and set(seen[:-2]) <= {"offline"}, f"started again it goes {' -> '.join(seen)}")

    cluster.nodes[5].kill()
    seen = states(cluster, "node-05", "removed")
    check(seen == ["online", "offline", "draining", "removed"], f"killed for good it goes {' -> '.join(seen)}")
    took = cluster.wait(lambda: whole(cluster), "every chunk is whole without it")
    check(True, f"every chunk is whole without it, {took:.1f} s after its removal")

    held = nodes(cluster, "--shards")["node-07"]["shards"]
    check(held > 0, f"node-07 holds {held} shards")
    refused = False
    try:
        cluster.cyxcloud("node", "remove", "node-07")
    except RuntimeError:
        refused = True
    check(refused, "a node that holds shards is not removed")
    cluster.cyxcloud("node", "drain", "node-07")
    took = cluster.wait(lambda: nodes(cluster, "--shards")["node-07"]["shards"] == 0, "an operator's drain empties it")
    check(nodes(cluster)["node-07"]["state"] == "draining", f"an operator's drain empties it in {took:.1f} s")
    cluster.cyxcloud("node", "remove", "node-07")
    check(nodes(cluster)["node-07"]["state"] == "removed", "then it can be removed")
    cluster.nodes[7].kill()
    cluster.wait(lambda: whole(cluster), "nothing is under-protected")
    check(True, "and nothing is under-protected")

    reader.stopped.set()
    reader.join()
    check(not reader.failures, f"{reader.reads} reads meanwhile, {len(reader.failures)} failed {reader.failures[:3]}")
    cluster.close()


main()
