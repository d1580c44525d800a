"""A backup is taken while writers are at work; the cluster lives on, shards move, and then the backup is put back: nothing acked before it and left alone since is lost."""

import argparse
import json
import os
import random
import shutil
import subprocess
import time

from cluster import Cluster
from dev import body, check
from load import SIZES, Tolerant, abort_uploads, read
from postgres import Postgres

BUCKET = "restored"
NODES = 16
WRITERS = 2
KEPT, CHANGED = 20, 12
# So many nodes are emptied one after the other after the backup: more than a chunk may lose.
DRAINED = 6


class Run:
    def __init__(self, args):
        self.rng = random.Random(args.seed)
        self.postgres = Postgres() if args.postgres else None
        # Gateways of the copy and of what followed use databases of their own on one server.
        flags = [f"--database-url={self.url('before')}"] if self.postgres else []
        if self.postgres:
            self.postgres.psql("CREATE DATABASE before")
            self.postgres.psql("CREATE DATABASE after")
        # The gateway repairs by itself; what was deleted is collected at once, which is what makes an old copy dangerous.
        self.cluster = Cluster(args.binary, nodes=NODES, rebalancer=False, gateway_flags=[*flags, "--local-admin", "--restore-keep-ms=3000"])
        self.gateway = self.cluster.gateway
        self.backup = self.cluster.directory / "backup"
        self.s3 = self.cluster.s3()
        self.s3.create_bucket(Bucket=BUCKET)

    def url(self, database):
        return self.postgres.url.rsplit("/", 1)[0] + "/" + database

    def put(self, key):
        what = (self.rng.getrandbits(64), self.rng.choice(SIZES[3:7]))
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body(*what))
        return what

    def gateway_command(self, *args, fails=False):
        """`cyxcloud-gateway backup` or `restore`, as an operator says it."""
        path = {"PATH": f"{self.postgres.bin}:{os.environ['PATH']}"} if self.postgres else {}
        command = [str(self.cluster.binaries / "cyxcloud-gateway"), *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **path})
        if fails:
            check(done.returncode != 0, f"refused: {done.stderr.strip()[:160]}")
            return done.stderr
        if done.returncode:
            raise SystemExit(f"FAIL  {command}: {done.stderr}")
        return done.stdout

    def database(self, name):
        return [f"--database-url={self.url(name)}"] if self.postgres else []

    def take_backup(self):
        """While writers write. What the kept keys hold is what must be there afterwards."""
        writers = [Tolerant(self.s3, BUCKET, f"w{n}", self.rng.getrandbits(32)) for n in range(WRITERS)]
        for writer in writers:
            writer.start()
        time.sleep(1)
        begun = time.monotonic()
        data = self.cluster.directory / "gateway"
        told = json.loads(self.gateway_command("backup", self.backup, "--json", f"--data-dir={data}", *self.database("before")))
        check(self.backup.is_dir() and "seal.key" in told["files"], f"a backup of {told['bytes']} bytes in {time.monotonic() - begun:.1f} s")
        self.gateway_command("backup", self.backup, f"--data-dir={data}", *self.database("before"), fails=True)
        time.sleep(0.5)
        for writer in writers:
            writer.pause()
            writer.stop = True
            writer.go.set()
            writer.join()
        unexpected = [failure for writer in writers for failure in writer.failed if "NOT EXPECTED" in failure[3]]
        check(not unexpected, f"writers went on beside it ({sum(len(w.done) for w in writers)} requests) {unexpected[:2]}")

    def live_on(self, changed):
        """Overwrites, deletes, new objects; and nodes are drained, so that repair moves their shards."""
        for number, key in enumerate(changed):
            if number % 2:
                self.put(key)
            else:
                self.s3.delete_object(Bucket=BUCKET, Key=key)
        new = {f"new/{n}": self.put(f"new/{n}") for n in range(6)}
        numbers = self.rng.sample(range(NODES), DRAINED)
        for pair in zip(numbers[::2], numbers[1::2]):
            for number in pair:
                self.cluster.cyxcloud("node", "drain", f"node-{number:02}")
            self.cluster.wait(lambda: all(node["shards"] == 0 for node in self.health(pair)), f"nodes {pair} are empty")
            for number in pair:
                self.cluster.cyxcloud("node", "undrain", f"node-{number:02}")
            self.cluster.wait(lambda: all(node["state"] == "online" for node in self.health(pair)), f"nodes {pair} are back")
        time.sleep(4)  # the collector takes what they held, and what was deleted
        return new

    def health(self, numbers):
        return [node for node in self.cluster.health()["nodes"] if int(node["id"], 16) - 1 in numbers]

    def restore(self):
        """Into a data directory, and on PostgreSQL a database, that were not there before."""
        self.gateway.kill()
        old, new = self.cluster.directory / "gateway", self.cluster.directory / "restored"
        wrong = self.cluster.directory / "wrong"
        shutil.copytree(self.backup, wrong)
        metadata = wrong / ("meta.dump" if self.postgres else "meta.db")
        metadata.write_bytes(metadata.read_bytes()[:-1] + b"!")
        self.gateway_command("restore", wrong, f"--data-dir={new}", *self.database("after"), fails=True)
        self.gateway_command("restore", self.backup, f"--data-dir={old}", *self.database("before"), fails=True)
        begun = time.monotonic()
        told = self.gateway_command("restore", self.backup, f"--data-dir={new}", *self.database("after"))
        check("restored" in told, f"put back in {time.monotonic() - begun:.1f} s")
        replaced = {"--data-dir": new, "--database-url": self.url("after") if self.postgres else None}
        command = self.gateway.command
        self.gateway.command = [f"{flag}={replaced[flag]}" if (flag := argument.split("=")[0]) in replaced else argument for argument in command]
        self.gateway.start()
        self.gateway.ready()

    def unsaid(self):
        """A copy that somebody puts back by hand is noticed by the gateway that has seen more, and is as good once that is said."""
        self.gateway.kill()
        data = self.cluster.directory / "restored"
        if self.postgres:
            self.postgres.psql("DROP DATABASE after")
            self.postgres.psql("CREATE DATABASE after")
            self.postgres.run("pg_restore", "-d", self.url("after"), self.readable(self.backup / "meta.dump"))
        else:
            for file in data.glob("meta.db*"):
                file.unlink()
            shutil.copy(self.backup / "meta.db", data / "meta.db")
        self.gateway.start()
        line = self.gateway.process.stdout.readline()
        self.gateway.process.wait(timeout=30)
        said = (self.cluster.directory / "gateway.log").read_text()
        check(not line and "restore --in-place" in said, "a gateway refuses metadata that were put back unsaid")
        self.gateway_command("restore", "--in-place", f"--data-dir={data}", *self.database("after"))
        self.gateway.start()
        self.gateway.ready()

    def readable(self, path):
        """The programs of PostgreSQL run as another user here."""
        copy = self.postgres.directory / path.name
        shutil.copy(path, copy)
        copy.chmod(0o644)
        return copy

    def check_restored(self, kept, changed, again=False):
        waited = self.cluster.wait(self.cluster.healthy_but_lost, "every chunk that can be is whole again", 60)
        for key, what in kept.items():
            if read(self.s3, BUCKET, key) != body(*what):
                check(False, f"{key} does not read back")
        check(True, f"{len(kept)} objects from before the backup read back after {waited:.1f} s")
        adopted = int(self.cluster.metric(self.cluster.endpoint, "cyxcloud_adopted_shards_total"))
        check(adopted > 0 or again, f"{adopted} shards were adopted where repair had moved them")
        states = [node["state"] for node in self.cluster.health()["nodes"]]
        check(states == ["online"] * NODES, "no node was given up")
        gone = 0
        for key, what in changed.items():
            try:
                got = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
                if got != body(*what):
                    check(False, f"{key} reads wrong bytes")
            except self.s3.exceptions.ClientError as error:
                gone += 1
                if error.response["Error"]["Code"] != "ServiceUnavailable":
                    check(False, f"{key}: {error}")
        check(gone > 0, f"{gone} of {len(changed)} objects that were changed since and collected say that they are gone, the others are as they were")

    def run(self):
        kept = {f"kept/{n}": self.put(f"kept/{n}") for n in range(KEPT)}
        changed = {f"changed/{n}": self.put(f"changed/{n}") for n in range(CHANGED)}
        self.take_backup()
        new = self.live_on(changed)
        self.restore()
        self.check_restored(kept, changed)
        for key in new:
            if read(self.s3, BUCKET, key) is not None:
                check(False, f"{key} is newer than the backup")
        self.unsaid()
        self.check_restored(kept, changed, again=True)
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for entry in page.get("Contents", []):
                if entry["Key"] not in kept:
                    self.s3.delete_object(Bucket=BUCKET, Key=entry["Key"])
        # The backup knows uploads that were under way; what they became since is gone with their parts.
        abort_uploads(self.s3, BUCKET)
        self.cluster.wait(self.cluster.healthy, "without what was lost the cluster is healthy", 60)
        check(True, "the cluster is healthy once what was lost is deleted")
        what = self.put("after")
        check(read(self.s3, BUCKET, "after") == body(*what), "and takes new objects")
        self.cluster.close()
        if self.postgres:
            self.postgres.close()


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--postgres", action="store_true")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    return args


if __name__ == "__main__":
    begun = time.monotonic()
    Run(arguments()).run()
    print(f"ok  all in {time.monotonic() - begun:.0f} s")
