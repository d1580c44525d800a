"""Checksums: every algorithm as boto3 sends it (over plain HTTP: a header), composite and full-object, Content-MD5."""

import base64
import hashlib
import zlib

from awscrt import checksums as crt

from boto3_base import S3, clear, client, finish, holds, make_bucket, put, refused
from common import MIB, eq, payload


def b64(data):
    return base64.b64encode(data).decode()


ALGORITHMS = {
    "CRC32": lambda d: b64(zlib.crc32(d).to_bytes(4, "big")),
    "CRC32C": lambda d: b64(crt.crc32c(d).to_bytes(4, "big")),
    "CRC64NVME": lambda d: b64(crt.crc64nvme(d).to_bytes(8, "big")),
    "SHA1": lambda d: b64(hashlib.sha1(d).digest()),
    "SHA256": lambda d: b64(hashlib.sha256(d).digest()),
}
FULL = ["CRC32", "CRC32C", "CRC64NVME"]
COMPOSITE = ["CRC32", "CRC32C", "SHA1", "SHA256"]


def checksums_of(answer):
    return {k[8:]: v for k, v in answer.items() if k.startswith("Checksum") and k != "ChecksumType"}


def head(bucket, key):
    return S3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")


def single(suite, bucket):
    check, body = suite.check, payload("checksum", 5 * MIB)
    for name, compute in ALGORITHMS.items():
        member = "Checksum" + name
        for title, data in (("5 MiB", body), ("empty", b"")):
            with check(f"checksum {name} of a PUT, {title}: answered, kept, echoed by HEAD and GET"):
                eq(checksums_of(S3.put_object(Bucket=bucket, Key=name, Body=data, ChecksumAlgorithm=name)), {name: compute(data)})
                eq(checksums_of(head(bucket, name)), {name: compute(data)})
                eq(head(bucket, name).get("ChecksumType"), "FULL_OBJECT", "ChecksumType")
                got = S3.get_object(Bucket=bucket, Key=name, ChecksumMode="ENABLED")
                eq(checksums_of(got), {name: compute(data)})
                eq(got["Body"].read(), data)
        with check(f"checksum {name} that does not match -> BadDigest, old object intact"):
            refused(S3.put_object, 400, "BadDigest", Bucket=bucket, Key=name, Body=body, **{member: compute(b"something else")})
            holds(bucket, name, b"")
        with check(f"checksum {name} that is no checksum -> InvalidRequest"):
            refused(S3.put_object, 400, "InvalidRequest", "InvalidArgument", Bucket=bucket, Key=name, Body=body, **{member: "nonsense"})
            holds(bucket, name, b"")
    with check("checksum by default is CRC32"):
        S3.put_object(Bucket=bucket, Key="default", Body=body)
        eq(checksums_of(head(bucket, "default")).get("CRC32"), ALGORITHMS["CRC32"](body))
    with check("checksum is not shown by HEAD without ChecksumMode"):
        quiet = client(response_checksum_validation="when_required")
        eq(checksums_of(quiet.head_object(Bucket=bucket, Key="default")), {})
    with check("checksum absent: an older client stores without any"):
        old = client(request_checksum_calculation="when_required", response_checksum_validation="when_required")
        old.put_object(Bucket=bucket, Key="none", Body=body)
        holds(bucket, "none", body)
    with check("checksum survives a copy"):
        S3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "default"})
        eq(checksums_of(head(bucket, "copy")).get("CRC32"), ALGORITHMS["CRC32"](body))
    with check("checksum of another algorithm asked for by a copy"):
        result = S3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "default"}, ChecksumAlgorithm="SHA256")
        eq(checksums_of(result["CopyObjectResult"]).get("SHA256"), ALGORITHMS["SHA256"](body))
        eq(checksums_of(head(bucket, "copy")).get("SHA256"), ALGORITHMS["SHA256"](body))


def md5(suite, bucket):
    body, right = payload("md5", 100_000), b64(hashlib.md5(payload("md5", 100_000)).digest())
    put(bucket, "md5", b"old")
    with suite.check("Content-MD5 that does not match -> BadDigest, old object intact"):
        refused(S3.put_object, 400, "BadDigest", Bucket=bucket, Key="md5", Body=body, ContentMD5=b64(bytes(16)))
        holds(bucket, "md5", b"old")
    for title, value in (("too short", b64(b"short")), ("not base64", "no base64 at all")):
        with suite.check(f"Content-MD5 {title} -> InvalidDigest, old object intact"):
            refused(S3.put_object, 400, "InvalidDigest", Bucket=bucket, Key="md5", Body=body, ContentMD5=value)
            holds(bucket, "md5", b"old")
    with suite.check("Content-MD5 that matches"):
        put(bucket, "md5", body, ContentMD5=right)
        holds(bucket, "md5", body)
    with suite.check("Content-MD5 of a part that does not match -> BadDigest, no part"):
        at = {"Bucket": bucket, "Key": "md5", "UploadId": S3.create_multipart_upload(Bucket=bucket, Key="md5")["UploadId"]}
        refused(S3.upload_part, 400, "BadDigest", **at, PartNumber=1, Body=body, ContentMD5=b64(bytes(16)))
        eq(S3.list_parts(**at).get("Parts", []), [])
        S3.abort_multipart_upload(**at)


def parts_with(bucket, key, name, kind, parts):
    """Uploads parts with their checksums; returns what completing needs."""
    id = S3.create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm=name, ChecksumType=kind)["UploadId"]
    done, member = [], "Checksum" + name
    for n, body in enumerate(parts, 1):
        got = S3.upload_part(Bucket=bucket, Key=key, UploadId=id, PartNumber=n, Body=body, ChecksumAlgorithm=name)
        eq(got.get(member), ALGORITHMS[name](body), f"checksum of part {n}")
        done.append({"PartNumber": n, "ETag": got["ETag"], member: got[member]})
    return id, done


def multipart(suite, bucket):
    check, parts = suite.check, [payload("c1", 5 * MIB), payload("c2", 5 * MIB + 9), b"end"]
    whole = b"".join(parts)
    for name in COMPOSITE:
        with check(f"checksum {name} of a multipart upload, COMPOSITE"):
            id, done = parts_with(bucket, "composite", name, "COMPOSITE", parts)
            want = ALGORITHMS[name](b"".join(base64.b64decode(d["Checksum" + name]) for d in done)) + "-3"
            eq(finish(bucket, "composite", id, done).get("Checksum" + name), want, "checksum in the answer")
            got = head(bucket, "composite")
            eq((checksums_of(got), got.get("ChecksumType")), ({name: want}, "COMPOSITE"))
            holds(bucket, "composite", whole)
    for name in FULL:
        with check(f"checksum {name} of a multipart upload, FULL_OBJECT"):
            id, done = parts_with(bucket, "full", name, "FULL_OBJECT", parts)
            finish(bucket, "full", id, done, ChecksumType="FULL_OBJECT", **{"Checksum" + name: ALGORITHMS[name](whole)})
            got = head(bucket, "full")
            eq((checksums_of(got), got.get("ChecksumType")), ({name: ALGORITHMS[name](whole)}, "FULL_OBJECT"))
            holds(bucket, "full", whole)
    with check("checksum of the whole object wrong at completion -> BadDigest"):
        id, done = parts_with(bucket, "bad-full", "CRC64NVME", "FULL_OBJECT", parts)
        refused(lambda: finish(bucket, "bad-full", id, done, ChecksumType="FULL_OBJECT", ChecksumCRC64NVME=ALGORITHMS["CRC64NVME"](b"")), 400, "BadDigest")
        refused(S3.head_object, 404, Bucket=bucket, Key="bad-full")
    with check("checksum of a part wrong at completion -> InvalidPart"):
        id, done = parts_with(bucket, "bad-part", "SHA256", "COMPOSITE", parts)
        done[1]["ChecksumSHA256"] = ALGORITHMS["SHA256"](b"")
        refused(lambda: finish(bucket, "bad-part", id, done), 400, "InvalidPart", "BadDigest")
        refused(S3.head_object, 404, Bucket=bucket, Key="bad-part")
    with check("checksum of a part wrong when sent -> BadDigest, no part"):
        id, _ = parts_with(bucket, "bad-sent", "CRC32C", "COMPOSITE", [])
        at = {"Bucket": bucket, "Key": "bad-sent", "UploadId": id}
        refused(S3.upload_part, 400, "BadDigest", **at, PartNumber=1, Body=b"abc", ChecksumCRC32C=ALGORITHMS["CRC32C"](b"abd"))
        eq(S3.list_parts(**at).get("Parts", []), [])
    with check("checksums are shown by ListParts"):
        id, done = parts_with(bucket, "shown", "SHA1", "COMPOSITE", [b"abc"])
        eq(S3.list_parts(Bucket=bucket, Key="shown", UploadId=id)["Parts"][0].get("ChecksumSHA1"), ALGORITHMS["SHA1"](b"abc"))
    with check("checksum SHA256 as FULL_OBJECT -> refused"):
        refused(S3.create_multipart_upload, 400, "InvalidRequest", "InvalidArgument", Bucket=bucket, Key="never", ChecksumAlgorithm="SHA256", ChecksumType="FULL_OBJECT")


def main(suite):
    bucket = make_bucket("checksums")
    for topic in (single, md5, multipart):
        topic(suite, bucket)
    clear(suite, bucket)
