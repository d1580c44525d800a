"""Operations the server does not have, broken XML, broken requests: clean S3 errors, and nothing changes."""

import http.client
import re
import socket
import xml.etree.ElementTree as etree
from urllib.parse import quote, unquote_plus

import common
from common import eq, same
from sigv4 import EMPTY, Signer, path_of, request, send

BUCKET_SUBRESOURCES = ["accelerate", "acl", "analytics", "cors", "encryption", "intelligent-tiering", "inventory", "lifecycle", "logging", "metrics",
                       "notification", "object-lock", "ownershipControls", "policy", "policyStatus", "publicAccessBlock", "replication",
                       "requestPayment", "tagging", "website"]
OBJECT_SUBRESOURCES = ["acl", "legal-hold", "retention", "torrent"]
TAGS = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
ACL = (b'<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>x</ID></Owner><AccessControlList><Grant><Grantee '
       b'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee>'
       b"<Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>")
VERSIONING = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
POLICY = b'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}]}'
BODY = b"the object"


def unsupported(suite, bucket, intact):
    check, at = suite.check, f"/{bucket}/kept"
    for name in BUCKET_SUBRESOURCES:
        with check(f"unsupported GET bucket?{name} -> NotImplemented"):
            request("GET", f"/{bucket}?{name}").refused(501, "NotImplemented")
    for name in OBJECT_SUBRESOURCES:
        with check(f"unsupported GET object?{name} -> NotImplemented"):
            request("GET", f"{at}?{name}").refused(501, "NotImplemented")
    with check("GET object?tagging -> no tags, or NotImplemented"):
        answer = request("GET", f"{at}?tagging")
        if answer.status != 501:
            assert b"<TagSet" in answer.ok().body and b"<Tag>" not in answer.body, f"{answer!r}"
    for method, target, body in (
            ("PUT", f"/{bucket}?acl", ACL), ("PUT", f"/{bucket}?policy", POLICY), ("PUT", f"/{bucket}?tagging", TAGS), ("PUT", f"/{bucket}?versioning", VERSIONING),
            ("DELETE", f"/{bucket}?policy", b""), ("DELETE", f"/{bucket}?tagging", b""), ("DELETE", f"/{bucket}?lifecycle", b""),
            ("DELETE", f"/{bucket}?cors", b""), ("DELETE", f"/{bucket}?encryption", b""), ("DELETE", f"/{bucket}?website", b""),
            ("PUT", f"{at}?acl", ACL), ("PUT", f"{at}?tagging", TAGS), ("DELETE", f"{at}?tagging", b""),
            ("PUT", f"{at}?retention", b"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2031-01-01T00:00:00Z</RetainUntilDate></Retention>"),
            ("PUT", f"{at}?legal-hold", b"<LegalHold><Status>ON</Status></LegalHold>"), ("POST", f"{at}?restore", b"<RestoreRequest><Days>1</Days></RestoreRequest>")):
        with check(f"unsupported {method} {'object' if target.startswith(at) else 'bucket'}?{target.split('?')[1]} -> NotImplemented, nothing changed"):
            request(method, target, body).refused(501, "NotImplemented")
            intact()
    for title, headers in (
            ("encryption with the customer's key", {"x-amz-server-side-encryption-customer-algorithm": "AES256",
             "x-amz-server-side-encryption-customer-key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "x-amz-server-side-encryption-customer-key-MD5": "dcDhfqd/gzvUQ9JDMRO8dA=="}),
            ("encryption with KMS", {"x-amz-server-side-encryption": "aws:kms"}), ("tags", {"x-amz-tagging": "a=b"}),
            ("object lock", {"x-amz-object-lock-mode": "COMPLIANCE", "x-amz-object-lock-retain-until-date": "2031-01-01T00:00:00Z"}),
            ("a public ACL", {"x-amz-acl": "public-read"})):
        with check(f"unsupported PUT with {title} is refused, not ignored"):
            request("PUT", at, b"changed", headers).refused((400, 403, 501))
            intact()
    for method in ("PATCH", "TRACE", "PROPFIND"):
        with check(f"unsupported method {method} -> 405 or 501"):
            answer = request(method, at)
            assert answer.status in (400, 403, 405, 501), f"{answer!r}"
            intact()
    with check("POST of an object without a query -> 4xx or 501"):
        answer = request("POST", at, b"x")
        assert 400 <= answer.status < 500 or answer.status == 501, f"{answer!r}"
        intact()


def malformed(suite, bucket, intact):
    check, at = suite.check, f"/{bucket}/kept"
    id = request("POST", f"/{bucket}/upload?uploads").ok().body.split(b"<UploadId>")[1].split(b"<")[0].decode()
    laughs = b'<!DOCTYPE d [<!ENTITY a "ha">' + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9)) + b"]>"
    for title, body in (
            ("no XML", b"this is no XML"), ("empty", b""), ("cut off", b"<Delete><Object><Key>kept</Key>"), ("other root", b"<Wrong></Wrong>"),
            ("no keys", b"<Delete></Delete>"), ("bytes that are no UTF-8", b"<Delete><Object><Key>\xff\xfe</Key></Object></Delete>"),
            ("two roots", b"<Delete><Object><Key>a</Key></Object></Delete><Delete></Delete>"),
            ("exploding entities", laughs + b"<Delete><Object><Key>&j;</Key></Object></Delete>"),
            ("external entity", b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&x;</Key></Object></Delete>'),
            ("deeply nested", b"<Delete>" + b"<Object>" * 20_000)):
        with check(f"malformed DeleteObjects, {title} -> MalformedXML"):
            request("POST", f"/{bucket}?delete", body).refused(400, "MalformedXML", *([] if body else ["MissingRequestBodyError"]))
            intact()
    for title, body in (("no XML", b"{}"), ("empty", b""), ("other root", b"<Wrong/>"), ("no part number", b"<CompleteMultipartUpload><Part><ETag>x</ETag></Part></CompleteMultipartUpload>"),
                        ("part number no number", b"<CompleteMultipartUpload><Part><ETag>x</ETag><PartNumber>one</PartNumber></Part></CompleteMultipartUpload>")):
        with check(f"malformed CompleteMultipartUpload, {title} -> MalformedXML"):
            request("POST", f"/{bucket}/upload?uploadId={id}", body).refused(400, "MalformedXML", *([] if body else ["MissingRequestBodyError"]))
    with check("malformed uploads left the upload as it was"):
        request("GET", f"/{bucket}/upload?uploadId={id}").ok()
        request("DELETE", f"/{bucket}/upload?uploadId={id}").ok(204)
    with check("malformed CreateBucket -> MalformedXML, no bucket"):
        name = common.bucket_name("malformed")
        request("PUT", f"/{name}", b"this is no XML").refused(400, "MalformedXML")
        eq(request("HEAD", f"/{name}").status, 404)
    for title, target in (("percent-encoding", f"/{bucket}/a%zz"), ("UTF-8", f"/{bucket}/a%ff%fe"), ("NUL in a key", f"/{bucket}/a%00b")):
        with check(f"malformed {title} in the path -> 400"):
            for method in ("GET", "PUT"):
                answer = request(method, target, b"x" if method == "PUT" else b"")
                assert answer.status in (400, 403), f"{method}: {answer!r}"
    for query in ("max-keys=many", "list-type=2&max-keys=99999999999999999999", "list-type=2&continuation-token=x&max-keys=-5", "list-type=2&encoding-type=base64"):
        with check(f"malformed listing parameter {query[:40]} -> 400"):
            request("GET", f"/{bucket}?{query}").refused(400)
    for value in ("", "/", "nobucket", f"/{bucket}", f"/{bucket}/", f"/{bucket}/kept?versionId=", "%zz/x"):
        with check(f"malformed x-amz-copy-source {value.replace(bucket, 'bucket')!r} -> 4xx"):
            answer = request("PUT", f"/{bucket}/copied", headers={"x-amz-copy-source": value})
            assert 400 <= answer.status < 500 or (value.endswith("versionId=") and answer.status == 200), f"{answer!r}"
    with check("malformed part number and upload id -> 4xx"):
        for query in (f"partNumber=one&uploadId={id}", "partNumber=1&uploadId=", f"partNumber=-1&uploadId={id}", "partNumber=1"):
            answer = request("PUT", f"/{bucket}/upload?{query}", b"x")
            assert 400 <= answer.status < 500, f"{query}: {answer!r}"
    with check("PUT without Content-Length -> 411 or 400"):
        headers = Signer().headers("PUT", at, {"Host": f"{common.HOST}:{common.PORT}"}, EMPTY)
        answer = send("PUT", at, {**headers, "Transfer-Encoding": "chunked"}, b"0\r\n\r\n")
        assert answer.status in (200, 400, 411, 501), f"{answer!r}"


def references(suite, bucket):
    """Some clients write every character beyond ASCII as a number; line ends have no other way through XML."""
    with suite.check("XML: DeleteObjects reads numeric character references"):
        names = {"ref/é": "ref/&#233;", "ref/🙂": "ref/&#128578;", "ref/🙃": "ref/&#x1F643;", "ref/\r\n\t": "ref/&#13;&#xA;&#9;", "ref/<&>\"'": "ref/&lt;&amp;&gt;&quot;&apos;"}
        for name in names:
            request("PUT", path_of(bucket, name), b"x").ok()
        body = "<Delete>" + "".join(f"<Object><Key>{text}</Key></Object>" for text in names.values()) + "</Delete>"
        request("POST", f"/{bucket}?delete", body.encode()).ok()
        for name in names:
            eq(request("HEAD", path_of(bucket, name)).status, 404, f"status of {name!r}")
    with suite.check("XML: a listing escapes line ends so that they survive"):
        request("PUT", path_of(bucket, "end\r\n"), b"x").ok()
        found = [e.text for e in etree.fromstring(request("GET", f"/{bucket}?list-type=2&prefix=end").ok().body).iter() if e.tag.split("}")[-1] == "Key"]
        eq(found, ["end\r\n"])
        request("DELETE", path_of(bucket, "end\r\n")).ok(204)


def shape(suite, bucket):
    check, odd = suite.check, "<a>&\"' é🙂\n"
    with check("errors: XML names code, message, request id; escapes the key"):
        answer = request("GET", f"/{bucket}/{quote(odd)}").refused(404, "NoSuchKey")
        root = etree.fromstring(answer.body)
        eq(root.tag, "Error")
        assert root.findtext("Message") and root.findtext("Code") == "NoSuchKey", answer.body
        assert answer.headers.get("x-amz-request-id") or root.findtext("RequestId"), "no request id"
    with check("errors: HEAD has no body"):
        answer = request("HEAD", f"/{bucket}/missing")
        eq((answer.status, answer.body), (404, b""))
    with check("errors: nothing of the inside shows"):
        for target in (f"/{bucket}/missing", f"/{bucket}?acl", "/" + common.bucket_name("missing"), f"/{bucket}?uploadId=x"):
            body = request("GET", target).body
            assert not re.search(rb"(?i)panick|backtrace|\.rs:\d|/src/|sqlite|[A-Z][a-z]+[A-Z][a-z]+\((?:&quot;|\")", body), body[:300]
    for title, signer, data in (("a refused PUT", Signer(secret="x" * 40), BODY), ("a PUT of nothing", Signer(), b"")):
        with check(f"connection: {title} with Expect: 100-continue gets its 100 or `Connection: close`"):
            # A client that saw no 100 sends no body; on a connection that stays open the server would take the next request for it,
            # and the aws command line misreads the next answer.
            target, host = f"/{bucket}/expected", f"{common.HOST}:{common.PORT}"
            headers = signer.headers("PUT", target, {"Host": host}, common.sha256(data))
            lines = [f"PUT {target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), f"Content-Length: {len(data)}", "Expect: 100-continue", "", ""]
            with socket.create_connection((common.HOST, common.PORT), 20) as s:
                s.sendall("\r\n".join(lines).encode())
                answer = b""
                while b"\r\n\r\n" not in answer and (piece := s.recv(4096)):
                    answer += piece
            assert answer.startswith(b"HTTP/1.1 100") or b"\r\nconnection: close\r\n" in answer.lower(), answer[:400]
    with check("connection: a refused PUT does not disturb the next request on it"):
        connection = http.client.HTTPConnection(common.HOST, common.PORT, timeout=60)
        at, host = f"/{bucket}/kept", {"Host": f"{common.HOST}:{common.PORT}"}
        try:
            data = b"GET / HTTP/1.1\r\n\r\n" * 30_000
            connection.request("PUT", at, data, Signer(secret="x" * 40).headers("PUT", at, host, common.sha256(data)))
            first = connection.getresponse()
            first.read()
            eq(first.status, 403)
            connection.request("GET", at, headers=Signer().headers("GET", at, host, EMPTY))
            second = connection.getresponse()
            same(second.read(), BODY)
        except (ConnectionError, http.client.RemoteDisconnected):
            same(request("GET", at).ok().body, BODY)  # closing the connection is fine too
        finally:
            connection.close()


def main(suite):
    bucket = common.bucket_name("raw-operations")
    with suite.check("operations: bucket and object"):
        request("PUT", f"/{bucket}").ok()
        request("PUT", f"/{bucket}/kept", BODY).ok()

    def intact():
        same(request("GET", f"/{bucket}/kept").ok().body, BODY)
        assert b"<Status>" not in request("GET", f"/{bucket}?versioning").ok().body, "versioning is on now"

    unsupported(suite, bucket, intact)
    malformed(suite, bucket, intact)
    references(suite, bucket)
    shape(suite, bucket)
    with suite.check("operations: everything removed"):
        listed = request("GET", f"/{bucket}?encoding-type=url&list-type=2").ok().body
        for key in re.findall(rb"<Key>([^<]*)</Key>", listed):
            request("DELETE", path_of(bucket, unquote_plus(key.decode()))).ok(204)
        request("DELETE", f"/{bucket}").ok(204)
