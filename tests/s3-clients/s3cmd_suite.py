#!/usr/bin/env python3
"""s3cmd: transfers, listings, copies, multipart."""

import os
import shutil

import common
from common import MIB, Suite, command, eq, name_of, payload, read, same, scratch, tree, write

DIR = scratch("s3cmd")
SETTINGS = f"""[default]
access_key = {common.ACCESS_KEY}
secret_key = {common.SECRET_KEY}
host_base = {common.HOST}:{common.PORT}
host_bucket = {common.HOST}:{common.PORT}
use_https = False
multipart_chunk_size_mb = 15
max_retries = {common.ATTEMPTS}
progress_meter = False
"""
CONFIG = write(os.path.join(DIR, "s3cfg"), f"{SETTINGS}bucket_location = {common.REGION}\n".encode())
STOCK = write(os.path.join(DIR, "stock"), SETTINGS.encode())
PYTHON, S3CMD = os.path.join(common.BIN, "python"), os.path.join(common.BIN, "s3cmd")


def s3cmd(*arguments, config=CONFIG, **options):
    env = {"PATH": os.environ["PATH"], "HOME": DIR, "LC_ALL": "C.UTF-8"}
    return command(PYTHON, "-W", "ignore", S3CMD, "-c", config, *arguments, env=env, **options)


def path(name):
    return os.path.join(DIR, name)


def main(suite):
    check, bucket = suite.check, common.bucket_name("s3cmd")
    at, odd = f"s3://{bucket}", ["odd/a b+c%48é🙂&#?.txt", "odd/quote's \"two\"", "odd/<tag>;=@,~"]
    for size in common.SIZES:
        write(path(f"up/size {name_of(size)}"), payload("s3cmd", size))
    for name in odd:
        write(path("up/" + name), name.encode())
    with check("mb and ls"):
        s3cmd("mb", at)
        assert at in s3cmd("ls").decode()
    with check("without a region set, which s3cmd signs as `US`: mb, ls, put, get, rb"):
        stock = common.bucket_name("s3cmd-stock")
        s3cmd("mb", f"s3://{stock}", config=STOCK)
        assert stock in s3cmd("ls", config=STOCK).decode()
        s3cmd("put", path("up/size 9 B"), f"s3://{stock}/k", config=STOCK)
        same(s3cmd("get", f"s3://{stock}/k", "-", config=STOCK), read(path("up/size 9 B")))
        s3cmd("del", f"s3://{stock}/k", config=STOCK)
        s3cmd("rb", f"s3://{stock}", config=STOCK)
    with check("put --recursive: all sizes, odd names, 40 MiB in parts of 15 MiB"):
        s3cmd("put", "--recursive", path("up"), at + "/")
    with check("ls --recursive"):
        listed = s3cmd("ls", "--recursive", at).decode()
        eq(sorted(line.split(f"{at}/up/")[1] for line in listed.splitlines()), sorted(tree(path("up"))))
        assert f" {40 * MIB} " in listed, listed
    with check("get --recursive: the same bytes"):
        os.makedirs(path("down"))
        s3cmd("get", "--recursive", f"{at}/up", path("down") + "/")
        eq(tree(path("down/up")), tree(path("up")))
    with check("get with an offset continues a file"):
        data = read(path("up/size 4 MiB + 1"))
        write(path("partial"), data[: 4 * MIB - 7])
        s3cmd("get", "--continue", f"{at}/up/size 4 MiB + 1", path("partial"))
        same(read(path("partial")), data)
    with check("du"):
        total = sum(len(read(path("up/" + n))) for n in tree(path("up")))
        assert str(total).encode() in s3cmd("du", f"{at}/up/"), s3cmd("du", f"{at}/up/")
    with check("sync up: one changed, one gone"):
        write(path("up/size 9 B"), b"changed!!!")
        os.remove(path("up/size 10 B"))
        out = s3cmd("sync", "--delete-removed", path("up"), at + "/").decode()
        assert "size 9 B" in out and "size 40 MiB" not in out, out
        eq(s3cmd("get", f"{at}/up/size 9 B", "-"), b"changed!!!")
        assert b"size 10 B" not in s3cmd("ls", "--recursive", at)
    with check("sync down"):
        s3cmd("sync", "--delete-removed", f"{at}/up/", path("down/up") + "/")
        eq(tree(path("down/up")), tree(path("up")))
    with check("put from standard input, 20 MiB"):
        data = payload("s3cmd-pipe", 20 * MIB)
        s3cmd("put", "-", f"{at}/piped", input=data)
        same(s3cmd("get", f"{at}/piped", "-"), data)
    with check("cp: small by copy, 40 MiB by part copies"):
        for name in ("size 40 MiB", odd[0]):
            s3cmd("cp", f"{at}/up/{name}", f"{at}/copy")
            same(s3cmd("get", f"{at}/copy", "-"), read(path("up/" + name)))
    with check("mv"):
        s3cmd("mv", f"{at}/copy", f"{at}/moved")
        listed = s3cmd("ls", at + "/")
        assert b"/moved\n" in listed and b"/copy\n" not in listed, listed
    with check("put with headers, info, modify"):
        s3cmd("put", "--mime-type", "text/x-test", "--add-header", "x-amz-meta-color: blue", path("up/size 4095 B"), f"{at}/meta")
        out = s3cmd("info", f"{at}/meta").decode()
        assert "text/x-test" in out and "blue" in out and "4095" in out, out
        s3cmd("modify", "--add-header", "x-amz-meta-color: red", f"{at}/meta")
        assert "red" in s3cmd("info", f"{at}/meta").decode()
        eq(s3cmd("get", f"{at}/meta", "-"), read(path("up/size 4095 B")))
    with check("info of the bucket"):
        assert b"Location:  us-east-1" in s3cmd("info", at), s3cmd("info", at)
    with check("multipart: no unfinished uploads"):
        assert b"http" not in s3cmd("multipart", at).splitlines()[1:], s3cmd("multipart", at)
    with check("missing object and bucket fail with their codes"):
        assert b"does not exist" in s3cmd("get", f"{at}/missing", path("missing"), fails=True)
        assert b"NoSuchBucket" in s3cmd("ls", f"s3://{common.bucket_name('missing')}", fails=True)
    with check("the second account is refused"):
        out = s3cmd("--access_key", common.ACCESS_KEY_2, "--secret_key", common.SECRET_KEY_2, "ls", at, fails=True)
        assert b"AccessDenied" in out or b"Access" in out, out
    with check("rb of a bucket with objects -> BucketNotEmpty"):
        assert b"BucketNotEmpty" in s3cmd("rb", at, fails=True)
    with check("del --recursive and rb"):
        s3cmd("del", "--recursive", "--force", at)
        s3cmd("rb", at)
        assert at not in s3cmd("ls").decode()
    shutil.rmtree(DIR)


if __name__ == "__main__":
    Suite("s3cmd").run(main)
