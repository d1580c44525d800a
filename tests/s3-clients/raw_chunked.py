"""aws-chunked bodies, signed and with trailers, whole and broken. Over plain HTTP no SDK of Python sends these."""

import contextlib
import http.client
import re

import common
from boto3_checksums import ALGORITHMS
from common import MIB, eq, payload, same
from sigv4 import STREAM, STREAM_TRAILER, UNSIGNED_TRAILER, Signer, pieces, request, send

OLD = b"old object"


class Chunked:
    """An aws-chunked upload; the hooks break it."""

    def __init__(self, kind, data, trailer=None, size=64 * 1024, headers=None, length=None, signer=None):
        self.kind, self.data, self.trailer, self.size, self.signer = kind, data, trailer, size, signer or Signer()
        self.headers = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(data) if length is None else length), **(headers or {})}
        if trailer:
            self.headers["x-amz-trailer"] = trailer[0]

    def body(self):
        parts = [*pieces(self.data, self.size), b""]
        if self.kind == UNSIGNED_TRAILER:
            frames = [b"%x\r\n%s" % (len(p), p + b"\r\n" if p else b"") for p in parts]
        else:
            frames = [self.signer.chunk(p) for p in parts]
        end = b"\r\n"
        if self.trailer:
            line = ":".join(self.trailer)
            end = (line + "\r\n").encode() if self.kind == UNSIGNED_TRAILER else self.signer.trailer(line)
            end += b"\r\n"
        return frames, end

    def put(self, target, change=None, drop=(), **options):
        """Sends it; `change(frames, end)` may return other bytes."""
        host = f"{common.HOST}:{common.PORT}"
        headers = {k: v for k, v in self.headers.items() if k not in drop and v is not None}
        headers = self.signer.headers("PUT", target, {"Host": host, **headers}, self.kind)
        frames, end = self.body()
        return send("PUT", target, headers, change(frames, end) if change else b"".join(frames) + end, **options)


def good(suite, bucket):
    check, at = suite.check, f"/{bucket}/good"
    for size, chunk in ((0, 65536), (1, 65536), (65536, 65536), (65537, 65536), (300_000, 8192), (5 * MIB + 3, 65536), (9 * MIB, MIB), (4 * MIB, 5 * MIB)):
        with check(f"chunked signed: {common.name_of(size)} in chunks of {common.name_of(chunk)}"):
            data = payload("chunked", size)
            answer = Chunked(STREAM, data, size=chunk).put(at).ok()
            eq(answer.headers["ETag"], request("HEAD", at).ok().headers["ETag"])
            same(request("GET", at).ok().body, data)
    for kind, title in ((STREAM_TRAILER, "signed with trailer"), (UNSIGNED_TRAILER, "unsigned with trailer")):
        for name, compute in ALGORITHMS.items():
            with check(f"chunked {title} {name}: stored, echoed by HEAD"):
                header = f"x-amz-checksum-{name.lower()}"
                for data in (payload("trailer", 200_001), b""):
                    Chunked(kind, data, (header, compute(data))).put(at).ok()
                    same(request("GET", at).ok().body, data)
                    eq(request("HEAD", at, headers={"x-amz-checksum-mode": "ENABLED"}).ok().headers.get(header), compute(data), header)
    with check("chunked unsigned with trailer: 9 MiB"):
        data = payload("trailer-9", 9 * MIB)
        Chunked(UNSIGNED_TRAILER, data, ("x-amz-checksum-crc32", ALGORITHMS["CRC32"](data)), size=MIB).put(at).ok()
        same(request("GET", at).ok().body, data)
    with check("chunked: `aws-chunked` is not kept as Content-Encoding, the rest is"):
        Chunked(STREAM, b"abc").put(at).ok()
        eq(request("HEAD", at).headers.get("Content-Encoding"), None)
        Chunked(STREAM, b"abc", headers={"Content-Encoding": "aws-chunked,gzip"}).put(at).ok()
        eq(request("HEAD", at).headers.get("Content-Encoding"), "gzip")
    with check("chunked: without Content-Encoding at all"):
        Chunked(STREAM, b"abc").put(at, drop=("Content-Encoding",)).ok()
        same(request("GET", at).ok().body, b"abc")
    with check("chunked part of a multipart upload, with trailer"):
        id = request("POST", f"/{bucket}/part?uploads").ok().body.split(b"<UploadId>")[1].split(b"<")[0].decode()
        data = payload("chunked-part", 5 * MIB)
        etag = Chunked(UNSIGNED_TRAILER, data, ("x-amz-checksum-crc32c", ALGORITHMS["CRC32C"](data))).put(f"/{bucket}/part?partNumber=1&uploadId={id}").ok().headers["ETag"]
        xml = f"<CompleteMultipartUpload><Part><ETag>{etag}</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>"
        request("POST", f"/{bucket}/part?uploadId={id}", xml.encode()).ok()
        same(request("GET", f"/{bucket}/part").ok().body, data)


def broken(suite, bucket):
    at, data = f"/{bucket}/kept", payload("broken", 200_000)
    flip = lambda frame: frame[:-3] + bytes([frame[-3] ^ 1]) + frame[-2:]
    resign = lambda frame: re.sub(rb"chunk-signature=.{64}", b"chunk-signature=" + b"0" * 64, frame, count=1)
    crc = ALGORITHMS["CRC32"]
    signed, trailed = lambda **k: Chunked(STREAM, data, **k), lambda value=crc(data), kind=STREAM_TRAILER, **k: Chunked(kind, data, ("x-amz-checksum-crc32", value), **k)
    forged = (403, "SignatureDoesNotMatch")
    for title, upload, change, *want in (
            ("first chunk changed", signed(), lambda f, e: b"".join([flip(f[0]), *f[1:]]) + e, *forged),
            ("last data chunk changed", signed(), lambda f, e: b"".join([*f[:-2], flip(f[-2]), f[-1]]) + e, *forged),
            ("chunks swapped", signed(), lambda f, e: b"".join([f[1], f[0], *f[2:]]) + e, *forged),
            ("signature of a chunk wrong", signed(), lambda f, e: b"".join([resign(f[0]), *f[1:]]) + e, *forged),
            ("signature of the final chunk wrong", signed(), lambda f, e: b"".join([*f[:-1], b"0;chunk-signature=" + b"0" * 64 + b"\r\n"]) + e, *forged),
            ("a chunk left out", signed(), lambda f, e: b"".join(f[:1] + f[2:]) + e, (400, 403)),
            ("signed with a wrong secret", signed(signer=Signer(secret="x" * 40)), None, *forged),
            ("no signatures on chunks", signed(), lambda f, e: b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data), (400, 403)),
            ("final chunk missing", signed(), lambda f, e: b"".join(f[:-1]), (400, 403)),
            ("not chunked at all", signed(), lambda f, e: data, (400, 403)),
            ("chunk size no number", signed(), lambda f, e: b"zz" + b"".join(f) + e, (400, 403)),
            ("chunk size negative", signed(), lambda f, e: b"-" + b"".join(f) + e, (400, 403)),
            ("chunk size beyond 64 bits", signed(), lambda f, e: b"f" * 17 + b"".join(f) + e, (400, 403)),
            ("chunk size of 8 EiB", signed(), lambda f, e: b"7fffffffffffffff;chunk-signature=" + b"0" * 64 + b"\r\n" + data, (400, 403)),
            ("chunk header without end", signed(), lambda f, e: b"0" * 300_000, (400, 403)),
            ("line ends missing", signed(), lambda f, e: (b"".join(f) + e).replace(b"\r\n", b""), (400, 403)),
            ("declared longer than sent", signed(length=len(data) + 1), None, 400),
            ("declared shorter than sent", signed(length=len(data) - 1), None, 400),
            ("declared length 0", signed(length=0), None, 400),
            ("declared length no number", signed(length="many"), None, (400, 411)),
            ("trailer does not match", trailed(crc(b"other")), None, 400, "BadDigest"),
            ("trailer no checksum", trailed("nonsense"), None, 400),
            ("trailer signature wrong", trailed(), lambda f, e: b"".join(f) + e[:-68] + b"0" * 64 + b"\r\n\r\n", *forged),
            ("signed trailer missing", trailed(), lambda f, e: b"".join(f) + b"\r\n", (400, 403)),
            ("signed trailer changed", trailed(), lambda f, e: b"".join(f) + e.replace(b"crc32", b"crc3z"), (400, 403)),
            ("unsigned, trailer does not match", trailed(crc(b"other"), UNSIGNED_TRAILER), None, 400, "BadDigest"),
            ("unsigned, trailer missing", trailed(kind=UNSIGNED_TRAILER), lambda f, e: b"".join(f) + b"\r\n", 400),
            ("unsigned, other trailer than announced", trailed(kind=UNSIGNED_TRAILER), lambda f, e: b"".join(f) + b"x-amz-checksum-sha1:" + ALGORITHMS["SHA1"](data).encode() + b"\r\n\r\n", 400),
            ("unsigned, declared longer than sent", trailed(kind=UNSIGNED_TRAILER, length=len(data) + 1), None, 400),
            ("unsigned, declared shorter than sent", trailed(kind=UNSIGNED_TRAILER, length=len(data) - 1), None, 400),
            ("unsigned, final chunk missing", trailed(kind=UNSIGNED_TRAILER), lambda f, e: b"".join(f[:-1]), 400)):
        with suite.check(f"chunked broken: {title} -> {'/'.join(map(str, [want[0] if isinstance(want[0], int) else '4xx', *want[1:]]))}, old object intact"):
            upload.put(at, change).refused(*want)
            same(request("GET", at).ok().body, OLD)
    with suite.check("chunked broken: x-amz-decoded-content-length missing -> 400 or 411"):
        signed().put(at, drop=("x-amz-decoded-content-length",)).refused((400, 411))
        same(request("GET", at).ok().body, OLD)
    for kind, title in ((None, "plain"), (STREAM, "chunked")):
        with suite.check(f"connection ends before the declared {title} body does: no success, old object intact"):
            answer = None
            with contextlib.suppress(http.client.HTTPException, ConnectionError):
                if kind:
                    upload = signed(headers={"Content-Length": "300000"})
                    answer = upload.put(at, lambda f, e: b"".join(f[:2]), half_close=True)
                else:
                    answer = request("PUT", at, data, {"Content-Length": "300000"}, half_close=True)
            assert answer is None or 400 <= answer.status < 500, f"answered {answer!r}"
            same(request("GET", at).ok().body, OLD)


def main(suite):
    bucket = common.bucket_name("raw-chunked")
    with suite.check("chunked: bucket and old object"):
        request("PUT", f"/{bucket}").ok()
        request("PUT", f"/{bucket}/kept", OLD).ok()
    good(suite, bucket)
    broken(suite, bucket)
    with suite.check("chunked: everything removed"):
        for key in ("good", "kept", "part"):
            request("DELETE", f"/{bucket}/{key}").ok(204)
        request("DELETE", f"/{bucket}").ok(204)
