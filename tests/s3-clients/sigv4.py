"""A SigV4 signer and plain HTTP on top of `http.client`, independent of the AWS SDKs.

It exists to send what no SDK sends over plain HTTP: signed aws-chunked bodies, trailers, broken signatures, wrong lengths.
"""

import contextlib
import datetime
import hashlib
import hmac
import http.client
import re
from urllib.parse import quote, urlsplit

import common

EMPTY = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAM = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAM_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def _mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Signer:
    """Signs one request and, after that, its chunks."""

    def __init__(self, access=None, secret=None, region=None, when=None):
        self.access, self.secret = access or common.ACCESS_KEY, secret or common.SECRET_KEY
        when = when or now()
        self.date = when.strftime("%Y%m%dT%H%M%SZ")
        self.scope = f"{self.date[:8]}/{region or common.REGION}/s3/aws4_request"
        key = ("AWS4" + self.secret).encode()
        for part in self.scope.split("/"):
            key = _mac(key, part)
        self.key, self.previous = key, None

    def _signature(self, method, target, headers, payload_hash):
        path, _, query = target.partition("?")
        pairs = sorted(tuple((p + "=").split("=")[:2]) for p in query.split("&")) if query else []
        names = sorted(h.lower() for h in headers)
        lower = {k.lower(): " ".join(str(v).split()) for k, v in headers.items()}
        canonical = "\n".join([method, path, "&".join(f"{k}={v}" for k, v in pairs), *(f"{n}:{lower[n]}" for n in names), "",
                               ";".join(names), payload_hash])
        text = "\n".join(["AWS4-HMAC-SHA256", self.date, self.scope, hashlib.sha256(canonical.encode()).hexdigest()])
        return _mac(self.key, text).hex(), ";".join(names)

    def headers(self, method, target, headers, payload_hash):
        """`headers` (with Host) plus date, payload hash and Authorization. `target` is the encoded path and query."""
        headers = {**headers, "x-amz-date": self.date, "x-amz-content-sha256": payload_hash}
        self.previous, names = self._signature(method, target, headers, payload_hash)
        headers["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access}/{self.scope}, SignedHeaders={names}, "
                                    f"Signature={self.previous}")
        return headers

    def presign(self, method, target, host, expires):
        """The target with the signature in its query."""
        query = {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{self.access}/{self.scope}",
                 "X-Amz-Date": self.date, "X-Amz-Expires": str(expires), "X-Amz-SignedHeaders": "host"}
        target += ("&" if "?" in target else "?") + "&".join(f"{k}={quote(v, safe='')}" for k, v in query.items())
        return target + "&X-Amz-Signature=" + self._signature(method, target, {"host": host}, UNSIGNED)[0]

    def chunk(self, data):
        """One signed chunk; the empty one ends the body."""
        text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", self.date, self.scope, self.previous, EMPTY, hashlib.sha256(data).hexdigest()])
        self.previous = _mac(self.key, text).hex()
        return b"%x;chunk-signature=%s\r\n%s" % (len(data), self.previous.encode(), data + b"\r\n" if data else b"")

    def trailer(self, line):
        """The signed trailer after the last chunk; `line` is `name:value`."""
        text = "\n".join(["AWS4-HMAC-SHA256-TRAILER", self.date, self.scope, self.previous,
                          hashlib.sha256(line.encode() + b"\n").hexdigest()])
        self.previous = _mac(self.key, text).hex()
        return f"{line}\r\nx-amz-trailer-signature:{self.previous}\r\n".encode()


def pieces(data, size=64 * 1024):
    return [data[i : i + size] for i in range(0, len(data), size)]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def code(self):
        found = re.search(rb"<Code>([^<]*)</Code>", self.body)
        return found[1].decode() if found else None

    def __repr__(self):
        return f"HTTP {self.status} {self.body[:200]!r}"

    def refused(self, status, *codes):
        """Checks for a well-formed S3 error: status (one or several), XML, and one of the codes if any are named."""
        common.one_of(self.status, {status} if isinstance(status, int) else set(status), f"status of {self!r}")
        assert b"<Error>" in self.body and self.code, f"no S3 error document: {self!r}"
        assert "xml" in self.headers.get("Content-Type", ""), f"error is not sent as XML: {self.headers.get('Content-Type')}"
        if codes:
            common.one_of(self.code, set(codes), "error code")
        return self

    def ok(self, status=200):
        common.eq(self.status, status, f"status of {self!r}")
        return self


def send(method, target, headers=None, body=b"", host=None, half_close=False):
    """Sends exactly these headers and bytes; Content-Length is added only where it is missing and there is a body."""
    at = urlsplit(common.ENDPOINT)
    connection = http.client.HTTPConnection(at.hostname, at.port or 80, timeout=60)
    headers = dict(headers or {})
    lower = {h.lower() for h in headers}
    if "content-length" not in lower and "transfer-encoding" not in lower and (body or method in ("PUT", "POST")):
        headers["Content-Length"] = str(len(body))
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        if "host" not in lower:
            connection.putheader("Host", host or at.netloc)
        for name, value in headers.items():
            connection.putheader(name, value)
        # A server may answer and close before it has read everything; its answer counts.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.endheaders()
            for piece in pieces(body):
                connection.send(piece)
        if half_close:
            connection.sock.shutdown(1)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def fetch(method, url, body=None, headers=None):
    """What curl would do with a presigned URL, told how often to try."""
    for left in reversed(range(common.ATTEMPTS)):
        try:
            answer = fetch_once(method, url, body, headers)
        except (OSError, http.client.HTTPException):
            if not left:
                raise
        else:
            if answer.status < 500 or not left:
                return answer


def fetch_once(method, url, body, headers):
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
    try:
        connection.request(method, at.path + (f"?{at.query}" if at.query else ""), body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def path_of(bucket, key):
    """The encoded request path of an object."""
    return f"/{bucket}/{quote(key, safe='/~')}"


def request(method, target, body=b"", headers=None, payload_hash=None, signer=None, **send_options):
    """A signed request whose body is sent as it is."""
    at = urlsplit(common.ENDPOINT)
    headers = {"Host": send_options.pop("host", None) or at.netloc, **(headers or {})}
    digest = payload_hash or hashlib.sha256(body).hexdigest()
    signed = (signer or Signer()).headers(method, at.path + target, headers, digest)
    return send(method, at.path + target, signed, body, **send_options)
