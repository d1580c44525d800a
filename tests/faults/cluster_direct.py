"""Direct clients and S3 clients see the same objects: what one stores the other reads, byte for byte, and the gateway sees no payload."""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from cluster import Cluster
from dev import arguments, body, check

SIZES = [0, 1, 4096, 4097, 1_000_000, 4 << 20, (4 << 20) + 1, 33_000_000]
PART = 5 << 20


def refused(cluster, *args, **env):
    """What the command says when it fails."""
    known = {"CYX_GATEWAY": cluster.grpc, "CYX_ACCESS_KEY_ID": "CYXROOTKEY", "CYX_SECRET_ACCESS_KEY": "cluster-test-secret"}
    command = [str(cluster.binaries / "cyxcloud"), *args]
    done = subprocess.run(command, env={**os.environ, **known, **env}, capture_output=True, text=True, timeout=60)
    check(done.returncode == 1 and done.stderr.startswith("error: ") and "panicked" not in done.stderr, f"{' '.join(args)}: {done.stderr.strip()}")


def interrupted(cluster, key, whole, meanwhile):
    """A direct upload of what comes through a pipe, and what happens in the middle of it."""
    known = {"CYX_GATEWAY": cluster.grpc, "CYX_ACCESS_KEY_ID": "CYXROOTKEY", "CYX_SECRET_ACCESS_KEY": "cluster-test-secret"}
    command = [str(cluster.binaries / "cyxcloud"), "upload", "--direct", "-", f"direct/{key}"]
    upload = subprocess.Popen(command, env={**os.environ, **known}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    half = len(whole) // 2
    upload.stdin.write(whole[:half])
    upload.stdin.flush()
    time.sleep(2)
    meanwhile()
    said = upload.communicate(whole[half:], timeout=120)[1].decode()
    got = cluster.s3().get_object(Bucket="direct", Key=key)["Body"].read() if upload.returncode == 0 else b""
    check(got == whole, f"an upload during which nodes went is whole {said.strip()}")


def main():
    args = arguments()
    cluster = Cluster(args.binary)
    s3 = cluster.s3()
    scratch = Path(tempfile.mkdtemp(dir=cluster.directory))
    source, target = scratch / "source", scratch / "target"
    for size in SIZES:
        source.write_bytes(body(size, size))
        told = json.loads(cluster.cyxcloud("upload", "--direct", "--json", "--content-type", "text/x-test", str(source), f"direct/up-{size}"))
        got = s3.get_object(Bucket="direct", Key=f"up-{size}")
        whole = got["Body"].read() == body(size, size)
        check(whole and got["ETag"] == f'"{told["etag"]}"' and got["ContentType"] == "text/x-test", f"{size} bytes: direct upload, S3 download")
        s3.put_object(Bucket="direct", Key=f"down-{size}", Body=body(size + 1, size))
        cluster.cyxcloud("download", "--direct", "--bucket", "direct", "--key", f"down-{size}", str(target))
        check(target.read_bytes() == body(size + 1, size), f"{size} bytes: S3 upload, direct download")
    where = {"Bucket": "direct", "Key": "multipart"}
    upload = s3.create_multipart_upload(**where)["UploadId"]
    whole = body(7, 3 * PART)
    parts = [{"PartNumber": n, "ETag": s3.upload_part(**where, UploadId=upload, PartNumber=n, Body=whole[(n - 1) * PART:n * PART])["ETag"]} for n in (1, 2, 3)]
    s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
    cluster.cyxcloud("download", "--direct", "direct/multipart", str(target))
    check(target.read_bytes() == whole, "a multipart upload of S3, direct download")

    source.write_bytes(body(9, 20_000_000))
    cluster.cyxcloud("upload", "--direct", "--no-overwrite", str(source), "direct/once")
    refused(cluster, "upload", "--direct", "--no-overwrite", str(source), "direct/once")
    refused(cluster, "download", "--direct", "direct/nothing", str(target))
    refused(cluster, "download", "--direct", "nobucket/nothing", str(target))
    refused(cluster, "upload", "--direct", str(scratch / "absent"), "direct/key")
    refused(cluster, "upload", str(source), "direct/key")
    refused(cluster, "upload", "--direct", str(source), "direct/key", CYX_SECRET_ACCESS_KEY="wrong")
    refused(cluster, "upload", "--direct", str(source), "direct/key", CYX_ACCESS_KEY_ID="CYXNOBODY")
    refused(cluster, "upload", "--direct", str(source), "direct/key", CYX_GATEWAY="127.0.0.1:1")
    refused(cluster, "node", "drain", "node-99")
    check(target.read_bytes() == whole, "a download that failed left the file that was there")
    keys = {found["Key"] for found in s3.list_objects_v2(Bucket="direct")["Contents"]}
    check("key" not in keys and "once" in keys, "an upload that failed left nothing to see")

    def nodes_go():
        cluster.cyxcloud("node", "drain", "node-00")
        cluster.nodes[1].kill()
        # The gateway learns of it at its next call.
        s3.put_object(Bucket="direct", Key="between", Body=body(11, 5_000_000))

    interrupted(cluster, "interrupted", body(10, 48 << 20), nodes_go)
    cluster.nodes[1].start()
    cluster.nodes[1].ready()
    cluster.cyxcloud("node", "undrain", "node-00")
    cluster.wait(cluster.healthy, "the nodes are back and everything is whole")

    for node in cluster.nodes[:4]:
        node.kill()
    cluster.cyxcloud("download", "--direct", "direct/once", str(target))
    check(target.read_bytes() == body(9, 20_000_000), "with 4 of 14 nodes killed a direct download is whole")
    cluster.cyxcloud("upload", "--direct", str(source), "direct/meanwhile")
    check(s3.get_object(Bucket="direct", Key="meanwhile")["Body"].read() == source.read_bytes(), "and so is a direct upload")
    cluster.close()


main()
