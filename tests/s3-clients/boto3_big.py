"""The big object, once in one PUT and once in parts; 1 GiB unless S3C_BIG_MIB says otherwise."""

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError

import common
from boto3_base import S3, clear, make_bucket
from common import MIB, ask_again, eq, same


def main(suite):
    check, bucket, size = suite.check, make_bucket("big"), common.BIG_MIB * MIB
    title = f"{common.BIG_MIB} MiB"
    path, digest = common.big_file()

    def verify(key):
        eq(S3.head_object(Bucket=bucket, Key=key)["ContentLength"], size)
        got = ask_again(BotoCoreError, lambda: common.sha256_stream(S3.get_object(Bucket=bucket, Key=key)["Body"]))
        eq(got, (digest, size), "SHA-256 and size")

    with check(f"big {title}: single PUT"), open(path, "rb") as f:
        S3.put_object(Bucket=bucket, Key="single", Body=f)
    with check(f"big {title}: single PUT read back"):
        verify("single")
    with check(f"big {title}: range in the middle"), open(path, "rb") as f:
        at = (size // 2) // (4 * MIB) * 4 * MIB - 1000
        f.seek(at)
        same(S3.get_object(Bucket=bucket, Key="single", Range=f"bytes={at}-{at + 1999}")["Body"].read(), f.read(2000))
    with check(f"big {title}: deleted"):
        S3.delete_object(Bucket=bucket, Key="single")
    with check(f"big {title}: multipart, parts of 16 MiB, 4 at once"):
        S3.upload_file(path, bucket, "multipart", Config=TransferConfig(multipart_chunksize=16 * MIB, max_concurrency=4))
        etag = S3.head_object(Bucket=bucket, Key="multipart")["ETag"]
        assert etag.endswith(f'-{(size + 16 * MIB - 1) // (16 * MIB)}"'), f"ETag {etag}"
    with check(f"big {title}: multipart read back"):
        verify("multipart")
    clear(suite, bucket)
