#!/usr/bin/env python3
"""minio-py: objects, multipart, copies and composition, listings, presigned URLs."""

import datetime
import io
import os

from minio import Minio
from minio.commonconfig import REPLACE, ComposeSource, CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from urllib3.exceptions import HTTPError

import common
from common import MIB, Suite, ask_again, eq, name_of, one_of, payload, read, same, scratch, write
from sigv4 import fetch

ODD = ["odd/a b+c%48é🙂&#?.txt", "odd/quote's \"two\"", "odd/<tag>;=@,~", "/leading", "double//slash", "trailing/", "k" * 1024, "odd/new\nline"]


def client(access, secret):
    return Minio(f"{common.HOST}:{common.PORT}", access_key=access, secret_key=secret, secure=False, region=common.REGION)


M, SECOND = client(common.ACCESS_KEY, common.SECRET_KEY), client(common.ACCESS_KEY_2, common.SECRET_KEY_2)


def refused(code, call, *arguments, **named):
    try:
        result = call(*arguments, **named)
        list(result) if hasattr(result, "__next__") else None
    except S3Error as e:
        one_of(e.code, set(code.split("|")), "error code")
        return
    raise AssertionError(f"accepted; want {code}")


def get(bucket, key, **named):
    def ask():
        response = M.get_object(bucket, key, **named)
        try:
            return response.read()
        finally:
            response.close()
            response.release_conn()

    return ask_again(HTTPError, ask)


def put(bucket, key, data, **named):
    return M.put_object(bucket, key, io.BytesIO(data), len(data), **named)


def objects(suite, bucket):
    check = suite.check
    for size in common.SIZES:
        with check(f"put, stat, get {name_of(size)}"):
            data = payload("minio", size)
            etag = put(bucket, "sized", data).etag
            stat = M.stat_object(bucket, "sized")
            eq((stat.size, stat.etag), (size, etag))
            same(get(bucket, "sized"), data)
    with check("put 40 MiB of unknown length in parts of 10 MiB"):
        data = payload("minio-stream", 40 * MIB)
        M.put_object(bucket, "streamed", io.BytesIO(data), -1, part_size=10 * MIB)
        same(get(bucket, "streamed"), data)
        assert M.stat_object(bucket, "streamed").etag.endswith("-4")
    with check("fput and fget 21 MiB in parts"):
        folder = scratch("minio")
        up = write(os.path.join(folder, "up"), payload("minio-file", 21 * MIB))
        M.fput_object(bucket, "file", up, part_size=5 * MIB)
        ask_again(HTTPError, lambda: M.fget_object(bucket, "file", os.path.join(folder, "down")))
        same(read(os.path.join(folder, "down")), read(up))
    with check("get with offset and length across 4 MiB and 419456"):
        for at in (4 * MIB, 419456):
            same(get(bucket, "streamed", offset=at - 5, length=10), data[at - 5 : at + 5])
    with check("all-zero 9 MiB"):
        put(bucket, "zeros", bytes(9 * MIB))
        same(get(bucket, "zeros"), bytes(9 * MIB))
    with check("metadata and content type"):
        put(bucket, "meta", b"x", content_type="text/x-test", metadata={"color": "blue", "Cache-Control": "max-age=5"})
        stat = M.stat_object(bucket, "meta")
        eq((stat.content_type, stat.metadata["x-amz-meta-color"], stat.metadata["Cache-Control"]), ("text/x-test", "blue", "max-age=5"))
    with check("odd keys: put, list, get"):
        for key in ODD:
            put(bucket, key, key.encode())
        found = [o.object_name for o in M.list_objects(bucket, recursive=True) if o.object_name in ODD]
        eq(found, sorted(ODD, key=str.encode))
        for key in ODD:
            same(get(bucket, key), key.encode())
    with check("odd keys: remove_objects"):
        eq(list(M.remove_objects(bucket, [DeleteObject(k) for k in [*ODD[:-1], "missing"]])), [])
        M.remove_object(bucket, ODD[-1])
        eq([o.object_name for o in M.list_objects(bucket, recursive=True) if o.object_name in ODD], [])
    with check("missing object and bucket: NoSuchKey, NoSuchBucket"):
        refused("NoSuchKey", M.get_object, bucket, "missing")
        refused("NoSuchKey", M.stat_object, bucket, "missing")
        refused("NoSuchBucket", M.list_objects, common.bucket_name("missing"))


def copies(suite, bucket):
    check, data = suite.check, payload("minio-copy", 6 * MIB)
    etag = put(bucket, "src é+%48", data, metadata={"color": "blue"}).etag
    source = lambda **named: CopySource(bucket, "src é+%48", **named)
    with check("copy_object keeps content and metadata"):
        M.copy_object(bucket, "copy", source())
        same(get(bucket, "copy"), data)
        eq(M.stat_object(bucket, "copy").metadata["x-amz-meta-color"], "blue")
    with check("copy_object with directive REPLACE"):
        M.copy_object(bucket, "copy", source(), metadata={"color": "red"}, metadata_directive=REPLACE)
        eq(M.stat_object(bucket, "copy").metadata["x-amz-meta-color"], "red")
    now = datetime.datetime.now(datetime.timezone.utc)
    for title, named in (("match_etag other", {"match_etag": "0" * 32}), ("not_match_etag same", {"not_match_etag": etag}),
                         ("unmodified_since before", {"unmodified_since": now - datetime.timedelta(hours=1)})):
        with check(f"copy_object {title} -> PreconditionFailed"):
            refused("PreconditionFailed", M.copy_object, bucket, "never", source(**named))
    with check("compose_object of two whole objects and a range"):
        put(bucket, "tail", b"tail")
        M.compose_object(bucket, "composed", [ComposeSource(bucket, "src é+%48"), ComposeSource(bucket, "streamed", offset=4 * MIB - 1, length=6 * MIB), ComposeSource(bucket, "tail")])
        same(get(bucket, "composed"), data + get(bucket, "streamed")[4 * MIB - 1 : 10 * MIB - 1] + b"tail")


def listings(suite, bucket):
    check, names = suite.check, ["l/a", "l/b/1", "l/b/2", "l/c", "l/d/1"]
    with check("list_objects: plain, recursive, start_after, v1"):
        for name in names:
            put(bucket, name, b"")
        listed = lambda **named: [(o.object_name, o.is_dir) for o in M.list_objects(bucket, prefix="l/", **named)]
        eq(sorted(listed()), [("l/a", False), ("l/b/", True), ("l/c", False), ("l/d/", True)])
        for more in ({}, {"use_api_v1": True}):
            eq([n for n, _ in listed(recursive=True, **more)], names)
        eq([n for n, _ in listed(recursive=True, start_after="l/b/1")], names[2:])
    with check("list_objects with versions"):
        eq([(o.object_name, o.version_id) for o in M.list_objects(bucket, prefix="l/", recursive=True, include_version=True)], [(n, "null") for n in names])
    with check("get_bucket_versioning"):
        one_of(M.get_bucket_versioning(bucket).status, {"Off", None, ""})


def presigned(suite, bucket):
    check, data = suite.check, payload("minio-url", MIB)
    with check("presigned PUT and GET"):
        fetch("PUT", M.presigned_put_object(bucket, "url é"), data).ok()
        same(fetch("GET", M.presigned_get_object(bucket, "url é")).ok().body, data)
    with check("presigned GET with response headers"):
        answer = fetch("GET", M.presigned_get_object(bucket, "url é", response_headers={"response-content-type": "text/weird"})).ok()
        eq(answer.headers["Content-Type"], "text/weird")


def main(suite):
    check, bucket = suite.check, common.bucket_name("minio")
    with check("make_bucket, bucket_exists, list_buckets"):
        assert not M.bucket_exists(bucket)
        M.make_bucket(bucket)
        assert M.bucket_exists(bucket) and bucket in [b.name for b in M.list_buckets()]
    with check("location found without a region set"):
        bare = Minio(f"{common.HOST}:{common.PORT}", access_key=common.ACCESS_KEY, secret_key=common.SECRET_KEY, secure=False)
        bare.put_object(bucket, "bare", io.BytesIO(b"x"), 1)
    for topic in (objects, copies, listings, presigned):
        topic(suite, bucket)
    with check("the second account: AccessDenied, sees only its own"):
        refused("AccessDenied", SECOND.list_objects, bucket)
        refused("AccessDenied", SECOND.get_object, bucket, "copy")
        refused("AccessDenied", SECOND.put_object, bucket, "planted", io.BytesIO(b"x"), 1)
        assert bucket not in [b.name for b in SECOND.list_buckets()]
    with check("remove_bucket with objects -> BucketNotEmpty"):
        refused("BucketNotEmpty", M.remove_bucket, bucket)
    with check("remove everything"):
        eq(list(M.remove_objects(bucket, [DeleteObject(o.object_name) for o in M.list_objects(bucket, recursive=True)])), [])
        M.remove_bucket(bucket)
        assert not M.bucket_exists(bucket)


if __name__ == "__main__":
    Suite("minio").run(main)
