#!/usr/bin/env python3
"""The aws command line: `aws s3` and `aws s3api`, the big multipart upload, and a short run below /s3."""

import base64
import json
import os
import shutil
import zlib

import common
from common import MIB, Suite, command, eq, name_of, payload, read, same, scratch, sha256, sha256_file, tree, write
from sigv4 import fetch

DIR = scratch("awscli")
CONFIG = write(os.path.join(DIR, "config"), f"[default]\nretry_mode = standard\nmax_attempts = {common.ATTEMPTS}\ns3 =\n  max_concurrent_requests = 4\n"
               .encode() + b"  signature_version = s3v4\n")  # without it this version presigns with SigV2
ENV = {"PATH": os.environ["PATH"], "HOME": DIR, "AWS_CONFIG_FILE": CONFIG, "AWS_ACCESS_KEY_ID": common.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": common.SECRET_KEY,
       "AWS_DEFAULT_REGION": common.REGION, "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": ""}
AWS = os.path.join(common.BIN, "aws")


def aws(*arguments, where="", env=ENV, **options):
    return command(AWS, "--endpoint-url", common.ENDPOINT + where, *arguments, env=env, **options)


def s3(*arguments, **options):
    return aws("s3", *arguments, *(["--no-progress"] if arguments[0] in ("cp", "sync", "mv") else []), **options)


def api(*arguments, **options):
    out = aws("s3api", *arguments, "--output", "json", **options)
    return out if options.get("fails") else json.loads(out or b"{}")


def path(name):
    return os.path.join(DIR, name)


def files(suite, bucket):
    """`aws s3`: the transfers people use."""
    check, at = suite.check, f"s3://{bucket}"
    for size in common.SIZES:
        write(path(f"up/size {name_of(size)}"), payload("aws", size))
    write(path("up/odd/a b+c%48é🙂&#.txt"), b"odd")
    write(path("up/odd/same"), payload("aws", 419456))
    write(path("up/zeros"), bytes(9 * MIB))
    for name in tree(path("up")):  # `sync` compares times, so nothing may be as young as its copy
        os.utime(path("up/" + name), (1_600_000_000, 1_600_000_000))
    with check("s3 cp --recursive up: all sizes, 40 MiB in parts"):
        s3("cp", "--recursive", path("up"), f"{at}/up")
    with check("s3 cp --recursive down: the same bytes"):
        s3("cp", "--recursive", f"{at}/up", path("down"))
        eq(tree(path("down")), tree(path("up")))
    with check("s3 ls, plain and recursive"):
        assert b"PRE up/" in s3("ls", at)
        listed = s3("ls", "--recursive", f"{at}/up/").decode()
        assert f" {40 * MIB} up/size 40 MiB" in listed and "up/odd/a b+c%48é🙂&#.txt" in listed, listed
    with check("s3 sync up sends only what changed, --delete removes"):
        write(path("up/zeros"), b"short")
        os.remove(path("up/odd/same"))
        out = s3("sync", "--delete", path("up"), f"{at}/up").decode()
        eq(sorted(line.split(":")[0] for line in out.splitlines()), ["delete", "upload"], "actions")
    with check("s3 sync down --delete"):
        s3("sync", "--delete", f"{at}/up", path("down"))
        eq(tree(path("down")), tree(path("up")))
    with check("s3 cp from standard input and to standard output, 12 MiB"):
        data = payload("aws-pipe", 12 * MIB)
        s3("cp", "-", f"{at}/piped", input=data)
        same(s3("cp", f"{at}/piped", "-"), data)
    with check("s3 cp inside the bucket: 40 MiB by part copies, small by copy"):
        s3("cp", "--recursive", f"{at}/up", f"{at}/copied", "--exclude", "*", "--include", "size 40*", "--include", "odd/*")
        shutil.rmtree(path("down"))
        s3("cp", "--recursive", f"{at}/copied", path("down"))
        eq(sha256_file(path("down/size 40 MiB")), sha256_file(path("up/size 40 MiB")))
        eq(read(path("down/odd/a b+c%48é🙂&#.txt")), b"odd")
    with check("s3 mv"):
        s3("mv", f"{at}/piped", f"{at}/moved")
        listed = s3("ls", at)
        assert b" moved\n" in listed and b" piped\n" not in listed, listed
    with check("s3 presign"):
        same(fetch("GET", s3("presign", f"{at}/moved").decode().strip()).ok().body, data)


def big(suite, bucket):
    source, digest = common.big_file()
    at = f"s3://{bucket}/big"
    with suite.check(f"s3 cp {common.BIG_MIB} MiB up in parts"):
        s3("cp", source, at, timeout=600)
    with suite.check(f"s3 cp {common.BIG_MIB} MiB down"):
        s3("cp", at, path("big"), timeout=600)
        eq(sha256_file(path("big")), digest)
        os.remove(path("big"))
    with suite.check("s3 rm"):
        s3("rm", at)


def operations(suite, bucket):
    """`aws s3api`: single operations and their errors."""
    check, file, data = suite.check, path("api"), payload("aws-api", 5 * MIB)
    write(file, data)
    b, k = ("--bucket", bucket), ("--bucket", bucket, "--key", "api")
    with check("s3api list-buckets, get-bucket-location"):
        assert bucket in [x["Name"] for x in api("list-buckets")["Buckets"]]
        eq(api("get-bucket-location", *b)["LocationConstraint"], None)
    for name, compute in (("CRC64NVME", None), ("CRC32C", None), ("CRC32", lambda d: zlib.crc32(d).to_bytes(4, "big")), ("SHA256", lambda d: bytes.fromhex(sha256(d)))):
        with check(f"s3api put-object and head-object with {name}"):
            put = api("put-object", *k, "--body", file, "--checksum-algorithm", name, "--metadata", "color=blue", "--content-type", "text/x-test")
            head = api("head-object", *k, "--checksum-mode", "ENABLED")
            eq((head["ContentLength"], head["Metadata"], head["ContentType"]), (len(data), {"color": "blue"}, "text/x-test"))
            eq((head["ETag"], head["Checksum" + name]), (put["ETag"], put["Checksum" + name]))
            if compute:
                eq(head["Checksum" + name], base64.b64encode(compute(data)).decode())
    with check("s3api get-object with a range across 4 MiB"):
        got = api("get-object", *k, "--range", f"bytes={4 * MIB - 5}-{4 * MIB + 5}", path("range"))
        same(read(path("range")), data[4 * MIB - 5 : 4 * MIB + 6])
        eq(got["ContentRange"], f"bytes {4 * MIB - 5}-{4 * MIB + 5}/{5 * MIB}")
    with check("s3api put-object --if-none-match '*' of an existing key -> PreconditionFailed"):
        assert b"PreconditionFailed" in api("put-object", *k, "--body", CONFIG, "--if-none-match", "*", fails=True)
    with check("s3api copy-object with REPLACE"):
        api("copy-object", "--bucket", bucket, "--key", "copy", "--copy-source", f"{bucket}/api", "--metadata-directive", "REPLACE", "--metadata", "color=red")
        eq(api("head-object", "--bucket", bucket, "--key", "copy")["Metadata"], {"color": "red"})
    with check("s3api list-objects-v2 in pages of 3"):
        listed = [o["Key"] for o in api("list-objects-v2", *b, "--page-size", "3")["Contents"]]
        assert {"api", "copy", "moved", "up/odd/a b+c%48é🙂&#.txt"} <= set(listed) and listed == sorted(listed, key=str.encode), listed
    with check("s3api multipart: create, list, list-parts, abort"):
        id = api("create-multipart-upload", *k)["UploadId"]
        api("upload-part", *k, "--upload-id", id, "--part-number", "1", "--body", CONFIG)
        listed = [u["UploadId"] for u in api("list-multipart-uploads", *b)["Uploads"]]
        # Begun again where the first answer was lost with its gateway.
        assert id in listed and len(listed) <= common.ATTEMPTS, listed
        eq(len(api("list-parts", *k, "--upload-id", id)["Parts"]), 1)
        api("abort-multipart-upload", *k, "--upload-id", id)
    with check("s3api get-object of a missing key -> NoSuchKey"):
        assert b"NoSuchKey" in api("get-object", *b, "--key", "missing", path("missing"), fails=True)
    with check("s3api delete-objects"):
        eq(len(api("delete-objects", *b, "--delete", json.dumps({"Objects": [{"Key": "api"}, {"Key": "copy"}]}))["Deleted"]), 2)
    with check("the second account -> AccessDenied"):
        second = {**ENV, "AWS_ACCESS_KEY_ID": common.ACCESS_KEY_2, "AWS_SECRET_ACCESS_KEY": common.SECRET_KEY_2}
        assert b"AccessDenied" in api("list-objects-v2", *b, env=second, fails=True)


def below(suite):
    check, bucket, w = suite.check, common.bucket_name("aws"), {"where": "/s3"}
    at = f"s3://{bucket}"
    data = write(path("below/a b+é"), payload("aws-below", 9 * MIB))
    with check("below /s3: mb, cp in parts, ls"):
        s3("mb", at, **w)
        s3("cp", data, f"{at}/a b+é", **w)
        assert "a b+é" in s3("ls", at, **w).decode()
    with check("below /s3: copy, get, presign"):
        s3("cp", f"{at}/a b+é", f"{at}/copy", **w)
        same(s3("cp", f"{at}/copy", "-", **w), read(data))
        same(s3("cp", f"{at}/copy", "-"), read(data))
        same(fetch("GET", s3("presign", f"{at}/copy", **w).decode().strip()).ok().body, read(data))
    with check("below /s3: rb --force"):
        s3("rb", "--force", at, **w)


def main(suite):
    bucket = common.bucket_name("aws")
    with suite.check("s3 mb"):
        s3("mb", f"s3://{bucket}")
    files(suite, bucket)
    operations(suite, bucket)
    big(suite, bucket)
    with suite.check("s3 rb of a bucket with objects -> BucketNotEmpty"):
        assert b"BucketNotEmpty" in s3("rb", f"s3://{bucket}", fails=True)
    with suite.check("s3 rm --recursive and rb"):
        s3("rm", "--recursive", f"s3://{bucket}")
        s3("rb", f"s3://{bucket}")
    below(suite)
    shutil.rmtree(DIR)


if __name__ == "__main__":
    Suite("awscli").run(main)
