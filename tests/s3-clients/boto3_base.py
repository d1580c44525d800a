"""boto3 clients and what is shared by the boto3_* topics."""

import hashlib
import threading

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

import common
from common import eq, one_of, same


def client(access=None, secret=None, endpoint=None, style="path", **config):
    """A client that never retries unless told to, so that no error of the server stays hidden."""
    return boto3.client(
        "s3", endpoint_url=endpoint or common.ENDPOINT, region_name=common.REGION,
        aws_access_key_id=access or common.ACCESS_KEY, aws_secret_access_key=secret or common.SECRET_KEY,
        config=Config(signature_version="s3v4", retries={"total_max_attempts": common.ATTEMPTS, "mode": "standard"}, max_pool_connections=64, read_timeout=90,
                      s3={"addressing_style": style}, **config))


S3 = client()
SECOND = client(common.ACCESS_KEY_2, common.SECRET_KEY_2)


def refused(call, status, *codes, **arguments):
    """Calls and wants an error with this status (or one of several) and, where named, one of the codes."""
    try:
        call(**arguments)
    except ClientError as e:
        got, code = e.response["ResponseMetadata"]["HTTPStatusCode"], e.response["Error"]["Code"]
        one_of(got, {status} if isinstance(status, int) else set(status), f"status (code {code})")
        if codes:
            one_of(code, set(codes), "error code")
        return e.response
    raise AssertionError(f"accepted; want {status} {'/'.join(codes)}")


def make_bucket(what, s3=S3):
    name = common.bucket_name(what)
    s3.create_bucket(Bucket=name)
    return name


def body_of(bucket, key, s3=S3, **arguments):
    return s3.get_object(Bucket=bucket, Key=key, **arguments)["Body"].read()


def put(bucket, key, body, **arguments):
    """Puts, checks the ETag to be the MD5, and returns it with its quotes."""
    etag = S3.put_object(Bucket=bucket, Key=key, Body=body, **arguments)["ETag"]
    eq(etag, f'"{hashlib.md5(body).hexdigest()}"', "ETag of a single PUT")
    return etag


def holds(bucket, key, body, **arguments):
    """Checks that the object has exactly this content."""
    same(body_of(bucket, key, **arguments), body, f"object {key!r:.60}")


def keys(bucket, **arguments):
    return [o["Key"] for page in S3.get_paginator("list_objects_v2").paginate(Bucket=bucket, **arguments)
            for o in page.get("Contents", [])]


def part_etag(parts):
    """ETag of a multipart object from the bytes of its parts."""
    digest = hashlib.md5(b"".join(hashlib.md5(p).digest() for p in parts)).hexdigest()
    return f'"{digest}-{len(parts)}"'


def upload(bucket, key, parts, complete=True, **create):
    """A multipart upload of `parts` ({number: bytes} or list); returns upload id and the list of parts for completing."""
    numbered = parts if isinstance(parts, dict) else dict(enumerate(parts, 1))
    id = S3.create_multipart_upload(Bucket=bucket, Key=key, **create)["UploadId"]
    done = [{"PartNumber": n, "ETag": S3.upload_part(Bucket=bucket, Key=key, UploadId=id, PartNumber=n, Body=body)["ETag"]}
            for n, body in numbered.items()]
    if complete:
        finish(bucket, key, id, done)
    return id, done


def finish(bucket, key, id, done, **arguments):
    return S3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=id, MultipartUpload={"Parts": done}, **arguments)


def at_once(count, call):
    """Calls `call(i)` from `count` threads that start together; returns the results."""
    barrier, results = threading.Barrier(count), [None] * count

    def work(i):
        barrier.wait()
        try:
            results[i] = call(i)
        except Exception as e:  # handed to the caller, who decides
            results[i] = e

    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def clear(suite, *buckets, s3=S3):
    """Removes the buckets with everything in them, as a check of its own."""
    with suite.check(f"empty and delete {', '.join(b.split('-')[1] for b in buckets)}"):
        for bucket in buckets:
            for up in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
                s3.abort_multipart_upload(Bucket=bucket, Key=up["Key"], UploadId=up["UploadId"])
            while found := s3.list_objects_v2(Bucket=bucket).get("Contents"):
                gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": o["Key"]} for o in found], "Quiet": True})
                eq(gone.get("Errors", []), [], "errors of DeleteObjects")
            s3.delete_bucket(Bucket=bucket)
            refused(s3.head_bucket, 404, Bucket=bucket)
