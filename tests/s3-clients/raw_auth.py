"""Who may: right, wrong, missing and malformed signatures; payload hashes; clocks."""

import datetime

import common
from common import eq, payload, same
from sigv4 import EMPTY, UNSIGNED, Signer, now, request, send

WRONG = Signer(secret="wrong" * 8)


def vectors(suite):
    """The worked example of the S3 documentation for signed chunks, to trust the signer itself."""
    with suite.check("the signer reproduces the documented example of a chunked upload"):
        when = datetime.datetime(2013, 5, 24, tzinfo=datetime.timezone.utc)
        signer = Signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", when)
        signer.headers("PUT", "/examplebucket/chunkObject.txt",
                       {"Host": "s3.amazonaws.com", "x-amz-storage-class": "REDUCED_REDUNDANCY", "Content-Encoding": "aws-chunked",
                        "x-amz-decoded-content-length": "66560", "Content-Length": "66824"}, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
        chain = [signer.previous]
        for data in (b"a" * 65536, b"a" * 1024, b""):
            signer.chunk(data)
            chain.append(signer.previous)
        eq([s[:8] for s in chain], ["4f232c43", "ad80c730", "0055627c", "b6c6ea8a"])
    with suite.check("the signer reproduces the documented example with a trailer"):
        signer = Signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", when)
        signer.headers("PUT", "/examplebucket/chunkObject.txt",
                       {"Host": "s3.amazonaws.com", "x-amz-storage-class": "REDUCED_REDUNDANCY", "Content-Encoding": "aws-chunked",
                        "x-amz-decoded-content-length": "66560", "x-amz-trailer": "x-amz-checksum-crc32c"}, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")
        chain = [signer.previous]
        for data in (b"a" * 65536, b"a" * 1024, b""):
            signer.chunk(data)
            chain.append(signer.previous)
        signer.trailer("x-amz-checksum-crc32c:sOO8/Q==")
        eq([s[:8] for s in [*chain, signer.previous]], ["106e2a8a", "b474d886", "1c1344b1", "2ca2aba2", "d81f82fc"])


def main(suite):
    check, bucket = suite.check, common.bucket_name("raw-auth")
    at, secret, body = f"/{bucket}/kept", f"/{bucket}/planted", payload("raw", 300_000)
    vectors(suite)

    def intact():
        same(request("GET", at).ok().body, body)
        eq(request("HEAD", secret).status, 404, "status of what must not have been stored")

    with check("auth: signed PUT and GET"):
        request("PUT", f"/{bucket}").ok()
        request("PUT", at, body).ok()
        intact()
    with check("auth: UNSIGNED-PAYLOAD"):
        request("PUT", at, body, payload_hash=UNSIGNED).ok()
        intact()
    with check("auth: query parameters with odd characters are signed and read"):
        request("GET", f"/{bucket}?list-type=2&max-keys=1&prefix=a%20b%2B%2F%C3%A9~-_.&start-after=%25").ok()
    for title, signer, code in (("unknown access key", Signer("AKIAUNKNOWNUNKNOWN00"), "InvalidAccessKeyId"),
                                ("wrong secret", WRONG, "SignatureDoesNotMatch")):
        for method, target, data in (("GET", "/", b""), ("GET", at, b""), ("PUT", at, b"changed"), ("PUT", secret, b"x"), ("DELETE", at, b""),
                                     ("PUT", secret, payload("large", 5 << 20))):
            with check(f"auth: {title}, {method} {'service' if target == '/' else target.split('/')[-1]}, {len(data)} bytes -> {code}"):
                request(method, target, data, signer=signer).refused(403, code)
                intact()
        with check(f"auth: {title}, HEAD -> 403 without a body"):
            answer = request("HEAD", at, signer=signer)
            eq((answer.status, answer.body), (403, b""))
    for method, target, data in (("GET", "/", b""), ("GET", f"/{bucket}?list-type=2", b""), ("GET", at, b""), ("PUT", at, b"changed"), ("PUT", secret, b"x"),
                                 ("DELETE", at, b""), ("DELETE", f"/{bucket}", b""), ("POST", f"{secret}?uploads", b""), ("PUT", "/" + common.bucket_name("anon"), b"")):
        with check(f"auth: anonymous {method} of {'an object' if target.count('/') > 1 else 'a bucket or the service'} ({len(data)} bytes) -> AccessDenied"):
            send(method, target, body=data).refused(403, "AccessDenied")
            intact()

    good = Signer().headers("GET", at, {"Host": f"{common.HOST}:{common.PORT}"}, EMPTY)
    value = good["Authorization"]
    for title, broken in (
            ("no scheme", "garbage"), ("empty", ""), ("only the scheme", "AWS4-HMAC-SHA256"), ("only a credential", value.split(", ")[0]),
            ("no signature", value.split(", Signature")[0]), ("credential without scope", value.replace("/s3/aws4_request", "")),
            ("empty signature", value.split("Signature=")[0] + "Signature="), ("signature not hexadecimal", value[:-64] + "z" * 64),
            ("long signature", value + "0" * 3000), ("no signed headers", value.replace("SignedHeaders=host;x-amz-content-sha256;x-amz-date", "SignedHeaders=")),
            ("host not signed", value.replace("SignedHeaders=host;", "SignedHeaders=")), ("unknown algorithm", value.replace("SHA256", "SHA512")),
            ("service not s3", value.replace("/s3/", "/ec2/")), ("Basic", "Basic dXNlcjpwYXNz"), ("Bearer", "Bearer abc.def.ghi"),
            ("signature version 2", "AWS AKIAEXAMPLE:c2lnbmF0dXJl"), ("commas only", "AWS4-HMAC-SHA256 ,,,"), ("bytes above 127", "AWS4-HMAC-SHA256 Credential=\xff\xfe")):
        with check(f"auth: malformed Authorization, {title} -> 400 or 403"):
            send("GET", at, {**good, "Authorization": broken}).refused((400, 403))
    with check("auth: signature in header and query -> 400"):
        send("GET", Signer().presign("GET", at, f"{common.HOST}:{common.PORT}", 60), good).refused((400, 403))
    with check("auth: signed header changed on the way -> SignatureDoesNotMatch"):
        headers = Signer().headers("PUT", at, {"Host": f"{common.HOST}:{common.PORT}", "x-amz-meta-a": "1"}, EMPTY)
        send("PUT", at, {**headers, "x-amz-meta-a": "2"}).refused(403, "SignatureDoesNotMatch")
        intact()
    with check("auth: signed query changed on the way -> SignatureDoesNotMatch"):
        headers = Signer().headers("GET", f"/{bucket}?prefix=a", {"Host": f"{common.HOST}:{common.PORT}"}, EMPTY)
        send("GET", f"/{bucket}?prefix=b", headers).refused(403, "SignatureDoesNotMatch")
    with check("auth: an x-amz header that is not signed -> AccessDenied"):
        headers = Signer().headers("PUT", at, {"Host": f"{common.HOST}:{common.PORT}"}, EMPTY)
        send("PUT", at, {**headers, "x-amz-copy-source": f"/{bucket}/other"}).refused(403, "AccessDenied", "SignatureDoesNotMatch")
        intact()
    for title, minutes in (("20 minutes slow", -20), ("20 minutes fast", 20), ("a week slow", -7 * 24 * 60)):
        with check(f"auth: clock {title} -> RequestTimeTooSkewed"):
            request("GET", at, signer=Signer(when=now() + datetime.timedelta(minutes=minutes))).refused(403, "RequestTimeTooSkewed")
    with check("auth: clock 5 minutes off is accepted"):
        for minutes in (-5, 5):
            request("GET", at, signer=Signer(when=now() + datetime.timedelta(minutes=minutes))).ok()
    for title, changed in (("missing", {}), ("malformed", {"x-amz-date": "yesterday"})):
        with check(f"auth: x-amz-date {title} -> 400 or 403"):
            send("GET", at, {**{k: v for k, v in good.items() if k != "x-amz-date"}, **changed}).refused((400, 403))
    with check("auth: body does not match its hash -> XAmzContentSHA256Mismatch, old object intact"):
        for data in (b"changed", body[:-1], body + b"x", payload("other", 300_000)):
            request("PUT", at, data, payload_hash=common.sha256(body)).refused(400, "XAmzContentSHA256Mismatch")
            intact()
    with check("auth: x-amz-content-sha256 that is no hash -> 400"):
        request("PUT", at, b"x", payload_hash="nonsense").refused((400, 403))
        intact()
    with check("auth: x-amz-content-sha256 missing -> 400"):
        headers = Signer().headers("PUT", at, {"Host": f"{common.HOST}:{common.PORT}"}, EMPTY)
        send("PUT", at, {k: v for k, v in headers.items() if k != "x-amz-content-sha256"}).refused((400, 403))
        intact()
    with check("auth: everything removed"):
        request("DELETE", at).ok(204)
        request("DELETE", f"/{bucket}").ok(204)
