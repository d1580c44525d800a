"""Three gateways over one PostgreSQL and one Redis: gateways are killed, Redis and the database crash under load; nothing acked is lost, nothing is half
visible. With --clients the S3 clients run through a load balancer meanwhile."""

import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from balancer import Balancer
from cluster import KEY, SECRET, Cluster, free_port
from dev import arguments, body, check
from load import SIZES, Tolerant, abort_uploads, listed, read, settle
from postgres import Postgres
from redis_server import Redis

BUCKET = "gateways"
GATEWAYS = 3
WRITERS = 6
KEPT = 20
BIG_MIB, ATTEMPTS = 64, 8
# What one gateway answers another may be asked for at once.
RACES, RACERS = 100, 100


def client(endpoint):
    settings = Config(retries={"total_max_attempts": 1, "mode": "standard"}, max_pool_connections=64, read_timeout=60)
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=settings, aws_access_key_id=KEY, aws_secret_access_key=SECRET)


class Any:
    """A client that sends each request to some gateway. An upload of several parts goes to several."""

    def __init__(self, clients, seed):
        self.clients, self.random, self.exceptions = clients, random.Random(seed), clients[0].exceptions

    def __getattr__(self, name):
        return getattr(self.random.choice(self.clients), name)


class Run:
    def __init__(self, args):
        self.rng = random.Random(args.seed)
        self.args, self.postgres, self.redis = args, Postgres(), Redis()
        shared = [f"--database-url={self.postgres.url}", f"--redis-url={self.redis.url}"]
        ports = [(free_port(), free_port()) for _ in range(1, GATEWAYS)]
        others = [f"127.0.0.1:{grpc}" for _, grpc in ports]
        self.cluster = Cluster(args.binary, gateway_flags=[*shared, "--database-connections=32", "--local-admin"], rebalancer_flags=shared,
                               other_gateways=others)
        self.gateways = [self.cluster.gateway, *(self.further(number, *pair) for number, pair in enumerate(ports, 1))]
        self.endpoints = [self.cluster.endpoint, *(gateway.endpoint for gateway in self.gateways[1:])]
        self.clients = [client(endpoint) for endpoint in self.endpoints]
        for gateway in self.gateways[1:]:
            gateway.start()
        for gateway in self.gateways[1:]:
            gateway.ready()
        for bucket in (BUCKET, "direct"):
            self.clients[0].create_bucket(Bucket=bucket)
        self.kept = {f"kept/{n}": (self.rng.getrandbits(64), SIZES[n % len(SIZES)]) for n in range(KEPT)}
        for number, (key, what) in enumerate(self.kept.items()):
            self.clients[number % GATEWAYS].put_object(Bucket=BUCKET, Key=key, Body=body(*what))
        self.writers = [Tolerant(Any(self.clients, n), BUCKET, f"w{n}", self.rng.getrandbits(32)) for n in range(WRITERS)]
        self.keys = 0

    def further(self, number, http, grpc):
        """A gateway with the secrets of the first and a data directory of its own."""
        first, data = self.cluster.directory / "gateway", self.cluster.directory / f"gateway-{number}"
        data.mkdir()
        for secret in ("seal.key", "cluster.key", "database.id"):
            shutil.copy(first / secret, data / secret)
        replaced = {"--http-addr": f"127.0.0.1:{http}", "--grpc-addr": f"127.0.0.1:{grpc}", "--data-dir": data}
        flags = [f"{flag}={replaced[flag]}" if (flag := argument.split("=")[0]) in replaced else argument for argument in self.cluster.gateway.command[1:]]
        gateway = self.cluster.process(f"gateway-{number}", "cyxcloud-gateway", self.cluster.secrets, flags)
        gateway.endpoint = f"http://127.0.0.1:{http}"
        return gateway

    def kill_one(self):
        gateway = self.rng.choice(self.gateways)
        gateway.kill()
        time.sleep(self.rng.uniform(0, 0.5))
        gateway.start()
        gateway.ready()

    def clients_through_kills(self, only):
        """The S3 clients, whose requests a load balancer sends to some gateway, while one gateway after the other is killed."""
        balancer = Balancer(self.cluster.directory, self.endpoints)
        account = [self.args.binary, "dev-key", "create", "second", "--json", "--http-addr", self.endpoints[0].removeprefix("http://")]
        second = json.loads(subprocess.run(account, check=True, capture_output=True, text=True).stdout)
        run = Path(__file__).parent.parent / "s3-clients" / "run"
        command = [run, f"--only={only}", f"--big-mib={BIG_MIB}", f"--attempts={ATTEMPTS}", f"--endpoint={balancer.endpoint}", f"--access-key={KEY}", f"--secret-key={SECRET}",
                   f"--second-access-key={second['access_key_id']}", f"--second-secret-key={second['secret_access_key']}"]
        clients = subprocess.Popen(list(map(str, command)))
        kills = 0
        while clients.poll() is None:
            time.sleep(self.rng.uniform(2, 4))
            self.kill_one()
            kills += 1
        balancer.close()
        check(clients.returncode == 0, f"the S3 clients {only} passed while gateways were killed {kills} times")

    def without_redis(self):
        """S3 goes on; what must be known to be new is refused; and both are as before once Redis is back, which remembers nothing."""
        command = [self.args.binary, "upload", "--direct", "-", "direct/a"]
        env = {**os.environ, "CYX_GATEWAY": self.cluster.grpc, "CYX_ACCESS_KEY_ID": KEY, "CYX_SECRET_ACCESS_KEY": SECRET, "CYX_ALLOW_NODE_CIDR": "127.0.0.0/8"}

        def direct():
            return subprocess.run(command, capture_output=True, text=True, env=env, input="straight to the nodes " * 1000)

        self.redis.kill()
        away = time.monotonic()
        took = self.cluster.wait(lambda: all(self.finished(away, kind) for kind in ("write", "read")), "PUT and GET without Redis", 20)
        refused = direct()
        check(refused.returncode != 0 and "Redis" in refused.stderr, f"a direct upload is refused without Redis: {refused.stderr.strip()}")
        self.redis.start()
        back = self.cluster.wait(lambda: direct().returncode == 0, "direct uploads work again", 30)
        print(f"   without Redis S3 was served after {took:.1f} s; direct uploads again {back:.1f} s after it was back", flush=True)

    def round(self, number):
        begun = time.monotonic()
        kinds = Counter()
        while time.monotonic() < begun + 12:
            time.sleep(self.rng.uniform(0.5, 2))
            self.kill_one()
            kinds["gateway"] += 1
        self.without_redis()
        since = time.monotonic()
        self.postgres.crash()
        time.sleep(self.rng.uniform(0, 2))
        self.postgres.start()
        back = time.monotonic()
        served = self.cluster.wait(lambda: all(self.finished(back, kind) for kind in ("write", "read")), "PUT and GET work again", 60)
        print(f"-- round {number + 1}: {kinds['gateway']} gateways killed; the database was away for {back - since:.1f} s, both kinds were served {served:.1f} s "
              f"after it was back", flush=True)
        for writer in self.writers:
            writer.pause()
        self.settle()
        for writer in self.writers:
            writer.go.set()

    def finished(self, since, kind):
        return sum(k == kind and begun >= since for writer in self.writers for k, begun, _ in list(writer.done))

    def settle(self):
        """Every gateway shows what was acked, and the same list."""
        unexpected = [failure for writer in self.writers for failure in writer.failed if "NOT EXPECTED" in failure[3]]
        if unexpected:
            check(False, f"writers met {unexpected[:3]}")
        truth = dict(self.kept)
        for writer in self.writers:
            writer.acked, writer.tried = settle(writer), {}
            truth.update(writer.acked)
        for number, (key, what) in enumerate(truth.items()):
            if read(self.clients[number % GATEWAYS], BUCKET, key) != (body(*what) if what else None):
                check(False, f"{key} does not read back")
        there = {key for key, what in truth.items() if what}
        for endpoint, s3 in zip(self.endpoints, self.clients):
            wrong = listed(s3, BUCKET) ^ there
            if wrong:
                check(False, f"the list of {endpoint} is wrong about {wrong}")
        abort_uploads(self.clients[0], BUCKET)
        self.keys += len(truth)

    def end(self):
        for writer in self.writers:
            writer.pause()
            writer.stop = True
            writer.go.set()
            writer.join()
        failed = Counter(f"{kind} {why}" for writer in self.writers for kind, _, _, why in writer.failed)
        done = sum(len(writer.done) for writer in self.writers)
        print(f"{done} operations acked; failed meanwhile: {dict(failed)}", flush=True)
        took = self.cluster.wait(self.cluster.healthy, "healthy at the end")
        check(True, f"healthy at the end, {took:.1f} s after the load")

    def race(self):
        """Conditional creates of the same keys through all gateways at once."""
        def create(number):
            s3, key = self.clients[number % GATEWAYS], f"race/{number // GATEWAYS % RACES}"
            try:
                s3.put_object(Bucket=BUCKET, Key=key, Body=str(number).encode(), IfNoneMatch="*")
                return key, number
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (409, 412):
                    raise
                return None

        begun = time.monotonic()
        with ThreadPoolExecutor(96) as pool:
            won = [answer for answer in pool.map(create, range(RACES * RACERS)) if answer]
        check(len(won) == RACES and len({key for key, _ in won}) == RACES,
              f"{RACES * RACERS} conditional creates of {RACES} keys through {GATEWAYS} gateways: {len(won)} winners, {time.monotonic() - begun:.0f} s")
        wrong = [key for key, number in won if read(self.clients[0], BUCKET, key) != str(number).encode()]
        check(not wrong, f"each key holds what its winner put {wrong}")

    def close(self):
        for gateway in self.gateways[1:]:
            gateway.kill()
        self.cluster.close()
        self.redis.kill()
        self.postgres.close()


def main():
    args = arguments(rounds=3, clients="")
    run = Run(args)
    if args.clients:
        run.clients_through_kills(args.clients)
    for writer in run.writers:
        writer.start()
    begun = time.monotonic()
    for number in range(args.rounds):
        run.round(number)
    check(True, f"{args.rounds} rounds in {time.monotonic() - begun:.0f} s: {run.keys} acked keys read back, none half visible, every gateway's list is right")
    run.end()
    run.race()
    run.close()


main()
