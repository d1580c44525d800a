#!/usr/bin/env python3
"""rclone: transfers, listings, server-side copies, ranges, and a short run below /s3."""

import json
import os
import shutil

import common
from common import MIB, Suite, command, eq, name_of, payload, read, same, scratch, sha256_file, tree, write
from sigv4 import fetch

DIR = scratch("rclone")
RCLONE = os.path.join(common.BIN, "rclone") if os.path.exists(os.path.join(common.BIN, "rclone")) else shutil.which("rclone") or "rclone"


def remote(name, endpoint, access=common.ACCESS_KEY, secret=common.SECRET_KEY, **more):
    settings = {"type": "s3", "provider": "Other", "endpoint": endpoint, "access_key_id": access, "secret_access_key": secret, "region": common.REGION,
                "force_path_style": "true", "upload_cutoff": "20M", "chunk_size": "5M", "copy_cutoff": "20M", **more}
    return {f"RCLONE_CONFIG_{name}_{k.upper()}": v for k, v in settings.items()}


ENV = {"PATH": os.environ["PATH"], "HOME": DIR, "RCLONE_CONFIG": os.path.join(DIR, "rclone.conf"), "RCLONE_RETRIES": str(common.ATTEMPTS),
       "RCLONE_LOW_LEVEL_RETRIES": str(common.ATTEMPTS),
       **remote("A", common.ENDPOINT), **remote("AWS", common.ENDPOINT, provider="AWS"), **remote("V1", common.ENDPOINT, list_version="1"),
       **remote("SUB", common.ENDPOINT + "/s3"), **remote("B", common.ENDPOINT, common.ACCESS_KEY_2, common.SECRET_KEY_2)}


def rclone(*arguments, **options):
    return command(RCLONE, *arguments, env=ENV, **options)


def lines(*arguments):
    return sorted(rclone(*arguments).decode().splitlines())


def path(name):
    return os.path.join(DIR, name)


def main(suite):
    check, bucket = suite.check, common.bucket_name("rclone")
    at, odd = f"A:{bucket}", ["odd/a b+c%48é🙂&#?.txt", "odd/quote's \"two\"", "odd/<tag>;=@,~", "odd/100%", "odd/-dash"]
    for size in common.SIZES:
        write(path(f"up/size {name_of(size)}"), payload("rclone", size))
    for name in odd:
        write(path("up/" + name), name.encode())
    write(path("up/zeros"), bytes(9 * MIB))
    with check("mkdir and lsd"):
        rclone("mkdir", at)
        assert bucket in rclone("lsd", "A:").decode()
    with check("copy up: all sizes, odd names, 40 MiB in parts"):
        rclone("copy", path("up"), f"{at}/up")
    with check("check --download: every byte the same"):
        rclone("check", "--download", path("up"), f"{at}/up")
    with check("copy down: the same bytes"):
        rclone("copy", f"{at}/up", path("down"))
        eq(tree(path("down")), tree(path("up")))
    with check("check by hashes and sizes"):
        rclone("check", path("up"), f"{at}/up")
    want = sorted(tree(path("up")))
    for name, title in (("A", "v2"), ("V1", "v1"), ("AWS", "as provider AWS")):
        with check(f"lsf -R with listing {title}"):
            eq(lines("lsf", "-R", "--files-only", f"{name}:{bucket}/up"), want)
    with check("lsjson: sizes, times, MD5"):
        local = {i["Path"]: (i["Size"], i["Hashes"]["md5"]) for i in json.loads(rclone("lsjson", "-R", "--hash", "--files-only", "--hash-type", "md5", path("up")))}
        found = json.loads(rclone("lsjson", "-R", "--hash", "--files-only", f"{at}/up"))
        eq({i["Path"]: (i["Size"], i["Hashes"].get("md5")) for i in found}, local)
    with check("sync: one changed, one gone"):
        write(path("up/zeros"), b"changed")
        os.remove(path("up/odd/100%"))
        rclone("sync", path("up"), f"{at}/up")
        eq(lines("lsf", "-R", "--files-only", f"{at}/up"), sorted(tree(path("up"))))
        eq(rclone("cat", f"{at}/up/zeros"), b"changed")
    with check("sync again sends nothing"):
        eq(b"".join(rclone("sync", "--dry-run", "--use-json-log", path("up"), f"{at}/up").splitlines()), b"")
    with check("cat of ranges: start, across 4 MiB, end"):
        data = read(path("up/size 40 MiB"))
        file = f"{at}/up/size 40 MiB"
        eq(rclone("cat", "--count", "5", file), data[:5])
        eq(rclone("cat", "--offset", str(4 * MIB - 3), "--count", "6", file), data[4 * MIB - 3 : 4 * MIB + 3])
        eq(rclone("cat", "--offset", "-7", file), data[-7:])
    with check("rcat: 12 MiB of unknown length"):
        data = payload("rclone-rcat", 12 * MIB)
        rclone("rcat", "--streaming-upload-cutoff", "100k", f"{at}/piped", input=data)
        same(rclone("cat", f"{at}/piped"), data)
    with check("server-side copy: small by copy, 40 MiB by part copies"):
        rclone("copy", f"{at}/up", f"{at}/copied", "--include", "size 4*")
        rclone("check", "--download", f"{at}/copied", f"{at}/up", "--include", "size 4*")
    with check("moveto"):
        rclone("moveto", f"{at}/piped", f"{at}/moved é")
        eq([n for n in lines("lsf", at) if n in ("piped", "moved é")], ["moved é"])
    with check("metadata and headers"):
        rclone("copyto", "--metadata", "--metadata-set", "color=blue", "--metadata-set", "content-type=text/x-test", path("up/zeros"), f"{at}/meta")
        found = json.loads(rclone("lsjson", "--metadata", f"{at}/meta"))[0]
        eq((found["Metadata"]["color"], found["MimeType"]), ("blue", "text/x-test"))
    with check("touch changes the time by copying onto itself"):
        rclone("touch", "--timestamp", "2020-02-02T02:02:02", f"{at}/meta")
        assert b"2020-02-02" in rclone("lsl", f"{at}/meta")
        eq(rclone("cat", f"{at}/meta"), b"changed")
    with check("link: a presigned URL"):
        same(fetch("GET", rclone("link", "--expire", "1h", f"{at}/moved é").decode().strip()).ok().body, data)
    with check("copy as provider AWS"):
        rclone("copyto", path("up/size 40 MiB"), f"AWS:{bucket}/provider")
        eq(sha256_file(path("up/size 40 MiB")), rclone("hashsum", "sha256", "--download", f"AWS:{bucket}/provider").split()[0].decode())
    with check("backend: unfinished uploads are listed and cleaned up"):
        eq(json.loads(rclone("backend", "list-multipart-uploads", at)), {bucket: []})
        rclone("cleanup", at)
    with check("delete one, delete by filter"):
        rclone("deletefile", f"{at}/meta")
        rclone("delete", at, "--include", "/copied/**")
        assert not [n for n in lines("lsf", "-R", at) if n == "meta" or n.startswith("copied/")]
    with check("missing object and bucket fail"):
        rclone("deletefile", f"{at}/missing", fails=True)
        rclone("lsf", f"A:{common.bucket_name('missing')}", fails=True)
    with check("the second account is refused"):
        rclone("lsf", f"B:{bucket}", fails=True)
        rclone("copyto", path("up/zeros"), f"B:{bucket}/planted", "--s3-no-check-bucket", fails=True)
    with check("rmdir of a bucket with objects fails"):
        rclone("rmdir", at, fails=True)
    with check("purge"):
        rclone("purge", at)
        assert bucket not in rclone("lsd", "A:").decode()
    below = f"SUB:{bucket}-below"
    with check("below /s3: mkdir, copy in parts, list, cat"):
        rclone("mkdir", below)
        rclone("copy", path("up"), below, "--include", "size 40*", "--include", "odd/**")
        rclone("check", "--download", path("up"), below, "--include", "size 40*", "--include", "odd/**")
        assert f"{bucket}-below" in rclone("lsd", "SUB:").decode() and f"{bucket}-below" in rclone("lsd", "A:").decode()
    with check("below /s3: server-side copy and link"):
        rclone("copyto", f"{below}/size 40 MiB", f"{below}/copy")
        rclone("check", "--download", path("up"), below, "--include", "size 40*")
        eq(common.sha256(fetch("GET", rclone("link", f"{below}/copy").decode().strip()).ok().body), sha256_file(path("up/size 40 MiB")))
    with check("below /s3: purge"):
        rclone("purge", below)
    shutil.rmtree(DIR)


if __name__ == "__main__":
    Suite("rclone").run(main)
