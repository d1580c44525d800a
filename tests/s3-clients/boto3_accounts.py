"""Two accounts: neither sees, reads, changes or removes what belongs to the other."""

import common
from boto3_base import S3, SECOND, clear, holds, keys, make_bucket, put, refused
from boto3_presign import presigned
from common import eq
from sigv4 import fetch

DENIED = (403, "AccessDenied")


def main(suite):
    check, mine, theirs = suite.check, make_bucket("mine"), make_bucket("theirs", SECOND)
    put(mine, "secret", b"secret")
    SECOND.put_object(Bucket=theirs, Key="own", Body=b"own")
    up = {"Bucket": mine, "Key": "upload", "UploadId": S3.create_multipart_upload(Bucket=mine, Key="upload")["UploadId"]}
    etag = S3.upload_part(**up, PartNumber=1, Body=b"part")["ETag"]

    with check("accounts: list_buckets shows only the own"):
        first, second = ([b["Name"] for b in s3.list_buckets()["Buckets"]] for s3 in (S3, SECOND))
        assert mine in first and theirs not in first and theirs in second and mine not in second, (first, second)
    with check("accounts: the second works in its own bucket"):
        eq(SECOND.get_object(Bucket=theirs, Key="own")["Body"].read(), b"own")
    bucket, key = {"Bucket": mine}, {"Bucket": mine, "Key": "secret"}
    source = {"CopySource": {"Bucket": mine, "Key": "secret"}}
    own = {"Bucket": theirs, "Key": "stolen"}
    own_up = {**own, "UploadId": SECOND.create_multipart_upload(**own)["UploadId"]}
    parts = {"MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]}}
    for call, arguments in (
            ("head_bucket", bucket), ("list_objects", bucket), ("list_objects_v2", bucket), ("list_object_versions", bucket),
            ("list_multipart_uploads", bucket), ("get_bucket_location", bucket), ("get_bucket_versioning", bucket), ("delete_bucket", bucket),
            ("get_object", key), ("head_object", key), ("get_object", {**key, "Key": "missing"}), ("head_object", {**key, "Key": "missing"}),
            ("put_object", {**key, "Body": b"changed"}), ("put_object", {**bucket, "Key": "planted", "Body": b"x"}), ("delete_object", key),
            ("copy_object", {**own, **source}), ("copy_object", {**bucket, "Key": "planted", "CopySource": {"Bucket": theirs, "Key": "own"}}),
            ("create_multipart_upload", {**bucket, "Key": "planted"}), ("upload_part", {**up, "PartNumber": 1, "Body": b"x"}), ("list_parts", up),
            ("complete_multipart_upload", {**up, **parts}), ("abort_multipart_upload", up),
            ("upload_part_copy", {**own_up, **source, "PartNumber": 1})):
        with check(f"accounts: the second's {call} of {arguments.get('Key', 'the bucket')} -> AccessDenied"):
            codes = () if call.startswith("head") else DENIED[1:]
            refused(getattr(SECOND, call), 403, *codes, **arguments)
    with check("accounts: the second's delete_objects deletes nothing"):
        try:
            answer = SECOND.delete_objects(Bucket=mine, Delete={"Objects": [{"Key": "secret"}]})
            eq([e["Code"] for e in answer["Errors"]], ["AccessDenied"])
        except SECOND.exceptions.ClientError as e:
            eq(e.response["Error"]["Code"], "AccessDenied")
    with check("accounts: URLs presigned by the second -> AccessDenied"):
        fetch("GET", presigned("get_object", mine, "secret", s3=SECOND)).refused(*DENIED)
        fetch("PUT", presigned("put_object", mine, "secret", s3=SECOND), b"changed").refused(*DENIED)
    with check("accounts: the first neither reads the second's"):
        refused(S3.get_object, *DENIED, Bucket=theirs, Key="own")
        refused(S3.list_objects_v2, *DENIED, Bucket=theirs)
    with check("accounts: create the other's bucket -> BucketAlreadyExists, both ways"):
        refused(SECOND.create_bucket, 409, "BucketAlreadyExists", Bucket=mine)
        refused(S3.create_bucket, 409, "BucketAlreadyExists", Bucket=theirs)
    with check("accounts: a missing bucket is NoSuchBucket for both"):
        for s3 in (S3, SECOND):
            refused(s3.list_objects_v2, 404, "NoSuchBucket", Bucket=common.bucket_name("missing"))
    with check("accounts: after all that everything is as it was"):
        holds(mine, "secret", b"secret")
        eq(keys(mine), ["secret"])
        eq([(p["PartNumber"], p["ETag"]) for p in S3.list_parts(**up)["Parts"]], [(1, etag)])
        refused(SECOND.head_object, 404, **own)
        S3.complete_multipart_upload(**up, **parts)
        holds(mine, "upload", b"part")
    with check("accounts: a name given up by one can be taken by the other, who finds it empty"):
        name = make_bucket("passed")
        put(name, "old", b"old")
        S3.delete_object(Bucket=name, Key="old")
        S3.delete_bucket(Bucket=name)
        SECOND.create_bucket(Bucket=name)
        refused(S3.list_objects_v2, *DENIED, Bucket=name)
        eq(SECOND.list_objects_v2(Bucket=name)["KeyCount"], 0)
        SECOND.delete_bucket(Bucket=name)
    clear(suite, mine)
    clear(suite, theirs, s3=SECOND)
