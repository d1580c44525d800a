//! `Range: bytes=...` against the size of an object.

use std::ops::Range;

/// What a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything: no range, several ranges, or one that is malformed (RFC 9110: ignored).
    Whole,
    /// These bytes, never none.
    Part(Range<u64>),
    /// Nothing that exists: 416.
    Unsatisfiable,
}

/// What `header` asks of an object of `size_bytes`.
pub(super) fn wanted(header: &str, size_bytes: u64) -> Wanted {
    let Some((first, last)) = header.trim().strip_prefix("bytes=").and_then(|spec| spec.trim().split_once('-')) else {
        return Wanted::Whole;
    };
    match (number(first), number(last)) {
        (Number::Absent, Number::Is(suffix)) => match suffix.min(size_bytes) {
            0 => Wanted::Unsatisfiable,
            length => Wanted::Part(size_bytes - length..size_bytes),
        },
        (Number::Is(first), Number::Is(last)) if first > last => Wanted::Whole,
        (Number::Is(first), Number::Absent | Number::Is(_)) if first >= size_bytes => Wanted::Unsatisfiable,
        (Number::Is(first), Number::Absent) => Wanted::Part(first..size_bytes),
        (Number::Is(first), Number::Is(last)) => Wanted::Part(first..last.saturating_add(1).min(size_bytes)),
        _ => Wanted::Whole,
    }
}

/// `bytes=first-last` of `x-amz-copy-source-range`: both ends, inside the object. None when it is anything else.
pub(super) fn copy_range(header: &str, size_bytes: u64) -> Option<Range<u64>> {
    let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
    match (number(first), number(last)) {
        (Number::Is(first), Number::Is(last)) if first <= last && last < size_bytes => Some(first..last + 1),
        _ => None,
    }
}

enum Number {
    Absent,
    Is(u64),
    Malformed,
}

fn number(text: &str) -> Number {
    let text = text.trim();
    if text.is_empty() {
        Number::Absent
    } else if text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than u64 holds still mean "beyond the end".
        Number::Is(text.parse().unwrap_or(u64::MAX))
    } else {
        Number::Malformed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_rfc_9110() {
        let part = |range| Wanted::Part(range);
        for (header, size, expected) in [
            ("bytes=0-0", 10, part(0..1)),
            ("bytes=0-", 10, part(0..10)),
            ("bytes=3-5", 10, part(3..6)),
            ("bytes=3-99999999999999999999999", 10, part(3..10)),
            ("bytes=-3", 10, part(7..10)),
            ("bytes=-99", 10, part(0..10)),
            ("bytes=-0", 10, Wanted::Unsatisfiable),
            ("bytes=10-", 10, Wanted::Unsatisfiable),
            ("bytes=10-12", 10, Wanted::Unsatisfiable),
            ("bytes=0-0", 0, Wanted::Unsatisfiable),
            ("bytes=-1", 0, Wanted::Unsatisfiable),
            ("bytes=5-3", 10, Wanted::Whole),
            ("bytes=0-1,3-4", 10, Wanted::Whole),
            ("bytes=a-b", 10, Wanted::Whole),
            ("bytes=-", 10, Wanted::Whole),
            ("lines=0-1", 10, Wanted::Whole),
            ("", 10, Wanted::Whole),
        ] {
            assert_eq!(wanted(header, size), expected, "{header} of {size}");
        }
    }

    #[test]
    fn copy_ranges_are_strict() {
        assert_eq!(copy_range("bytes=0-9", 10), Some(0..10));
        for bad in ["bytes=0-10", "bytes=0-", "bytes=-1", "bytes=5-3", "0-1", "bytes=0-1,2-3"] {
            assert_eq!(copy_range(bad, 10), None, "{bad}");
        }
    }
}
