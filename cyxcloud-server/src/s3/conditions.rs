//! Conditional headers: RFC 9110 section 13 for reads, preconditions of the commit for writes.

use std::time::UNIX_EPOCH;

use cyxcloud_sdk::core::Timestamp;
use cyxcloud_sdk::core::port::Precondition;
use http::HeaderMap;

/// `*` or a list of entity tags, as `If-Match` and `If-None-Match` have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tags {
    /// `*`
    Any,
    /// Entity tags without quotes.
    List(Vec<Tag>),
}

/// One entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    value: String,
    weak: bool,
}

impl Tags {
    /// The header of this name, however often it is there. What cannot be read matches nothing, but is not as if it were absent.
    fn of(headers: &HeaderMap, name: &str) -> Option<Self> {
        let mut all: Option<Self> = None;
        for value in headers.get_all(name) {
            let tags = Self::parse(&String::from_utf8_lossy(value.as_bytes()));
            all = Some(match (all, tags) {
                (None, tags) => tags,
                (Some(Self::List(mut all)), Self::List(tags)) => {
                    all.extend(tags);
                    Self::List(all)
                }
                _ => Self::Any,
            });
        }
        all
    }

    /// Reads a header; tags without quotes are taken as they are, because many S3 clients send them so.
    fn parse(header: &str) -> Self {
        let mut tags = Vec::new();
        let mut rest = header.trim();
        while !rest.is_empty() {
            let weak = rest.starts_with("W/");
            let text = if weak { &rest[2..] } else { rest };
            let (value, after) = match text.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => text.split_once(',').map_or((text, ""), |(value, after)| (value.trim_end(), after)),
            };
            if value == "*" && !weak && !text.starts_with('"') {
                return Self::Any;
            }
            tags.push(Tag { value: value.to_owned(), weak });
            rest = after.trim_start_matches([',', ' ', '\t']);
        }
        Self::List(tags)
    }

    fn contains(&self, etag: &str, weak_too: bool) -> bool {
        match self {
            Self::Any => true,
            Self::List(tags) => tags.iter().any(|t| t.value == etag && (weak_too || !t.weak)),
        }
    }
}

/// What a read may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on.
    Proceed,
    /// 304
    NotModified,
    /// 412
    Failed,
}

/// Conditions of a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadConditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    modified_since: Option<u64>,
    unmodified_since: Option<u64>,
}

impl ReadConditions {
    /// The conditions among `headers`, their names prefixed by `prefix` (`x-amz-copy-source-` for the source of a copy). Dates that
    /// cannot be read are ignored, as RFC 9110 demands.
    pub(super) fn from_headers(headers: &HeaderMap, prefix: &str) -> Self {
        let text = |name: &str| headers.get(format!("{prefix}{name}")).and_then(|v| v.to_str().ok());
        Self {
            if_match: Tags::of(headers, &format!("{prefix}if-match")),
            if_none_match: Tags::of(headers, &format!("{prefix}if-none-match")),
            modified_since: text("if-modified-since").and_then(http_date_seconds),
            unmodified_since: text("if-unmodified-since").and_then(http_date_seconds),
        }
    }

    /// Judges an object, in the order of RFC 9110 section 13.2.2: an entity tag condition silences the date condition beside it.
    pub(super) fn judge(&self, etag: &str, modified: Timestamp) -> Verdict {
        let modified = modified.0 / 1000;
        match (&self.if_match, self.unmodified_since) {
            (Some(tags), _) if !tags.contains(etag, false) => return Verdict::Failed,
            (None, Some(date)) if modified > date => return Verdict::Failed,
            _ => {}
        }
        match (&self.if_none_match, self.modified_since) {
            (Some(tags), _) if tags.contains(etag, true) => Verdict::NotModified,
            (None, Some(date)) if modified <= date => Verdict::NotModified,
            _ => Verdict::Proceed,
        }
    }
}

/// Seconds since the epoch of an HTTP date in any of its three forms.
pub(super) fn http_date_seconds(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(text.trim()).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// Whether `If-Range` lets a range through: it names this version, or is not there.
pub(super) fn if_range_holds(headers: &HeaderMap, etag: &str, modified: Timestamp) -> bool {
    match headers.get("if-range").map(|v| v.to_str().unwrap_or("")) {
        None => true,
        Some(text) => match http_date_seconds(text) {
            Some(date) => date == modified.0 / 1000,
            None => Tags::parse(text).contains(etag, false),
        },
    }
}

/// What a write demands of the object that is there; None when it demands opposite things.
pub(super) fn write_precondition(headers: &HeaderMap) -> Option<Precondition> {
    let tags = |name| Tags::of(headers, name);
    let values = |tags: Vec<Tag>, weak_too: bool| tags.into_iter().filter(|t| weak_too || !t.weak).map(|t| t.value).collect();
    match (tags("if-match"), tags("if-none-match")) {
        (None, None) => Some(Precondition::None),
        (Some(Tags::Any), None) => Some(Precondition::Present),
        (Some(Tags::List(list)), None) => Some(Precondition::EtagIs(values(list, false))),
        (None, Some(Tags::Any)) => Some(Precondition::Absent),
        (None, Some(Tags::List(list))) => Some(Precondition::EtagIsNot(values(list, true))),
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "abc";
    const MODIFIED: Timestamp = Timestamp(1_700_000_000_500); // Tue, 14 Nov 2023 22:13:20 GMT
    const SAME: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn precedence_is_that_of_rfc_9110() {
        for (pairs, verdict) in [
            (&[][..], Verdict::Proceed),
            (&[("if-match", "\"abc\"")], Verdict::Proceed),
            (&[("if-match", "abc")], Verdict::Proceed),
            (&[("if-match", "*")], Verdict::Proceed),
            (&[("if-match", "\"x\", \"abc\"")], Verdict::Proceed),
            (&[("if-match", "W/\"abc\"")], Verdict::Failed),
            (&[("if-match", "\"x\"")], Verdict::Failed),
            (&[("if-none-match", "\"x\", W/\"abc\"")], Verdict::NotModified),
            (&[("if-none-match", "*")], Verdict::NotModified),
            (&[("if-none-match", "\"x\"")], Verdict::Proceed),
            (&[("if-modified-since", SAME)], Verdict::NotModified),
            (&[("if-modified-since", BEFORE)], Verdict::Proceed),
            (&[("if-unmodified-since", SAME)], Verdict::Proceed),
            (&[("if-unmodified-since", BEFORE)], Verdict::Failed),
            (&[("if-modified-since", "yesterday")], Verdict::Proceed),
            // A tag condition silences the date beside it.
            (&[("if-match", "\"abc\""), ("if-unmodified-since", BEFORE)], Verdict::Proceed),
            (&[("if-none-match", "\"x\""), ("if-modified-since", SAME)], Verdict::Proceed),
            (&[("if-none-match", "\"abc\""), ("if-modified-since", BEFORE)], Verdict::NotModified),
            // 412 comes before 304.
            (&[("if-match", "\"x\""), ("if-none-match", "\"abc\"")], Verdict::Failed),
            (&[("if-unmodified-since", BEFORE), ("if-none-match", "\"abc\"")], Verdict::Failed),
        ] {
            assert_eq!(ReadConditions::from_headers(&headers(pairs), "").judge(ETAG, MODIFIED), verdict, "{pairs:?}");
        }
    }

    #[test]
    fn copy_sources_have_their_own_names() {
        let map = headers(&[("x-amz-copy-source-if-match", "\"x\""), ("if-none-match", "*")]);
        assert_eq!(ReadConditions::from_headers(&map, "x-amz-copy-source-").judge(ETAG, MODIFIED), Verdict::Failed);
    }

    #[test]
    fn writes_become_preconditions() {
        let of = |pairs| write_precondition(&headers(pairs));
        assert_eq!(of(&[]), Some(Precondition::None));
        assert_eq!(of(&[("if-none-match", "*")]), Some(Precondition::Absent));
        assert_eq!(of(&[("if-match", "*")]), Some(Precondition::Present));
        assert_eq!(of(&[("if-match", "\"a\",W/\"b\",c")]), Some(Precondition::EtagIs(vec!["a".into(), "c".into()])));
        assert_eq!(of(&[("if-none-match", "W/\"b\"")]), Some(Precondition::EtagIsNot(vec!["b".into()])));
        assert_eq!(of(&[("if-match", "*"), ("if-none-match", "*")]), None);
        assert_eq!(of(&[("if-match", "\"*\"")]), Some(Precondition::EtagIs(vec!["*".into()])));
        assert_eq!(of(&[("if-match", "é")]), Some(Precondition::EtagIs(vec!["é".into()])));
        let mut twice = headers(&[("if-none-match", "\"x\"")]);
        twice.append("if-none-match", "*".parse().unwrap());
        assert_eq!(write_precondition(&twice), Some(Precondition::Absent));
    }

    #[test]
    fn if_range_needs_this_version() {
        let holds = |value| if_range_holds(&headers(&[("if-range", value)]), ETAG, MODIFIED);
        assert!(if_range_holds(&HeaderMap::new(), ETAG, MODIFIED));
        assert!(holds("\"abc\"") && holds(SAME));
        assert!(!holds("\"x\"") && !holds(BEFORE) && !holds("W/\"abc\""));
    }
}
