//! Scans over the keys of a bucket.

use super::*;
use crate::port::ScanStart;

async fn bucket_with(meta: &Fixture, keys: &[&str]) -> BucketId {
    let bucket = make_bucket(meta, "first").await;
    let other = make_bucket(meta, "other").await;
    for at in keys {
        put_inline(meta, bucket, at).await;
        put_inline(meta, other, &format!("{at} elsewhere")).await;
    }
    bucket
}

async fn scan(meta: &Fixture, bucket: BucketId, prefix: &str, start: ScanStart) -> Vec<String> {
    let found = meta.scan_objects(bucket, prefix, start, 1000).await.unwrap();
    found.into_iter().map(|head| head.key.as_str().to_owned()).collect()
}

/// Not by locale, not by UTF-16.
pub async fn a_scan_is_in_byte_order(meta: Fixture) {
    let mut keys = ["b", "a", "B", "ä", "z", "a/b", "a-b", "\u{ffff}", "\u{10000}", "é", "e\u{301}", "a\u{7f}", " ", "~"];
    let bucket = bucket_with(&meta, &keys).await;
    keys.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    assert_eq!(scan(&meta, bucket, "", ScanStart::First).await, keys);
    assert_eq!(scan(&meta, BucketId([9; 16]), "", ScanStart::First).await, [""; 0]);
}

/// After or at a text, which need not be a key, may lie before or behind the prefix and may hold anything.
pub async fn a_scan_starts_where_told(meta: Fixture) {
    let bucket = bucket_with(&meta, &["a", "b", "b0", "b1", "c"]).await;
    let after = |text: &str| ScanStart::After(text.into());
    let from = |text: &str| ScanStart::From(text.into());
    let cases: [(&str, ScanStart, &[&str]); 14] = [
        ("", after("b"), &["b0", "b1", "c"]),
        ("", from("b"), &["b", "b0", "b1", "c"]),
        ("", after("b\0"), &["b0", "b1", "c"]),
        ("", from("b\0"), &["b0", "b1", "c"]),
        ("", after(""), &["a", "b", "b0", "b1", "c"]),
        ("", from(""), &["a", "b", "b0", "b1", "c"]),
        ("", after("c"), &[]),
        ("", from("c\u{10ffff}"), &[]),
        ("b", after("a"), &["b", "b0", "b1"]),
        ("b", from("b"), &["b", "b0", "b1"]),
        ("b", after("b"), &["b0", "b1"]),
        ("b", from("b01"), &["b1"]),
        ("b", after("b\u{10ffff}"), &[]),
        ("b", from("c"), &[]),
    ];
    for (prefix, start, expected) in cases {
        assert_eq!(scan(&meta, bucket, prefix, start.clone()).await, expected, "{prefix:?} {start:?}");
    }
}

/// The prefix itself is a key like any other.
pub async fn a_scan_keeps_to_its_prefix(meta: Fixture) {
    let bucket = bucket_with(&meta, &["a", "a/", "a/b", "a/b/c", "a0", "b", "ü", "üb"]).await;
    assert_eq!(scan(&meta, bucket, "a/", ScanStart::First).await, ["a/", "a/b", "a/b/c"]);
    assert_eq!(scan(&meta, bucket, "a/b", ScanStart::First).await, ["a/b", "a/b/c"]);
    assert_eq!(scan(&meta, bucket, "ü", ScanStart::First).await, ["ü", "üb"]);
    assert_eq!(scan(&meta, bucket, "A", ScanStart::First).await, [""; 0]);
    assert_eq!(scan(&meta, bucket, &"a".repeat(5000), ScanStart::First).await, [""; 0]);
}

/// `%`, `_`, `*`, `?`, `[` and quotes mean themselves.
pub async fn wildcards_are_plain_text(meta: Fixture) {
    let keys = ["%", "%a", "*a", "?a", "[a]", "_a", "a%b", "a'b", "aXb", "a\"b", "a\\b", "a_b"];
    let bucket = bucket_with(&meta, &keys).await;
    for prefix in ["%", "_", "*", "?", "[", "a%", "a_", "a'", "a\"", "a\\"] {
        let mut expected: Vec<_> = keys.into_iter().filter(|k| k.starts_with(prefix)).collect();
        expected.sort();
        assert_eq!(scan(&meta, bucket, prefix, ScanStart::First).await, expected, "{prefix}");
    }
}

/// Where the next character is of another length, or there is none.
pub async fn prefixes_at_the_edge_of_their_characters(meta: Fixture) {
    let edges = ["\u{7f}", "\u{80}", "\u{7ff}", "\u{800}", "\u{d7ff}", "\u{e000}", "\u{ffff}", "\u{10000}", "\u{10ffff}"];
    let mut keys = Vec::new();
    for edge in edges {
        keys.extend([format!("a{edge}"), format!("a{edge}b"), format!("a{edge}\u{10ffff}"), edge.to_owned(), edge.repeat(3)]);
    }
    keys.sort();
    let bucket = bucket_with(&meta, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for edge in edges {
        for prefix in [edge.to_owned(), format!("a{edge}"), edge.repeat(2)] {
            let expected: Vec<_> = keys.iter().filter(|k| k.starts_with(&prefix)).cloned().collect();
            assert_eq!(scan(&meta, bucket, &prefix, ScanStart::First).await, expected, "{prefix:?}");
            let after: Vec<_> = expected.into_iter().filter(|k| *k != prefix).collect();
            assert_eq!(scan(&meta, bucket, &prefix, ScanStart::After(prefix.clone())).await, after, "after {prefix:?}");
        }
    }
}

/// From none to more than there are.
pub async fn a_scan_is_limited(meta: Fixture) {
    let bucket = bucket_with(&meta, &["a", "b", "c"]).await;
    for limit in [0, 1, 2, 3, 4, usize::MAX] {
        assert_eq!(meta.scan_objects(bucket, "", ScanStart::First, limit).await.unwrap().len(), limit.min(3));
    }
}

/// All that a list shows, for chunked and inline objects.
pub async fn a_scan_shows_whole_heads(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let one = put(&meta, bucket, "a", &[record(1, 0), record(2, 0)]).await.head;
    let two = put_inline(&meta, bucket, "b").await.head;
    assert_eq!(meta.scan_objects(bucket, "", ScanStart::First, 10).await.unwrap(), [one, two]);
}

/// Page by page gives the same as at once.
pub async fn a_scan_pages_through_everything(meta: Fixture) {
    let keys: Vec<_> = (0..57).map(|i| format!("k/{i:02}")).collect();
    let bucket = bucket_with(&meta, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (mut start, mut all) = (ScanStart::First, Vec::new());
    loop {
        let page = meta.scan_objects(bucket, "k/", start, 10).await.unwrap();
        let Some(last) = page.last() else { break };
        start = ScanStart::After(last.key.as_str().to_owned());
        all.extend(page.into_iter().map(|head| head.key.as_str().to_owned()));
    }
    assert_eq!(all, keys);
}
