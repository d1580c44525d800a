"""kill -9 in the middle of writes: every acked object reads back, nothing is half visible, and no orphan remains after gc."""

import random
import threading
import time

from botocore.exceptions import BotoCoreError, ClientError

from dev import Dev, arguments, body, check

SIZES = [0, 100, 4096, 4097, 60_000, 1_000_000, 5_000_000, 9_000_000]
WRITERS = 6
PART = 5 << 20


class Writer(threading.Thread):
    """Writes until its server is gone. `acked` holds what was acknowledged, `tried` what may or may not have happened since."""

    def __init__(self, dev, bucket, prefix, seed):
        super().__init__()
        self.s3, self.bucket, self.prefix, self.random = dev.s3(), bucket, prefix, random.Random(seed)
        self.acked, self.tried, self.unexpected = {}, {}, []

    def run(self):
        while True:
            # Few keys, so that overwrites and deletes are as frequent as new objects.
            key = f"{self.prefix}/{self.random.randrange(6)}"
            kind = self.random.randrange(10)
            wanted = None if kind == 0 else (self.random.getrandbits(64), self.random.choice(SIZES))
            self.tried.setdefault(key, []).append(wanted)
            try:
                if wanted is None:
                    self.s3.delete_object(Bucket=self.bucket, Key=key)
                elif kind == 1:
                    self.multipart(key, wanted)
                else:
                    self.s3.put_object(Bucket=self.bucket, Key=key, Body=body(*wanted))
            except BotoCoreError:
                return
            except ClientError as error:
                self.unexpected.append(error)
                return
            self.acked[key], self.tried[key] = wanted, []

    def multipart(self, key, wanted):
        where = {"Bucket": self.bucket, "Key": key}
        upload = self.s3.create_multipart_upload(**where)["UploadId"]
        whole, parts = body(*wanted), []
        for number, start in enumerate(range(0, max(len(whole), 1), PART), 1):
            part = self.s3.upload_part(**where, UploadId=upload, PartNumber=number, Body=whole[start:start + PART])
            parts.append({"PartNumber": number, "ETag": part["ETag"]})
        self.s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})


def read(s3, bucket, key):
    try:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None


def settle(s3, bucket, writer):
    """Checks every key of a writer against what it was told, and returns what is there now."""
    there = {}
    for key in set(writer.acked) | set(writer.tried):
        got = read(s3, bucket, key)
        allowed = [writer.acked.get(key), *writer.tried.get(key, [])]
        match = [a for a in allowed if (None if a is None else body(*a)) == got]
        if not match:
            check(False, f"{key}: {None if got is None else len(got)} bytes are none of {allowed}")
        there[key] = match[0]
    return there


def abort_uploads(s3, bucket):
    for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def no_orphans(dev, round_number):
    """After gc the shard files are exactly the copies that the metadata name."""
    done = dev.command("dev-gc")
    files, placed = len(dev.shard_files()), sum(node["shards"] for node in dev.health()["nodes"])
    if files != placed or done["chunks_left"]:
        check(False, f"round {round_number}: {files} shard files but {placed} in the metadata after {done}")
    return done


def main():
    args = arguments(rounds=50)
    rng = random.Random(args.seed)
    dev = Dev(args.binary, "--gc-grace-ms", "0")
    bucket = "kill9"
    dev.s3().create_bucket(Bucket=bucket)
    truth, acked, orphans = {}, 0, 0
    for number in range(args.rounds):
        writers = [Writer(dev, bucket, f"w{n}", rng.getrandbits(32)) for n in range(WRITERS)]
        for n, writer in enumerate(writers):
            writer.acked = {key: what for key, what in truth.items() if key.startswith(f"w{n}/")}
            writer.start()
        time.sleep(rng.uniform(0.02, 1.2))
        dev.kill()
        for writer in writers:
            writer.join()
            if writer.unexpected:
                check(False, f"round {number}: a write was refused: {writer.unexpected[0]}")
        dev.start()
        s3 = dev.s3()
        truth = {}
        for writer in writers:
            truth.update(settle(s3, bucket, writer))
        acked += sum(len(w.acked) for w in writers)
        listed = {o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}
        if listed != {key for key, what in truth.items() if what}:
            check(False, f"round {number}: the list shows {listed ^ {k for k, w in truth.items() if w}}")
        abort_uploads(s3, bucket)
        orphans += no_orphans(dev, number)["orphans"]
    check(True, f"{args.rounds} rounds of kill -9: {acked} acked keys read back, none half visible, {orphans} orphans collected, none left")
    check(orphans > 0, "the kills hit writes in flight (there were orphans to collect)")
    check(dev.interrupt() == 0, "Ctrl-C stops it cleanly")
    dev.start()
    s3 = dev.s3()
    check(all(read(s3, bucket, k) == (None if w is None else body(*w)) for k, w in truth.items()), "a restart finds everything")
    dev.close()


main()
