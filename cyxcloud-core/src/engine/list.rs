//! LIST: keys in byte order, those that share a prefix up to the delimiter folded into one.

use super::Engine;
use crate::Result;
use crate::id::BucketId;
use crate::port::{ObjectHead, ScanStart};

/// Rows one metadata scan asks for at most.
const MAX_SCAN: usize = 1000;

/// What to list: by default the first thousand keys.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Fold keys that have this after the prefix.
    pub delimiter: Option<String>,
    /// Where to begin.
    pub start: ScanStart,
    /// At most so many objects and prefixes together.
    pub limit: usize,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self { prefix: String::new(), delimiter: None, start: ScanStart::default(), limit: MAX_SCAN }
    }
}

/// A page.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Objects in byte order of their keys.
    pub objects: Vec<ObjectHead>,
    /// Folded prefixes in byte order.
    pub prefixes: Vec<String>,
    /// There is more; continue with [`ScanStart::After`] of `last`.
    pub truncated: bool,
    /// The last key or prefix of this page, empty when there is none.
    pub last: String,
}

impl Engine {
    /// One page of a bucket.
    ///
    /// # Errors
    /// Those of [`crate::port::Meta::scan_objects`].
    pub async fn list(&self, bucket: BucketId, query: ListQuery) -> Result<Listing> {
        let mut page = Listing::default();
        if query.limit == 0 {
            return Ok(page);
        }
        let delimiter = query.delimiter.as_deref().filter(|d| !d.is_empty());
        // A page that begins after a folded prefix begins after all of its keys.
        let mut start = match query.start {
            ScanStart::After(last) => match fold(&last, &query.prefix, delimiter) {
                Some(folded) if folded == last => beyond(&last),
                _ => Some(ScanStart::After(last)),
            },
            other => Some(other),
        };
        while let Some(from) = start.take() {
            let room = query.limit - page.objects.len() - page.prefixes.len();
            let ask = (room + 1).min(MAX_SCAN);
            let rows = self.meta().scan_objects(bucket, &query.prefix, from, ask).await?;
            let full = rows.len() == ask;
            for head in rows {
                let folded = fold(head.key.as_str(), &query.prefix, delimiter);
                if page.objects.len() + page.prefixes.len() == query.limit {
                    page.truncated = true;
                    return Ok(page);
                }
                match folded {
                    Some(prefix) => {
                        // The rest of this scan may lie under the same prefix: skip to what follows it.
                        start = beyond(&prefix);
                        page.last.clone_from(&prefix);
                        page.prefixes.push(prefix);
                        break;
                    }
                    None => {
                        start = full.then(|| ScanStart::After(head.key.as_str().to_owned()));
                        head.key.as_str().clone_into(&mut page.last);
                        page.objects.push(head);
                    }
                }
            }
        }
        Ok(page)
    }
}

/// `key` up to and with the first delimiter after `prefix`.
fn fold(key: &str, prefix: &str, delimiter: Option<&str>) -> Option<String> {
    let rest = key.strip_prefix(prefix)?;
    let at = rest.find(delimiter?)?;
    Some(key[..prefix.len() + at + delimiter?.len()].to_owned())
}

/// The start of everything that sorts after all keys beginning with `prefix`; None when nothing can.
fn beyond(prefix: &str) -> Option<ScanStart> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Byte order of UTF-8 is the order of its characters; `char` steps over the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(ScanStart::From(chars.into_iter().collect()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_steps_over_everything_below_the_prefix() {
        let from = |p: &str| match beyond(p) {
            Some(ScanStart::From(text)) => Some(text),
            _ => None,
        };
        assert_eq!(from("a/").as_deref(), Some("a0"));
        assert_eq!(from("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(from("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(from("\u{10ffff}"), None);
    }

    #[test]
    fn folding() {
        assert_eq!(fold("a/b/c", "a/", Some("/")).as_deref(), Some("a/b/"));
        assert_eq!(fold("a/b", "a/", Some("/")), None);
        assert_eq!(fold("abcXYdXYe", "a", Some("XY")).as_deref(), Some("abcXY"));
        assert_eq!(fold("a/b", "a", None), None);
    }
}
