"""ListObjects v1 and v2: prefixes, delimiters, pages, order, encoding, 1005 keys."""

import re
import xml.etree.ElementTree as etree
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote_plus

import common
import sigv4
from boto3_base import S3, clear, keys, make_bucket, put, refused
from common import eq

NAMES = ["a", "b/1", "b/2", "b/c/3", "b/c/4", "d", "e/1", "f/", "f/1", "g", "h--1", "h--2"]


def prefixes(page):
    return [p["Prefix"] for p in page.get("CommonPrefixes", [])]


def contents(page):
    return [o["Key"] for o in page.get("Contents", [])]


def pages(bucket, call, size, **arguments):
    """All pages, following the markers by hand; no page may be longer than `size` entries, prefixes counted."""
    found, more = [], {}
    while True:
        page = call(Bucket=bucket, MaxKeys=size, **arguments, **more)
        entries = len(contents(page)) + len(prefixes(page))
        assert 0 < entries <= size, f"{entries} entries in a page of {size}"
        if call == S3.list_objects_v2:
            eq(page["KeyCount"], entries, "KeyCount")
        found.append(page)
        assert len(found) < 2000, "the listing never ends"
        if not page["IsTruncated"]:
            return found
        eq(entries, size, "entries of a page that is not the last")
        if call == S3.list_objects_v2:
            more = {"ContinuationToken": page["NextContinuationToken"]}
        else:
            more = {"Marker": page["NextMarker"] if "Delimiter" in arguments else contents(page)[-1]}


def small(suite, bucket):
    check = suite.check
    with check("list: keys put"):
        for name in NAMES:
            put(bucket, name, name.encode())
    for version, call in (("v1", S3.list_objects), ("v2", S3.list_objects_v2)):
        for title, arguments, want, want_prefixes in (
                ("everything", {}, NAMES, []),
                ("prefix", {"Prefix": "b/"}, NAMES[1:5], []),
                ("prefix inside a name", {"Prefix": "h-"}, NAMES[10:], []),
                ("prefix without a match", {"Prefix": "zzz"}, [], []),
                ("delimiter", {"Delimiter": "/"}, ["a", "d", "g", "h--1", "h--2"], ["b/", "e/", "f/"]),
                ("prefix and delimiter", {"Prefix": "b/", "Delimiter": "/"}, ["b/1", "b/2"], ["b/c/"]),
                ("prefix that is a marker object", {"Prefix": "f/", "Delimiter": "/"}, ["f/", "f/1"], []),
                ("delimiter of two characters", {"Delimiter": "--"}, NAMES[:10], ["h--"])):
            with check(f"list {version} {title}"):
                page = call(Bucket=bucket, **arguments)
                eq((contents(page), prefixes(page), page["IsTruncated"]), (want, want_prefixes, False))
        for size in (1, 3):
            with check(f"list {version} in pages of {size}"):
                eq([k for p in pages(bucket, call, size) for k in contents(p)], NAMES)
            with check(f"list {version} in pages of {size} with delimiter, prefixes counted"):
                got = pages(bucket, call, size, Delimiter="/")
                eq([k for p in got for k in contents(p)], ["a", "d", "g", "h--1", "h--2"])
                eq([k for p in got for k in prefixes(p)], ["b/", "e/", "f/"])
        with check(f"list {version} with MaxKeys 0"):
            page = call(Bucket=bucket, MaxKeys=0)
            eq((contents(page), prefixes(page), page["IsTruncated"]), ([], [], False))
        with check(f"list {version} with negative MaxKeys -> InvalidArgument"):
            refused(call, 400, "InvalidArgument", Bucket=bucket, MaxKeys=-1)
        with check(f"list {version} describes each object"):
            item = next(o for o in call(Bucket=bucket)["Contents"] if o["Key"] == "b/c/3")
            head = S3.head_object(Bucket=bucket, Key="b/c/3")
            eq((item["Size"], item["ETag"], item["LastModified"].replace(microsecond=0), item["StorageClass"]),
               (5, head["ETag"], head["LastModified"], "STANDARD"))
    with check("list v2 StartAfter: a key, a missing key, inside a prefix, past the end"):
        for after, want in (("b/c/4", NAMES[5:]), ("b/b", NAMES[3:]), ("zz", [])):
            eq(contents(S3.list_objects_v2(Bucket=bucket, StartAfter=after)), want, f"after {after}")
        page = S3.list_objects_v2(Bucket=bucket, StartAfter="b/2", Delimiter="/")
        eq((contents(page), [p for p in prefixes(page) if p != "b/"]), (["d", "g", "h--1", "h--2"], ["e/", "f/"]))
    with check("list v1 Marker: a key and inside a prefix"):
        eq(contents(S3.list_objects(Bucket=bucket, Marker="b/c/4")), NAMES[5:])
        page = S3.list_objects(Bucket=bucket, Marker="b/", Delimiter="/")
        eq((contents(page), prefixes(page)), (["d", "g", "h--1", "h--2"], ["e/", "f/"]))
    with check("list v2 with a broken continuation token -> InvalidArgument"):
        refused(S3.list_objects_v2, 400, "InvalidArgument", Bucket=bucket, ContinuationToken="%%% not a token")
    with check("list v2 FetchOwner gives an owner, otherwise none"):
        assert S3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]["Owner"]["ID"]
        assert "Owner" not in S3.list_objects_v2(Bucket=bucket)["Contents"][0]


def encoded(suite, bucket):
    names = ["enc/+plus", "enc/a&b<c>\"'", "enc/per%48cent", "enc/sp ace", "enc/tab\tline\nreturn\r", "enc/é/x", "enc/🙂"]
    with suite.check("list: odd keys put"):
        for name in names:
            put(bucket, name, b"")
    text = lambda tag, body: [m.decode() for m in re.findall(b"<%s>([^<]*)</%s>" % (tag, tag), body)]
    for version, query in (("v1", ""), ("v2", "&list-type=2")):
        with suite.check(f"list {version} with encoding-type=url encodes keys and prefixes"):
            answer = sigv4.request("GET", f"/{bucket}?delimiter=%2F&encoding-type=url{query}&prefix=enc%2F").ok()
            eq(text(b"EncodingType", answer.body), ["url"])
            raw = text(b"Key", answer.body)
            eq(sorted(map(unquote_plus, raw)), sorted(names[:5] + names[6:]))
            assert all(k.isascii() and not set(k) & set(" &<>\"'\t\n") for k in raw), f"keys are not encoded: {raw}"
            assert "enc/é/" in map(unquote_plus, text(b"Prefix", answer.body)), text(b"Prefix", answer.body)
    with suite.check("list without encoding-type is well-formed XML with the exact keys"):
        answer = sigv4.request("GET", f"/{bucket}?list-type=2&prefix=enc%2F").ok()
        got = [e.text for e in etree.fromstring(answer.body).iter() if e.tag.endswith("}Key") or e.tag == "Key"]
        eq(sorted(got), sorted(names))


def order(suite):
    bucket = make_bucket("order")
    names = sorted(["a", "B", "a!", "a/", "a-b", "a/b", "A", "é", "z", "ﬀ", "🙂", "～", "a\u0301"], key=str.encode)
    with suite.check("list order is that of UTF-8 bytes"):
        for name in reversed(names):
            put(bucket, name, b"")
        eq(keys(bucket), names)
        eq([k for p in pages(bucket, S3.list_objects_v2, 2) for k in contents(p)], names)
    clear(suite, bucket)


def many(suite):
    bucket = make_bucket("many")
    names = [f"k{i:04}" for i in range(1005)]
    with suite.check("list: 1005 small objects put"), ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: put(bucket, name, name.encode()), names))
    for version, call in (("v1", S3.list_objects), ("v2", S3.list_objects_v2)):
        with suite.check(f"list {version} of 1005 keys: pages of 1000, also when more are asked for"):
            first = call(Bucket=bucket)
            eq((len(contents(first)), first["IsTruncated"]), (1000, True))
            eq(len(contents(call(Bucket=bucket, MaxKeys=5000))), 1000)
            found = [k for p in S3.get_paginator(call.__name__).paginate(Bucket=bucket) for k in contents(p)]
            eq(found, names)
    with suite.check("list: 1000 keys deleted with one request, 5 remain"):
        gone = S3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in names[:1000]]})
        eq((len(gone["Deleted"]), gone.get("Errors", [])), (1000, []))
        eq(keys(bucket), names[1000:])
    clear(suite, bucket)


def main(suite):
    bucket = make_bucket("list")
    small(suite, bucket)
    encoded(suite, bucket)
    clear(suite, bucket)
    order(suite)
    many(suite)
