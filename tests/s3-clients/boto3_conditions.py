"""Conditional reads and writes, and many conditional writers at once."""

import datetime

from boto3_base import S3, at_once, body_of, clear, finish, holds, make_bucket, put, refused, upload
from common import eq, one_of, payload

HOUR = datetime.timedelta(hours=1)
OTHER = f'"{"0" * 32}"'


def reads(suite, bucket):
    etag = put(bucket, "c", b"condition")
    put(bucket, "later", b"x")
    modified = S3.head_object(Bucket=bucket, Key="c")["LastModified"]
    before, after = modified - HOUR, modified
    cases = [
        ("If-Match same", {"IfMatch": etag}, 200),
        ("If-Match without quotes", {"IfMatch": etag.strip('"')}, 200),
        ("If-Match other", {"IfMatch": OTHER}, 412),
        ("If-Match *", {"IfMatch": "*"}, 200),
        ("If-None-Match same", {"IfNoneMatch": etag}, 304),
        ("If-None-Match other", {"IfNoneMatch": OTHER}, 200),
        ("If-None-Match *", {"IfNoneMatch": "*"}, 304),
        ("If-Modified-Since before", {"IfModifiedSince": before}, 200),
        ("If-Modified-Since same", {"IfModifiedSince": after}, 304),
        ("If-Unmodified-Since same", {"IfUnmodifiedSince": after}, 200),
        ("If-Unmodified-Since before", {"IfUnmodifiedSince": before}, 412),
        ("If-Match holds, If-Unmodified-Since does not", {"IfMatch": etag, "IfUnmodifiedSince": before}, 200),
        ("If-None-Match fails, If-Modified-Since holds", {"IfNoneMatch": etag, "IfModifiedSince": before}, 304),
        ("If-None-Match holds, If-Modified-Since does not", {"IfNoneMatch": OTHER, "IfModifiedSince": after}, 200),
    ]
    for call in (S3.get_object, S3.head_object):
        method = "GET" if call == S3.get_object else "HEAD"
        for title, arguments, status in cases:
            with suite.check(f"condition {method} {title} -> {status}"):
                if status == 200:
                    eq(call(Bucket=bucket, Key="c", **arguments)["ETag"], etag)
                else:
                    codes = ("PreconditionFailed",) if status == 412 and method == "GET" else ()
                    refused(call, status, *codes, Bucket=bucket, Key="c", **arguments)
    with suite.check("condition GET If-Match with a range"):
        eq(body_of(bucket, "c", IfMatch=etag, Range="bytes=0-3"), b"cond")
        refused(S3.get_object, 412, "PreconditionFailed", Bucket=bucket, Key="c", IfMatch=OTHER, Range="bytes=0-3")
    with suite.check("condition GET If-Match of a missing key -> NoSuchKey"):
        refused(S3.get_object, 404, "NoSuchKey", Bucket=bucket, Key="missing", IfMatch=etag)


def writes(suite, bucket):
    check = suite.check
    with check("condition PUT If-None-Match:* of a new key"):
        put(bucket, "new", b"first", IfNoneMatch="*")
        holds(bucket, "new", b"first")
    with check("condition PUT If-None-Match:* of an existing key -> 412"):
        refused(S3.put_object, 412, "PreconditionFailed", Bucket=bucket, Key="new", Body=b"second", IfNoneMatch="*")
        holds(bucket, "new", b"first")
    with check("condition PUT If-None-Match:* after delete"):
        S3.delete_object(Bucket=bucket, Key="new")
        put(bucket, "new", b"third", IfNoneMatch="*")
    with check("condition PUT If-Match of the current ETag"):
        etag = put(bucket, "swap", b"one")
        put(bucket, "swap", b"two", IfMatch=etag)
        holds(bucket, "swap", b"two")
    with check("condition PUT If-Match of an old ETag -> 412"):
        refused(S3.put_object, 412, "PreconditionFailed", Bucket=bucket, Key="swap", Body=b"three", IfMatch=etag)
        holds(bucket, "swap", b"two")
    with check("condition PUT If-Match of a missing key -> NoSuchKey"):
        refused(S3.put_object, 404, "NoSuchKey", Bucket=bucket, Key="absent", Body=b"x", IfMatch=etag)
        refused(S3.head_object, 404, Bucket=bucket, Key="absent")
    with check("condition CompleteMultipartUpload If-None-Match:*"):
        id, done = upload(bucket, "swap", [b"part"], complete=False)
        refused(lambda: finish(bucket, "swap", id, done, IfNoneMatch="*"), 412, "PreconditionFailed")
        holds(bucket, "swap", b"two")
        S3.abort_multipart_upload(Bucket=bucket, Key="swap", UploadId=id)
        id, done = upload(bucket, "fresh", [b"part"], complete=False)
        finish(bucket, "fresh", id, done, IfNoneMatch="*")
        holds(bucket, "fresh", b"part")
    with check("condition CompleteMultipartUpload If-Match"):
        etag = put(bucket, "cas", b"one")
        id, done = upload(bucket, "cas", [b"part"], complete=False)
        refused(lambda: finish(bucket, "cas", id, done, IfMatch=OTHER), 412, "PreconditionFailed")
        holds(bucket, "cas", b"one")
        finish(bucket, "cas", id, done, IfMatch=etag)
        holds(bucket, "cas", b"part")


def status_of(result):
    return result.response["ResponseMetadata"]["HTTPStatusCode"] if isinstance(result, S3.exceptions.ClientError) else result


def races(suite, bucket):
    for size in (64, 1 << 20):
        with suite.check(f"condition 64 PUTs with If-None-Match:* at once, {size} bytes each: exactly one wins"):
            key, bodies = f"race-{size}", [payload(f"race-{i}", size) for i in range(64)]
            results = [status_of(r) for r in at_once(64, lambda i: put(bucket, key, bodies[i], IfNoneMatch="*") and 200)]
            winners = [i for i, r in enumerate(results) if r == 200]
            eq(len(winners), 1, f"winners of {sorted(map(str, set(results)))}")
            for r in results:
                one_of(r, {200, 409, 412}, "answer to a conditional PUT")
            holds(bucket, key, bodies[winners[0]])
    with suite.check("condition 16 PUTs with If-Match of one ETag at once: exactly one wins"):
        etag, bodies = put(bucket, "swap-race", b"old"), [payload(f"swap-{i}", 1000) for i in range(16)]
        results = [status_of(r) for r in at_once(16, lambda i: put(bucket, "swap-race", bodies[i], IfMatch=etag) and 200)]
        winners = [i for i, r in enumerate(results) if r == 200]
        eq(len(winners), 1, f"winners of {results}")
        for r in results:
            one_of(r, {200, 409, 412}, "answer to a conditional PUT")
        holds(bucket, "swap-race", bodies[winners[0]])


def main(suite):
    bucket = make_bucket("conditions")
    for topic in (reads, writes, races):
        topic(suite, bucket)
    clear(suite, bucket)
