"""Objects: sizes, ranges, headers, overwriting, deleting, the unversioned bucket."""

import datetime
import hashlib

import common
import sigv4
from boto3_base import S3, at_once, body_of, clear, holds, keys, make_bucket, put, refused
from common import MIB, eq, name_of, one_of, payload, same

HEADERS = {"ContentType": "text/x-test; charset=utf-8", "CacheControl": "max-age=60, private", "ContentEncoding": "gzip",
           "ContentDisposition": 'attachment; filename="a b.txt"', "ContentLanguage": "de, en"}


def sizes(suite, bucket):
    for size in common.SIZES:
        with suite.check(f"object of {name_of(size)}: put, get, head"):
            body = payload("object", size)
            etag = put(bucket, "sized", body)
            got = S3.get_object(Bucket=bucket, Key="sized")
            same(got["Body"].read(), body)
            head = S3.head_object(Bucket=bucket, Key="sized")
            for answer in (got, head):
                eq((answer["ContentLength"], answer["ETag"], answer["AcceptRanges"]), (size, etag, "bytes"))
    with suite.check("object of 9 MiB, all zero bytes"):
        put(bucket, "zeros", bytes(9 * MIB))
        holds(bucket, "zeros", bytes(9 * MIB))
    with suite.check("object of 1 zero byte"):
        put(bucket, "zeros", b"\0")
        holds(bucket, "zeros", b"\0")
    with suite.check("object: identical bodies under two keys, one deleted"):
        body = payload("twin", 5 * MIB)
        put(bucket, "twin-1", body)
        put(bucket, "twin-2", body)
        S3.delete_object(Bucket=bucket, Key="twin-1")
        holds(bucket, "twin-2", body)
        refused(S3.get_object, 404, "NoSuchKey", Bucket=bucket, Key="twin-1")
    with suite.check("object overwritten: smaller, larger, empty, the same"):
        for size in (5 * MIB, 10, 9 * MIB, 0, 11, 11):
            put(bucket, "over", payload(f"over-{size}", size))
            holds(bucket, "over", payload(f"over-{size}", size))
        eq(keys(bucket, Prefix="over"), ["over"])
    with suite.check("object overwritten by 12 writers at once: one whole body wins"):
        bodies = [payload(f"race-{i}", 300_000 + i) for i in range(12)]
        results = at_once(12, lambda i: put(bucket, "race", bodies[i]))
        for r in results:
            assert isinstance(r, str), f"a writer failed: {r!r}"
        assert common.sha256(body_of(bucket, "race")) in map(common.sha256, bodies), "the object is none of the bodies"


def ranges(suite, bucket):
    size = 9 * MIB + 5
    body = payload("ranges", size)
    with suite.check("range: the object"):
        put(bucket, "r", body)
        put(bucket, "empty", b"")
    chunk, shard, last = 4 * MIB, 419456, size - 1
    for title, spec, first, end in (
            ("first byte", "0-0", 0, 0), ("first ten", "0-9", 0, 9), ("last byte", f"{last}-{last}", last, last), ("suffix 7", "-7", size - 7, last),
            ("across 4 MiB", f"{chunk - 3}-{chunk + 2}", chunk - 3, chunk + 2), ("from 4 MiB", f"{chunk}-{chunk}", chunk, chunk),
            ("across 419456", f"{shard - 1}-{shard}", shard - 1, shard), ("across 2 * 419456", f"{2 * shard - 9}-{2 * shard + 9}", 2 * shard - 9, 2 * shard + 9),
            ("across two chunks", f"{chunk - 1}-{2 * chunk}", chunk - 1, 2 * chunk), ("open ended", f"{chunk + 1}-", chunk + 1, last),
            ("ending beyond the end", f"{size - 4}-{size + 99}", size - 4, last), ("suffix longer than the object", f"-{size + 1}", 0, last)):
        with suite.check(f"range {title}"):
            got = S3.get_object(Bucket=bucket, Key="r", Range=f"bytes={spec}")
            same(got["Body"].read(), body[first : end + 1])
            eq(got["ResponseMetadata"]["HTTPStatusCode"], 206, "status")
            eq(got["ContentRange"], f"bytes {first}-{end}/{size}", "Content-Range")
            eq(got["ContentLength"], end + 1 - first, "Content-Length")
    for title, key, spec in (("at the end", "r", f"{size}-"), ("beyond the end", "r", f"{size + 5}-{size + 9}"), ("suffix 0", "r", "-0"),
                             ("of an empty object", "empty", "0-0")):
        with suite.check(f"range {title} -> InvalidRange"):
            refused(S3.get_object, 416, "InvalidRange", Bucket=bucket, Key=key, Range=f"bytes={spec}")


def headers(suite, bucket):
    expires = datetime.datetime(2031, 5, 6, 7, 8, 9, tzinfo=datetime.timezone.utc)
    metadata = {"plain": "value", "mixed-Case": "Keeps Case of values", "with-spaces": "a  b", "empty": ""}
    lower = {k.lower(): v for k, v in metadata.items()}
    with suite.check("headers: content headers and user metadata come back by GET and HEAD"):
        put(bucket, "h", b"body", Metadata=metadata, Expires=expires, **HEADERS)
        for answer in (S3.get_object(Bucket=bucket, Key="h"), S3.head_object(Bucket=bucket, Key="h")):
            eq({h: answer.get(h) for h in HEADERS}, HEADERS)
            eq(answer["ExpiresString"], "Tue, 06 May 2031 07:08:09 GMT", "Expires")
            eq({**answer["Metadata"], "with-spaces": " ".join(answer["Metadata"].get("with-spaces", "").split())},
               {**lower, "with-spaces": "a b"}, "metadata")
    with suite.check("headers: overwriting forgets the old ones, type falls back to the default"):
        put(bucket, "h", b"other")
        head = S3.head_object(Bucket=bucket, Key="h")
        eq({h: head.get(h) for h in HEADERS if h != "ContentType"}, {h: None for h in HEADERS if h != "ContentType"})
        eq((head["Metadata"], head.get("ExpiresString")), ({}, None))
        one_of(head["ContentType"], {"binary/octet-stream", "application/octet-stream"}, "Content-Type")
    with suite.check("headers: 2 KiB of metadata fit"):
        put(bucket, "m", b"", Metadata={"k": "v" * 2000})
        eq(S3.head_object(Bucket=bucket, Key="m")["Metadata"], {"k": "v" * 2000})
    with suite.check("headers: more than 2 KiB of metadata -> MetadataTooLarge"):
        refused(S3.put_object, 400, "MetadataTooLarge", Bucket=bucket, Key="m2", Body=b"", Metadata={"k": "v" * 2100})
        refused(S3.head_object, 404, Bucket=bucket, Key="m2")
    with suite.check("headers: Last-Modified is now, request id is sent"):
        put(bucket, "now", b"")
        head = S3.head_object(Bucket=bucket, Key="now")
        assert abs(sigv4.now() - head["LastModified"]) < datetime.timedelta(minutes=5), f"Last-Modified {head['LastModified']}"
        assert head["ResponseMetadata"].get("RequestId"), "no x-amz-request-id"


def deleting(suite, bucket):
    with suite.check("delete: the object is gone for GET, HEAD and list"):
        put(bucket, "d", payload("d", MIB))
        eq(S3.delete_object(Bucket=bucket, Key="d")["ResponseMetadata"]["HTTPStatusCode"], 204)
        refused(S3.get_object, 404, "NoSuchKey", Bucket=bucket, Key="d")
        refused(S3.head_object, 404, Bucket=bucket, Key="d")
        eq(keys(bucket, Prefix="d"), [])
    with suite.check("delete a missing key -> 204"):
        eq(S3.delete_object(Bucket=bucket, Key="never")["ResponseMetadata"]["HTTPStatusCode"], 204)
    with suite.check("delete with If-Match of another ETag never deletes"):
        put(bucket, "guarded", b"guarded")
        refused(S3.delete_object, (412, 501), "PreconditionFailed", "NotImplemented", Bucket=bucket, Key="guarded", IfMatch=f'"{"0" * 32}"')
        holds(bucket, "guarded", b"guarded")
    names = ["many/1", "many/2 +&<>", "many/é", "many/missing"]
    for quiet in (False, True):
        with suite.check(f"delete many, {'quiet' if quiet else 'verbose'}, one key missing"):
            for name in names[:-1]:
                put(bucket, name, b"x")
            put(bucket, "many/kept", b"x")
            gone = S3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in names], "Quiet": quiet})
            eq(sorted(d["Key"] for d in gone.get("Deleted", [])), [] if quiet else sorted(names), "Deleted")
            eq(gone.get("Errors", []), [], "Errors")
            eq(keys(bucket, Prefix="many/"), ["many/kept"])
    with suite.check("delete many: 1001 keys -> MalformedXML"):
        refused(S3.delete_objects, 400, "MalformedXML", Bucket=bucket, Delete={"Objects": [{"Key": f"k{i}"} for i in range(1001)]})
    with suite.check("folder marker `dir/` is an object of its own"):
        put(bucket, "dir/", b"")
        put(bucket, "dir/child", b"c")
        holds(bucket, "dir/", b"")
        eq(keys(bucket, Prefix="dir"), ["dir/", "dir/child"])
        S3.delete_object(Bucket=bucket, Key="dir/")
        holds(bucket, "dir/child", b"c")


def unversioned(suite, bucket):
    with suite.check("versioning: the bucket has none"):
        eq(S3.get_bucket_versioning(Bucket=bucket).get("Status"), None, "Status")
    with suite.check("versioning: ListObjectVersions shows every object once as `null`"):
        for i in range(5):
            put(bucket, f"v/{i}", bytes(i))
            put(bucket, f"v/{i}", bytes(i + 1))
        got = S3.list_object_versions(Bucket=bucket, Prefix="v/")
        eq([(v["Key"], v["VersionId"], v["IsLatest"], v["Size"]) for v in got["Versions"]],
           [(f"v/{i}", "null", True, i + 1) for i in range(5)])
        eq((got.get("DeleteMarkers", []), got["IsTruncated"]), ([], False))
    with suite.check("versioning: ListObjectVersions in pages, with delimiter"):
        pages = list(S3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix="v/", PaginationConfig={"PageSize": 2}))
        eq([v["Key"] for p in pages for v in p.get("Versions", [])], [f"v/{i}" for i in range(5)])
        got = S3.list_object_versions(Bucket=bucket, Prefix="v", Delimiter="/")
        eq(([p["Prefix"] for p in got.get("CommonPrefixes", [])], got.get("Versions", [])), (["v/"], []))
    with suite.check("versioning: GET with version `null` gives the object"):
        holds(bucket, "v/1", bytes(2), VersionId="null")
    with suite.check("versioning: GET and DELETE with an unknown version are refused"):
        version = hashlib.md5(b"no").hexdigest()
        refused(S3.get_object, (400, 404), "NoSuchVersion", "InvalidArgument", Bucket=bucket, Key="v/1", VersionId=version)
        try:  # S3 answers 204 or 400, depending on the form of the id; either way the object stays
            S3.delete_object(Bucket=bucket, Key="v/1", VersionId=version)
        except S3.exceptions.ClientError as e:
            one_of(e.response["ResponseMetadata"]["HTTPStatusCode"], {400, 404})
        holds(bucket, "v/1", bytes(2))


def main(suite):
    bucket = make_bucket("objects")
    for topic in (sizes, ranges, headers, deleting, unversioned):
        topic(suite, bucket)
    clear(suite, bucket)
