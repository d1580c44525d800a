"""CopyObject: metadata, directives, conditions, odd keys."""

import datetime

import common
from boto3_base import S3, clear, holds, make_bucket, put, refused, upload
from common import MIB, eq, payload

ODD = "a b+c%48/é🙂?#&=;,'\"<>"
HOUR = datetime.timedelta(hours=1)
OTHER = f'"{"0" * 32}"'


def main(suite):
    check, bucket, second = suite.check, make_bucket("copy"), make_bucket("copy2")
    body = payload("copy", 5 * MIB)
    etag = put(bucket, "src", body, ContentType="text/plain", CacheControl="no-store", Metadata={"color": "blue"})
    source = {"Bucket": bucket, "Key": "src"}

    def copy(key, to=bucket, source=source, **arguments):
        return S3.copy_object(Bucket=to, Key=key, CopySource=source, **arguments)

    def described(key, in_bucket=bucket):
        head = S3.head_object(Bucket=in_bucket, Key=key)
        return head["ContentType"], head.get("CacheControl"), head["Metadata"]

    with check("copy in one bucket keeps content, headers, metadata"):
        result = copy("same")["CopyObjectResult"]
        eq(result["ETag"], etag)
        assert abs(datetime.datetime.now(datetime.timezone.utc) - result["LastModified"]) < HOUR
        holds(bucket, "same", body)
        eq(described("same"), ("text/plain", "no-store", {"color": "blue"}))
    with check("copy to another bucket"):
        copy("there", to=second)
        holds(second, "there", body)
        eq(described("there", second), ("text/plain", "no-store", {"color": "blue"}))
    with check("copy outlives its source"):
        put(bucket, "mortal", body[:70_000])
        copy("survivor", source={"Bucket": bucket, "Key": "mortal"})
        S3.delete_object(Bucket=bucket, Key="mortal")
        holds(bucket, "survivor", body[:70_000])
    with check("copy with directive REPLACE sets new headers and metadata"):
        copy("replaced", MetadataDirective="REPLACE", ContentType="text/html", Metadata={"shape": "round"})
        eq(described("replaced"), ("text/html", None, {"shape": "round"}))
        holds(bucket, "replaced", body)
    with check("copy with directive COPY ignores headers of the request"):
        copy("copied", MetadataDirective="COPY", ContentType="text/html", Metadata={"shape": "round"})
        eq(described("copied"), ("text/plain", "no-store", {"color": "blue"}))
    with check("copy onto itself with REPLACE changes metadata only"):
        put(bucket, "self", body, Metadata={"v": "1"})
        copy("self", source={"Bucket": bucket, "Key": "self"}, MetadataDirective="REPLACE", Metadata={"v": "2"})
        eq(S3.head_object(Bucket=bucket, Key="self")["Metadata"], {"v": "2"})
        holds(bucket, "self", body)
    with check("copy onto itself without REPLACE -> InvalidRequest"):
        refused(copy, 400, "InvalidRequest", key="src")
        holds(bucket, "src", body)
    with check("copy over an existing object"):
        put(bucket, "target", b"old")
        copy("target")
        holds(bucket, "target", body)
    with check("copy of an empty object"):
        put(bucket, "nothing", b"")
        copy("nothing-2", source={"Bucket": bucket, "Key": "nothing"})
        holds(bucket, "nothing-2", b"")
    with check("copy from and to odd keys"):
        put(bucket, ODD, b"odd")
        copy("2" + ODD, source={"Bucket": bucket, "Key": ODD})
        holds(bucket, "2" + ODD, b"odd")
    with check("copy of 40 MiB"):
        large = payload("copy-large", 40 * MIB)
        put(bucket, "large", large)
        copy("large-2", source={"Bucket": bucket, "Key": "large"})
        holds(bucket, "large-2", large)
    with check("copy of an object of three parts"):
        parts = [payload("p1", 5 * MIB), payload("p2", 6 * MIB + 1), b"end"]
        upload(bucket, "parts", parts)
        copy("parts-2", source={"Bucket": bucket, "Key": "parts"})
        holds(bucket, "parts-2", b"".join(parts))
    with check("copy of a missing key -> NoSuchKey"):
        refused(copy, 404, "NoSuchKey", key="x", source={"Bucket": bucket, "Key": "missing"})
    with check("copy from a missing bucket -> NoSuchBucket"):
        refused(copy, 404, "NoSuchBucket", key="x", source={"Bucket": common.bucket_name("missing"), "Key": "k"})
    with check("copy into a missing bucket -> NoSuchBucket"):
        refused(copy, 404, "NoSuchBucket", key="x", to=common.bucket_name("missing"))

    modified = S3.head_object(**source)["LastModified"]
    for title, arguments, holding in (
            ("if-match same", {"CopySourceIfMatch": etag}, True), ("if-match other", {"CopySourceIfMatch": OTHER}, False),
            ("if-none-match other", {"CopySourceIfNoneMatch": OTHER}, True), ("if-none-match same", {"CopySourceIfNoneMatch": etag}, False),
            ("if-modified-since before", {"CopySourceIfModifiedSince": modified - HOUR}, True),
            ("if-modified-since same", {"CopySourceIfModifiedSince": modified}, False),
            ("if-unmodified-since same", {"CopySourceIfUnmodifiedSince": modified}, True),
            ("if-unmodified-since before", {"CopySourceIfUnmodifiedSince": modified - HOUR}, False),
            ("if-match same, if-unmodified-since before", {"CopySourceIfMatch": etag, "CopySourceIfUnmodifiedSince": modified - HOUR}, True),
            ("if-none-match same, if-modified-since before", {"CopySourceIfNoneMatch": etag, "CopySourceIfModifiedSince": modified - HOUR}, False)):
        with check(f"copy-source-{title} -> {200 if holding else 412}"):
            if holding:
                copy("conditional", **arguments)
                holds(bucket, "conditional", body)
            else:
                refused(copy, 412, "PreconditionFailed", key="refused", **arguments)
                refused(S3.head_object, 404, Bucket=bucket, Key="refused")
    with check("copy with If-None-Match:* onto an existing key never overwrites"):
        put(bucket, "taken", b"taken")
        refused(copy, (412, 501), "PreconditionFailed", "NotImplemented", key="taken", IfNoneMatch="*")
        holds(bucket, "taken", b"taken")
    clear(suite, bucket, second)
