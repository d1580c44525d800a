"""Buckets: create, head, list, locate, delete, names."""

import datetime

import common
import sigv4
from boto3_base import S3, SECOND, clear, make_bucket, put, refused
from common import eq

BAD_NAMES = ["ab", "a" * 64, "Upper-case", "under_score", "-begins", "ends-", "two..dots", "dot.-dash", "192.168.0.1", "xn--abc",
             "abc-s3alias", "b%C3%A4r"]
RESERVED = ["api", "health", "version", "metrics", "console", "cyx-anything", "cyx-x"]


def names_listed(s3=S3):
    return [b["Name"] for b in s3.list_buckets()["Buckets"]]


def main(suite):
    check, bucket = suite.check, common.bucket_name("buckets")
    with check("bucket create"):
        eq(S3.create_bucket(Bucket=bucket)["Location"], f"/{bucket}", "Location")
    with check("bucket head"):
        S3.head_bucket(Bucket=bucket)
    with check("bucket head missing -> 404"):
        refused(S3.head_bucket, 404, Bucket=common.bucket_name("missing"))
    with check("bucket list: sorted, with creation dates"):
        second = make_bucket("buckets")
        names = names_listed()
        assert {bucket, second} <= set(names), f"not listed: {names}"
        eq(names, sorted(names), "order of buckets")
        created = next(b["CreationDate"] for b in S3.list_buckets()["Buckets"] if b["Name"] == bucket)
        age = sigv4.now() - created
        assert abs(age) < datetime.timedelta(minutes=5), f"created {age} ago"
        S3.delete_bucket(Bucket=second)
        assert second not in names_listed(), "a deleted bucket is listed"
    with check("bucket location of us-east-1 is null"):
        eq(S3.get_bucket_location(Bucket=bucket)["LocationConstraint"], None, "LocationConstraint")
    with check("bucket location of a missing one -> NoSuchBucket"):
        refused(S3.get_bucket_location, 404, "NoSuchBucket", Bucket=common.bucket_name("missing"))
    with check("bucket create own again -> 200 or BucketAlreadyOwnedByYou, content kept"):
        put(bucket, "kept", b"kept")
        try:
            S3.create_bucket(Bucket=bucket)
        except S3.exceptions.ClientError as e:
            eq((e.response["ResponseMetadata"]["HTTPStatusCode"], e.response["Error"]["Code"]), (409, "BucketAlreadyOwnedByYou"))
        eq(S3.get_object(Bucket=bucket, Key="kept")["Body"].read(), b"kept")
    with check("bucket create another account's name -> BucketAlreadyExists"):
        refused(SECOND.create_bucket, 409, "BucketAlreadyExists", Bucket=bucket)
    with check("bucket delete non-empty -> BucketNotEmpty"):
        refused(S3.delete_bucket, 409, "BucketNotEmpty", Bucket=bucket)
        eq(S3.get_object(Bucket=bucket, Key="kept")["Body"].read(), b"kept")
    with check("bucket delete missing -> NoSuchBucket"):
        refused(S3.delete_bucket, 404, "NoSuchBucket", Bucket=common.bucket_name("missing"))
    with check("bucket deleted and made again is empty"):
        again = make_bucket("again")
        put(again, "old", b"old")
        S3.delete_object(Bucket=again, Key="old")
        S3.delete_bucket(Bucket=again)
        S3.create_bucket(Bucket=again)
        refused(S3.get_object, 404, "NoSuchKey", Bucket=again, Key="old")
        eq(S3.list_objects_v2(Bucket=again)["KeyCount"], 0)
        S3.delete_bucket(Bucket=again)
    with check("bucket names of 3 and 63 characters, with dots"):
        tail = common.bucket_name("n")[-7:]
        for name in (tail[:3], "n." + tail + ".x", (tail + "-").ljust(63, "9")):
            S3.create_bucket(Bucket=name)
            put(name, "k", b"v")
            S3.delete_object(Bucket=name, Key="k")
            S3.delete_bucket(Bucket=name)
    for name in BAD_NAMES:
        with check(f"bucket name {name[:20]} -> InvalidBucketName"):
            sigv4.request("PUT", f"/{name}").refused(400, "InvalidBucketName")
    for name in RESERVED:
        with check(f"bucket name {name} is reserved"):
            for target in (f"/{name}", f"/s3/{name}"):
                answer = sigv4.request("PUT", target)
                assert 400 <= answer.status < 500, f"PUT {target}: want a 4xx, got {answer!r}"
            assert name not in names_listed(), "the bucket exists now"
    for call, arguments in ((S3.list_objects_v2, {}), (S3.list_objects, {}), (S3.get_object, {"Key": "k"}), (S3.put_object, {"Key": "k"}),
                            (S3.delete_object, {"Key": "k"}), (S3.create_multipart_upload, {"Key": "k"}),
                            (S3.list_multipart_uploads, {}), (S3.get_bucket_versioning, {})):
        with check(f"bucket missing: {call.__name__} -> NoSuchBucket"):
            refused(call, 404, "NoSuchBucket", Bucket=common.bucket_name("missing"), **arguments)
    clear(suite, bucket)
