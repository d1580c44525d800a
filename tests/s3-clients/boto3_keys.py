"""Odd keys, which must come back exactly as they were sent."""

from boto3_base import S3, clear, holds, keys, make_bucket, put, refused
from common import eq

KEYS = {
    "spaces": " begin and  two and end ", "plus": "a+b+", "percent": "100%", "percent-encoded": "a%48b%2Fc%00", "double slash": "a//b///c",
    "leading slash": "/leading", "two leading slashes": "//leading", "only slash": "/", "trailing slash": "trailing/", "question mark": "a?b=c?acl",
    "hash": "a#b", "ampersand": "a&b&amp;c", "quotes": "a\"b'c`d", "angle brackets": "<a>b</a>", "semicolon, colon, at, equals, comma": "a;b:c@d=e,f",
    "emoji": "🙂/👩‍👩‍👧", "composed and decomposed": "é/e\u0301", "chinese, arabic": "目录/ملف", "brackets and pipes": "{a}[b]|c^d\\e~f!g*h(i)$",
    "control characters": "tab\tnewline\nreturn\rone\x01del\x7f", "dots in names": "...", "hidden": ".hidden/..twodots/name..", "xml": "]]><!--",
    "non-character and private use": "\ue000\ufdd0", "1024 bytes": "k" * 1024, "1024 bytes of emoji": "🙂" * 256, "1024 bytes of slashes": "/" * 1024,
    "one character": "x", "looks like a query": "list-type=2", "reserved word": "health",
}
REFUSED = {"..": "..", ".": ".", "../x": "../x", "x/..": "x/..", "a/../b": "a/../b", "a/./b": "a/./b", "./a": "./a", "a//../b": "a//../b"}


def main(suite):
    check, bucket = suite.check, make_bucket("keys")
    stored = []
    for title, key in KEYS.items():
        with check(f"key with {title}: put, get, head, list, copy, delete"):
            body = key.encode()[:99]
            put(bucket, key, body)
            stored.append(key)
            holds(bucket, key, body)
            eq(S3.head_object(Bucket=bucket, Key=key)["ContentLength"], len(body))
            listed = S3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)["Contents"][0]
            eq(listed["Key"], key, "key in the listing")
            S3.copy_object(Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": key})
            holds(bucket, "copied", body)
    S3.delete_object(Bucket=bucket, Key="copied")
    with check("keys: the listing has exactly these, v1 too"):
        eq(keys(bucket), sorted(stored, key=str.encode))
        eq([o["Key"] for o in S3.list_objects(Bucket=bucket)["Contents"]], sorted(stored, key=str.encode))
    with check("keys: listing page by page, resuming after each of them"):
        eq(keys(bucket, PaginationConfig={"PageSize": 1}), sorted(stored, key=str.encode))
    with check("keys: deleted one by one and by DeleteObjects"):
        for key in stored[::2]:
            S3.delete_object(Bucket=bucket, Key=key)
        eq(keys(bucket), sorted(stored[1::2], key=str.encode))
        # XML 1.0 has no way to write most control characters, so this body leaves such a key out.
        gone = [k for k in stored[1::2] if "\x01" not in k]
        answer = S3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in gone]})
        eq(sorted(d["Key"] for d in answer["Deleted"]), sorted(gone))
        eq(keys(bucket), sorted(set(stored[1::2]) - set(gone), key=str.encode))
    for title, key in (("1025 bytes", "k" * 1025), ("1025 bytes, the last character of two", "k" * 1023 + "é"), ("1028 bytes of emoji", "🙂" * 257)):
        with check(f"key of {title} -> KeyTooLongError"):
            refused(S3.put_object, 400, "KeyTooLongError", Bucket=bucket, Key=key, Body=b"x")
            refused(S3.create_multipart_upload, 400, "KeyTooLongError", Bucket=bucket, Key=key)
    for title, key in REFUSED.items():
        with check(f"key {title} is refused with 400"):
            refused(S3.put_object, 400, Bucket=bucket, Key=key, Body=b"x")
            refused(S3.create_multipart_upload, 400, Bucket=bucket, Key=key)
    with check("keys: nothing refused was stored"):
        for key in keys(bucket):
            S3.delete_object(Bucket=bucket, Key=key)
        eq(keys(bucket), [])
    clear(suite, bucket)
