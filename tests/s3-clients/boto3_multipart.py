"""Multipart uploads: parts, part copies, listings, every way to complete wrongly."""

import io

from boto3.s3.transfer import TransferConfig


from boto3_base import S3, at_once, clear, finish, holds, make_bucket, part_etag, put, refused, upload
from common import MIB, eq, payload, same
from sigv4 import pieces

BIG, ODD, END = payload("part-1", 5 * MIB), payload("part-2", 5 * MIB + 1), b"the end"
NO_UPLOAD = (404, "NoSuchUpload")


def start(bucket, key, **arguments):
    return {"Bucket": bucket, "Key": key, "UploadId": S3.create_multipart_upload(Bucket=bucket, Key=key, **arguments)["UploadId"]}


def good(suite, bucket):
    check = suite.check
    for title, whole in (("40 MiB", payload("mp", 40 * MIB)), ("40 MiB of zero bytes", bytes(40 * MIB)), ("33 MiB + 1", payload("mp", 33 * MIB + 1))):
        with check(f"multipart {title} in parts of 8 MiB, 4 at once"):
            S3.upload_fileobj(io.BytesIO(whole), bucket, "mp", Config=TransferConfig(multipart_chunksize=8 * MIB, max_concurrency=4))
            holds(bucket, "mp", whole)
            head = S3.head_object(Bucket=bucket, Key="mp")
            eq((head["ETag"], head["ContentLength"]), (part_etag(pieces(whole, 8 * MIB)), len(whole)))
    with check("multipart of odd parts: ETag is the MD5 of the MD5s, -3"):
        id, done = upload(bucket, "odd", [BIG, ODD, END])
        eq(S3.head_object(Bucket=bucket, Key="odd")["ETag"], part_etag([BIG, ODD, END]))
        holds(bucket, "odd", BIG + ODD + END)
    with check("multipart completed twice gives the same answer or NoSuchUpload"):
        try:
            eq(finish(bucket, "odd", id, done)["ETag"], part_etag([BIG, ODD, END]))
        except S3.exceptions.ClientError as e:
            eq(e.response["Error"]["Code"], "NoSuchUpload")
        holds(bucket, "odd", BIG + ODD + END)
    with check("multipart range across part boundaries"):
        whole, at = BIG + ODD + END, len(BIG)
        for first, last in ((at - 3, at + 3), (at, at), (2 * at - 1, 2 * at + 2), (4 * MIB - 2, 4 * MIB + 1)):
            same(S3.get_object(Bucket=bucket, Key="odd", Range=f"bytes={first}-{last}")["Body"].read(), whole[first : last + 1])
    for call in (S3.get_object, S3.head_object):
        with check(f"multipart {call.__name__} with PartNumber: that part, or NotImplemented"):
            try:
                got = call(Bucket=bucket, Key="odd", PartNumber=2)
            except S3.exceptions.ClientError as e:
                eq(e.response["ResponseMetadata"]["HTTPStatusCode"], 501, "status")
            else:
                eq((got["ContentLength"], got["PartsCount"]), (len(ODD), 3))
                if "Body" in got:
                    same(got["Body"].read(), ODD)
    with check("multipart parts 10000, 7, 1 sent in reverse"):
        id, done = upload(bucket, "sparse", {10000: END, 7: ODD, 1: BIG}, complete=False)
        finish(bucket, "sparse", id, done[::-1])
        holds(bucket, "sparse", BIG + ODD + END)
    with check("multipart part sent again replaces the first"):
        up = start(bucket, "again")
        S3.upload_part(**up, PartNumber=1, Body=ODD)
        etag = S3.upload_part(**up, PartNumber=1, Body=b"new")["ETag"]
        eq([(p["PartNumber"], p["ETag"], p["Size"]) for p in S3.list_parts(**up)["Parts"]], [(1, etag, 3)])
        finish(*up.values(), [{"PartNumber": 1, "ETag": etag}])
        holds(bucket, "again", b"new")
    with check("multipart completes with some of the parts"):
        id, done = upload(bucket, "some", [BIG, ODD, END], complete=False)
        finish(bucket, "some", id, [done[0], done[2]])
        holds(bucket, "some", BIG + END)
    with check("multipart of one empty part"):
        upload(bucket, "empty", [b""])
        holds(bucket, "empty", b"")
    with check("multipart keeps headers and metadata of its creation"):
        upload(bucket, "meta", [b"x"], ContentType="text/plain", CacheControl="no-cache", Metadata={"a": "b"})
        head = S3.head_object(Bucket=bucket, Key="meta")
        eq((head["ContentType"], head["CacheControl"], head["Metadata"]), ("text/plain", "no-cache", {"a": "b"}))
    with check("multipart is invisible until completed, old object stays"):
        put(bucket, "old", b"old")
        id, done = upload(bucket, "old", [b"new"], complete=False)
        holds(bucket, "old", b"old")
        finish(bucket, "old", id, done)
        holds(bucket, "old", b"new")
    with check("multipart: 8 parts at once"):
        up, parts = start(bucket, "wide"), [payload(f"wide-{i}", 5 * MIB + i) for i in range(8)]
        etags = at_once(8, lambda i: S3.upload_part(**up, PartNumber=i + 1, Body=parts[i])["ETag"])
        finish(*up.values(), [{"PartNumber": i + 1, "ETag": e} for i, e in enumerate(etags)])
        holds(bucket, "wide", b"".join(parts))


def listings(suite, bucket):
    check, name = suite.check, "list/a b+%48&"
    with check("multipart list parts of an upload without parts"):
        up = start(bucket, name)
        got = S3.list_parts(**up)
        eq((got.get("Parts", []), got["IsTruncated"], got["Key"], got["UploadId"]), ([], False, name, up["UploadId"]))
    with check("multipart list parts in pages of 2"):
        for n in (5, 3, 1, 4, 2):
            S3.upload_part(**up, PartNumber=n, Body=bytes(n))
        found = [p for page in S3.get_paginator("list_parts").paginate(**up, PaginationConfig={"PageSize": 2}) for p in page["Parts"]]
        eq([(p["PartNumber"], p["Size"]) for p in found], [(n, n) for n in range(1, 6)])
        eq(S3.list_parts(**up, MaxParts=2)["NextPartNumberMarker"], 2)
    ups = [up, start(bucket, "list/b"), start(bucket, "list/b"), start(bucket, "list/c/1"), start(bucket, "other")]
    with check("multipart list uploads with prefix"):
        got = S3.list_multipart_uploads(Bucket=bucket, Prefix="list/")
        eq(sorted((u["Key"], u["UploadId"]) for u in got["Uploads"]), sorted((u["Key"], u["UploadId"]) for u in ups[:4]))
    with check("multipart list uploads with delimiter"):
        got = S3.list_multipart_uploads(Bucket=bucket, Prefix="list/", Delimiter="/")
        eq(([u["Key"] for u in got["Uploads"]], [p["Prefix"] for p in got["CommonPrefixes"]]), ([name, "list/b", "list/b"], ["list/c/"]))
    with check("multipart list uploads in pages of 1"):
        found = [u for page in S3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix="list/", PaginationConfig={"PageSize": 1})
                 for u in page.get("Uploads", [])]
        eq(sorted((u["Key"], u["UploadId"]) for u in found), sorted((u["Key"], u["UploadId"]) for u in ups[:4]))
    with check("multipart abort: upload and parts are gone"):
        for one in ups:
            S3.abort_multipart_upload(**one)
        refused(S3.list_parts, *NO_UPLOAD, **up)
        refused(S3.upload_part, *NO_UPLOAD, **up, PartNumber=1, Body=b"x")
        refused(lambda: finish(*up.values(), [{"PartNumber": 1, "ETag": "x"}]), *NO_UPLOAD)
        eq(S3.list_multipart_uploads(Bucket=bucket, Prefix="list/").get("Uploads", []), [])
        refused(S3.head_object, 404, Bucket=bucket, Key=name)


def wrong(suite, bucket):
    check = suite.check
    id, done = upload(bucket, "wrong", [BIG, ODD, END], complete=False)
    other = '"' + "0" * 32 + '"'
    for title, parts, code in (
            ("wrong ETag", [done[0], {"PartNumber": 2, "ETag": other}], "InvalidPart"),
            ("part never sent", [done[0], {"PartNumber": 9, "ETag": done[1]["ETag"]}], "InvalidPart"),
            ("descending", [done[1], done[0]], "InvalidPartOrder"), ("a part twice", [done[0], done[0]], "InvalidPartOrder"),
            ("no parts", [], "MalformedXML")):
        with check(f"multipart complete: {title} -> {code}"):
            refused(lambda: finish(bucket, "wrong", id, parts), 400, code)
            refused(S3.head_object, 404, Bucket=bucket, Key="wrong")
    with check("multipart completes after refused attempts"):
        finish(bucket, "wrong", id, done)
        holds(bucket, "wrong", BIG + ODD + END)
    for title, small in (("5 MiB - 1", BIG[:-1]), ("1 byte", b"x"), ("no bytes", b"")):
        with check(f"multipart complete: first of two parts has {title} -> EntityTooSmall"):
            id, done = upload(bucket, "small", [small, END], complete=False)
            refused(lambda: finish(bucket, "small", id, done), 400, "EntityTooSmall")
            refused(S3.head_object, 404, Bucket=bucket, Key="small")
            S3.abort_multipart_upload(Bucket=bucket, Key="small", UploadId=id)
    up = start(bucket, "right")
    for number in (0, 10001):
        with check(f"multipart part number {number} -> InvalidArgument"):
            refused(S3.upload_part, 400, "InvalidArgument", **up, PartNumber=number, Body=b"x")
    unknown = [("unknown upload", {**up, "UploadId": "0" * len(up["UploadId"])}), ("malformed upload id", {**up, "UploadId": "no such/upload?"}),
               ("right upload, other key", {**up, "Key": "left"})]
    for title, at in unknown:
        with check(f"multipart {title} -> NoSuchUpload from every operation"):
            refused(S3.upload_part, *NO_UPLOAD, **at, PartNumber=1, Body=b"x")
            refused(S3.list_parts, *NO_UPLOAD, **at)
            refused(S3.abort_multipart_upload, *NO_UPLOAD, **at)
            refused(lambda: finish(*at.values(), [{"PartNumber": 1, "ETag": other}]), *NO_UPLOAD)


def part_copies(suite, bucket):
    check, source = suite.check, payload("source", 11 * MIB)
    put(bucket, "src é+%48", source)
    at = {"CopySource": {"Bucket": bucket, "Key": "src é+%48"}}

    def copied(key, *ranges, **extra):
        up = start(bucket, key)
        done = [{"PartNumber": n, "ETag": S3.upload_part_copy(**up, **at, PartNumber=n, **extra, **({"CopySourceRange": r} if r else {}))
                 ["CopyPartResult"]["ETag"]} for n, r in enumerate(ranges, 1)]
        finish(*up.values(), done)
        return up

    with check("multipart part copy, whole"):
        copied("whole", None)
        holds(bucket, "whole", source)
    with check("multipart part copies with ranges, and ETag"):
        copied("ranges", f"bytes=1-{5 * MIB}", f"bytes={4 * MIB - 1}-{10 * MIB}", "bytes=0-0")
        want = [source[1 : 5 * MIB + 1], source[4 * MIB - 1 : 10 * MIB + 1], source[:1]]
        holds(bucket, "ranges", b"".join(want))
        eq(S3.head_object(Bucket=bucket, Key="ranges")["ETag"], part_etag(want))
    up = start(bucket, "wrong-copy")
    with check("multipart part copy beyond the end -> refused"):
        refused(S3.upload_part_copy, (400, 416), "InvalidArgument", "InvalidRange", "InvalidRequest", **up, **at, PartNumber=1,
                CopySourceRange=f"bytes={11 * MIB}-{12 * MIB}")
    with check("multipart part copy of a missing key -> NoSuchKey"):
        refused(S3.upload_part_copy, 404, "NoSuchKey", **up, PartNumber=1, CopySource={"Bucket": bucket, "Key": "missing"})
    with check("multipart part copy if-match other -> 412, nothing added"):
        refused(S3.upload_part_copy, 412, "PreconditionFailed", **up, **at, PartNumber=1, CopySourceIfMatch='"' + "0" * 32 + '"')
        eq(S3.list_parts(**up).get("Parts", []), [])
    with check("multipart part copy into an unknown upload -> NoSuchUpload"):
        refused(S3.upload_part_copy, *NO_UPLOAD, **{**up, "UploadId": "0" * len(up["UploadId"])}, **at, PartNumber=1)
    with check("multipart part copy of 40 MiB, and of 21 MiB from an odd place"):
        large = payload("source-large", 40 * MIB)
        put(bucket, "large", large)
        up = start(bucket, "large-copy")
        etags = [S3.upload_part_copy(**up, PartNumber=n, CopySource={"Bucket": bucket, "Key": "large"}, **more)["CopyPartResult"]["ETag"]
                 for n, more in ((1, {}), (2, {"CopySourceRange": f"bytes=12345-{21 * MIB}"}))]
        finish(*up.values(), [{"PartNumber": n, "ETag": e} for n, e in enumerate(etags, 1)])
        holds(bucket, "large-copy", large + large[12345 : 21 * MIB + 1])
    with check("multipart managed copy of 11 MiB in parts of 5 MiB"):
        S3.copy(at["CopySource"], bucket, "managed", Config=TransferConfig(multipart_threshold=MIB, multipart_chunksize=5 * MIB))
        holds(bucket, "managed", source)


def main(suite):
    bucket = make_bucket("multipart")
    for topic in (good, listings, wrong, part_copies):
        topic(suite, bucket)
    clear(suite, bucket)
