"""Presigned URLs and virtual-host style addressing."""

import datetime
import socket
import time
from urllib.parse import urlsplit

import common
import sigv4
from boto3_base import S3, clear, client, holds, keys, make_bucket, put, refused
from common import MIB, eq, payload, same
from sigv4 import fetch

ODD = "pre/a b+%48é🙂?&#"
WEEK = 7 * 24 * 3600


def presigned(operation, bucket, key, expires=600, s3=S3, **arguments):
    return s3.generate_presigned_url(operation, Params={"Bucket": bucket, "Key": key, **arguments}, ExpiresIn=expires)


def presigning(suite, bucket):
    check, body = suite.check, payload("presign", 5 * MIB)
    put(bucket, "kept", b"kept")
    for title, key in (("plain key", "pre/plain"), ("odd key", ODD)):
        with check(f"presigned PUT, GET, HEAD of a {title}"):
            eq(fetch("PUT", presigned("put_object", bucket, key), body).ok().headers["ETag"], S3.head_object(Bucket=bucket, Key=key)["ETag"])
            holds(bucket, key, body)
            same(fetch("GET", presigned("get_object", bucket, key)).ok().body, body)
            eq(fetch("HEAD", presigned("head_object", bucket, key)).ok().headers["Content-Length"], str(len(body)))
    with check("presigned GET with a range"):
        answer = fetch("GET", presigned("get_object", bucket, ODD), headers={"Range": f"bytes={4 * MIB - 1}-{4 * MIB}"})
        same(answer.ok(206).body, body[4 * MIB - 1 : 4 * MIB + 1])
    with check("presigned GET overrides headers of the response"):
        wanted = {"Content-Type": "text/weird", "Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="u.txt"',
                  "Content-Encoding": "identity", "Content-Language": "fr", "Expires": "Thu, 01 Jan 2032 00:00:00 GMT"}
        arguments = {"Response" + h.replace("-", ""): v for h, v in wanted.items()}
        arguments["ResponseExpires"] = datetime.datetime(2032, 1, 1, tzinfo=datetime.timezone.utc)
        answer = fetch("GET", presigned("get_object", bucket, ODD, **arguments)).ok()
        eq({h: answer.headers.get(h) for h in wanted}, wanted)
        assert S3.head_object(Bucket=bucket, Key=ODD)["ContentType"] != "text/weird", "the override was stored"
    with check("presigned PUT with a signed Content-Type"):
        url = presigned("put_object", bucket, "pre/typed", ContentType="text/plain")
        fetch("PUT", url, b"typed", {"Content-Type": "text/plain"}).ok()
        eq(S3.head_object(Bucket=bucket, Key="pre/typed")["ContentType"], "text/plain")
        fetch("PUT", url, b"other", {"Content-Type": "text/html"}).refused(403, "SignatureDoesNotMatch")
        holds(bucket, "pre/typed", b"typed")
    with check("presigned part of a multipart upload"):
        at = {"UploadId": S3.create_multipart_upload(Bucket=bucket, Key="pre/part")["UploadId"], "PartNumber": 1}
        etag = fetch("PUT", presigned("upload_part", bucket, "pre/part", **at), body).ok().headers["ETag"]
        S3.complete_multipart_upload(Bucket=bucket, Key="pre/part", UploadId=at["UploadId"], MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
        holds(bucket, "pre/part", body)
    with check("presigned DELETE and list"):
        assert b"<Key>pre/part</Key>" in fetch("GET", S3.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket, "Prefix": "pre/p"})).ok().body
        fetch("DELETE", presigned("delete_object", bucket, "pre/part")).ok(204)
        eq(keys(bucket, Prefix="pre/part"), [])
    with check("presigned by the own signer, signature checked independently"):
        same(fetch("GET", common.ENDPOINT + sigv4.Signer().presign("GET", f"/{bucket}/kept", f"{common.HOST}:{common.PORT}", 60)).ok().body, b"kept")

    url = presigned("get_object", bucket, "kept")
    for title, changed in (("another key", url.replace("/kept", "/pre/plain")), ("a longer life", url.replace("Expires=600", "Expires=601")),
                           ("an added parameter", url + "&response-content-type=text/html"),
                           ("another signature", url[:-1] + ("0" if url[-1] != "0" else "1"))):
        with check(f"presigned GET changed to {title} -> SignatureDoesNotMatch"):
            fetch("GET", changed).refused(403, "SignatureDoesNotMatch")
    with check("presigned GET used for PUT and DELETE -> SignatureDoesNotMatch"):
        fetch("PUT", url, b"changed").refused(403, "SignatureDoesNotMatch")
        fetch("DELETE", url).refused(403, "SignatureDoesNotMatch")
        holds(bucket, "kept", b"kept")
    with check("presigned by an unknown key -> InvalidAccessKeyId"):
        fetch("GET", presigned("get_object", bucket, "kept", s3=client("AKIAUNKNOWNUNKNOWN00", "x" * 40))).refused(403, "InvalidAccessKeyId")
    with check("presigned with a wrong secret -> SignatureDoesNotMatch, nothing stored"):
        fetch("PUT", presigned("put_object", bucket, "kept", s3=client(common.ACCESS_KEY, "x" * 40)), b"bad").refused(403, "SignatureDoesNotMatch")
        holds(bucket, "kept", b"kept")
    with check("presigned GET and PUT that expired -> AccessDenied"):
        old = [("GET", presigned("get_object", bucket, "kept", 1)), ("PUT", presigned("put_object", bucket, "kept", 1))]
        time.sleep(2.5)
        for method, expired in old:
            fetch(method, expired, b"late" if method == "PUT" else None).refused(403, "AccessDenied")
        holds(bucket, "kept", b"kept")
    with check("presigned for 7 days is accepted"):
        same(fetch("GET", presigned("get_object", bucket, "kept", WEEK)).ok().body, b"kept")
    with check("presigned for longer than 7 days -> refused"):
        url = sigv4.Signer().presign("GET", f"{urlsplit(common.ENDPOINT).path}/{bucket}/kept", f"{common.HOST}:{common.PORT}", WEEK + 1)
        fetch("GET", f"http://{common.HOST}:{common.PORT}{url}").refused((400, 403), "AuthorizationQueryParametersError", "AccessDenied")
    with check("presigned with parameters missing -> AuthorizationQueryParametersError"):
        fetch("GET", presigned("get_object", bucket, "kept").split("&X-Amz-Date")[0]).refused((400, 403))


def resolve_localhost():
    """Makes `bucket.localhost` resolve everywhere; not every system does that by itself."""
    original = socket.getaddrinfo

    def resolve(host, *arguments, **more):
        return original("127.0.0.1" if str(host).endswith(".localhost") else host, *arguments, **more)

    socket.getaddrinfo = resolve


def virtual_host(suite):
    resolve_localhost()
    s3 = client(endpoint=f"http://localhost:{common.PORT}", style="virtual")
    hosts, check = [], suite.check
    s3.meta.events.register("before-send.s3.*", lambda request, **_: hosts.append(urlsplit(request.url).hostname))
    for bucket in (common.bucket_name("vhost"), common.bucket_name("v.host")):
        kind = "with dots" if "." in bucket else "plain name"
        with check(f"virtual host, {kind}: create, put, get, head, list"):
            del hosts[:]
            s3.create_bucket(Bucket=bucket)
            body = payload("vhost", 5 * MIB)
            for key in ("k", ODD, "a//b", "/leading"):
                s3.put_object(Bucket=bucket, Key=key, Body=body)
                same(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), body)
                eq(s3.head_object(Bucket=bucket, Key=key)["ContentLength"], len(body))
            eq([o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]], ["/leading", "a//b", "k", ODD])
            eq(set(hosts), {f"{bucket}.localhost"}, "hosts used")
            holds(bucket, "k", body)
        with check(f"virtual host, {kind}: key named like the bucket, copy, multipart, presigned"):
            s3.put_object(Bucket=bucket, Key=f"{bucket}/k", Body=b"nested")
            holds(bucket, f"{bucket}/k", b"nested")
            s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": f"{bucket}/k"})
            holds(bucket, "copy", b"nested")
            at = {"Bucket": bucket, "Key": "mp", "UploadId": s3.create_multipart_upload(Bucket=bucket, Key="mp")["UploadId"]}
            s3.complete_multipart_upload(**at, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": s3.upload_part(**at, PartNumber=1, Body=b"p")["ETag"]}]})
            same(fetch("GET", presigned("get_object", bucket, "mp", s3=s3)).ok().body, b"p")
        with check(f"virtual host, {kind}: bucket operations"):
            s3.head_bucket(Bucket=bucket)
            eq(s3.get_bucket_location(Bucket=bucket)["LocationConstraint"], None)
            refused(s3.delete_bucket, 409, "BucketNotEmpty", Bucket=bucket)
            refused(s3.head_object, 404, Bucket=bucket, Key="missing")
        clear(suite, bucket, s3=s3)
    with check("virtual host of a missing bucket -> NoSuchBucket"):
        refused(s3.get_object, 404, "NoSuchBucket", Bucket=common.bucket_name("missing"), Key="k")
    with check("path style at localhost"):
        assert client(endpoint=f"http://localhost:{common.PORT}").list_buckets()["Buckets"] is not None


def main(suite):
    bucket = make_bucket("presign")
    presigning(suite, bucket)
    clear(suite, bucket)
    virtual_host(suite)
