"""Writers that know which of their writes were acknowledged, and readers that check them against what may be there."""

import random
import threading
import time

from botocore.exceptions import BotoCoreError, ClientError

from dev import body, check

SIZES = [0, 100, 4096, 4097, 60_000, 1_000_000, 5_000_000, 9_000_000]
PART = 5 << 20


class Writer(threading.Thread):
    """Writes a few keys again and again. `acked` holds what was acknowledged, `tried` what may or may not have happened since."""

    def __init__(self, s3, bucket, prefix, seed, keys=6):
        super().__init__(daemon=True)
        self.s3, self.bucket, self.prefix, self.random, self.keys = s3, bucket, prefix, random.Random(seed), keys
        self.acked, self.tried = {}, {}

    def write(self):
        """One PUT, multipart upload or DELETE. Whatever it raises, it may or may not have happened."""
        # Few keys, so that overwrites and deletes are as frequent as new objects.
        key = f"{self.prefix}/{self.random.randrange(self.keys)}"
        kind = self.random.randrange(10)
        wanted = None if kind == 0 else (self.random.getrandbits(64), self.random.choice(SIZES))
        self.tried.setdefault(key, []).append(wanted)
        if wanted is None:
            self.s3.delete_object(Bucket=self.bucket, Key=key)
        elif kind == 1:
            self.multipart(key, wanted)
        else:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=body(*wanted))
        self.acked[key], self.tried[key] = wanted, []

    def multipart(self, key, wanted):
        where = {"Bucket": self.bucket, "Key": key}
        upload = self.s3.create_multipart_upload(**where)["UploadId"]
        whole, parts = body(*wanted), []
        for number, start in enumerate(range(0, max(len(whole), 1), PART), 1):
            part = self.s3.upload_part(**where, UploadId=upload, PartNumber=number, Body=whole[start:start + PART])
            parts.append({"PartNumber": number, "ETag": part["ETag"]})
        self.s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})

    def which(self, key):
        """Reads a key and says which of the writes that may be there it shows; anything else fails the test."""
        got = read(self.s3, self.bucket, key)
        allowed = [self.acked.get(key), *self.tried.get(key, [])]
        match = [a for a in allowed if (None if a is None else body(*a)) == got]
        if not match:
            check(False, f"{key}: {None if got is None else len(got)} bytes are none of {allowed}")
        return match[0]


class Tolerant(Writer):
    """Writes and reads back until it is stopped. What fails may or may not have happened."""

    def __init__(self, *args):
        super().__init__(*args, keys=12)
        self.go, self.turn, self.stop = threading.Event(), threading.Lock(), False
        self.done, self.failed = [], []
        self.go.set()

    def run(self):
        while self.go.wait() and not self.stop:
            with self.turn:
                kind = self.random.choice(["write", "read"])
                begun = time.monotonic()
                try:
                    if kind == "write":
                        self.write()
                    elif self.acked:
                        self.which(self.random.choice(list(self.acked)))
                    self.done.append((kind, begun, time.monotonic()))
                    continue
                except ClientError as error:
                    why = error.response["Error"]["Code"]
                    if error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                        why = f"NOT EXPECTED {error}"
                except BotoCoreError as error:
                    why = type(error).__name__
                except SystemExit:
                    why = "NOT EXPECTED wrong bytes"
                self.failed.append((kind, begun, time.monotonic(), why))
            time.sleep(0.05)

    def pause(self):
        self.go.clear()
        with self.turn:
            pass


def read(s3, bucket, key):
    try:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None


def settle(writer):
    """Checks every key of a writer against what it was told, and returns what is there now."""
    return {key: writer.which(key) for key in set(writer.acked) | set(writer.tried)}


def listed(s3, bucket):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {o["Key"] for page in pages for o in page.get("Contents", [])}


def abort_uploads(s3, bucket):
    for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
