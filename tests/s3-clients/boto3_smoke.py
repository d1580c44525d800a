"""A short run at the root and again below `/s3`, where the same API lives."""

import io

from boto3.s3.transfer import TransferConfig

import common
from boto3_base import S3, client, holds
from boto3_presign import presigned
from common import MIB, eq, payload, same
from sigv4 import fetch


def main(suite):
    for where in ("", "/s3"):
        s3, bucket, body = client(endpoint=common.ENDPOINT + where), common.bucket_name("smoke"), payload("smoke", 12 * MIB)
        check, at = suite.check, f"smoke at {where or '/'}:"
        with check(f"{at} create, list and head buckets"):
            s3.create_bucket(Bucket=bucket)
            assert bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]]
            s3.head_bucket(Bucket=bucket)
        with check(f"{at} put, get, head"):
            for key in ("a/b c+%48é🙂", "s3/a", "plain"):
                s3.put_object(Bucket=bucket, Key=key, Body=body[:100_000])
                same(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), body[:100_000])
                eq(s3.head_object(Bucket=bucket, Key=key)["ContentLength"], 100_000)
                holds(bucket, key, body[:100_000])
        with check(f"{at} list"):
            page = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
            eq(([o["Key"] for o in page["Contents"]], [p["Prefix"] for p in page["CommonPrefixes"]]), (["plain"], ["a/", "s3/"]))
        with check(f"{at} multipart"):
            s3.upload_fileobj(io.BytesIO(body), bucket, "multipart", Config=TransferConfig(multipart_chunksize=5 * MIB))
            same(s3.get_object(Bucket=bucket, Key="multipart")["Body"].read(), body)
        with check(f"{at} copy and part copy"):
            s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a/b c+%48é🙂"})
            holds(bucket, "copy", body[:100_000])
            s3.copy({"Bucket": bucket, "Key": "multipart"}, bucket, "managed", Config=TransferConfig(multipart_threshold=MIB, multipart_chunksize=5 * MIB))
            holds(bucket, "managed", body)
        with check(f"{at} presigned GET and PUT"):
            fetch("PUT", presigned("put_object", bucket, "signed é", s3=s3), b"signed").ok()
            same(fetch("GET", presigned("get_object", bucket, "signed é", s3=s3)).ok().body, b"signed")
        with check(f"{at} delete everything"):
            found = [{"Key": o["Key"]} for o in s3.list_objects_v2(Bucket=bucket)["Contents"]]
            eq(s3.delete_objects(Bucket=bucket, Delete={"Objects": found}).get("Errors", []), [])
            s3.delete_bucket(Bucket=bucket)
