//! Query strings: decoded once, encoded once, so that what was signed is what is carried out.

use std::collections::HashSet;

/// A decoded query in its order. Pairs without `=` have an empty value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(pub(super) Vec<(String, String)>);

impl Query {
    /// Decodes `raw`; None when it is not UTF-8 once decoded.
    pub(super) fn parse(raw: &str) -> Option<Self> {
        let pairs = raw.split('&').filter(|p| !p.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name, true)?, decode(value, true)?))
        });
        pairs.collect::<Option<Vec<_>>>().map(Self)
    }

    /// The value of `name`, the first if there are more.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether `name` is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The first name that is there more than once.
    pub(super) fn repeated(&self) -> Option<&str> {
        let mut seen = HashSet::new();
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| !seen.insert(*name))
    }

    /// The form that goes into a URI.
    pub(super) fn encode(&self) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(n, v)| format!("{}={}", encode(n, true), encode(v, true))).collect();
        pairs.join("&")
    }

    /// The form that SigV4 signs: sorted, without the signature itself.
    pub(super) fn canonical(&self) -> String {
        let mut pairs: Vec<(String, String)> =
            self.0.iter().filter(|(n, _)| n != "X-Amz-Signature").map(|(n, v)| (encode(n, true), encode(v, true))).collect();
        pairs.sort();
        let pairs: Vec<String> = pairs.into_iter().map(|(n, v)| format!("{n}={v}")).collect();
        pairs.join("&")
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986, as SigV4 wants it.
pub(super) fn encode(text: &str, slash_too: bool) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        let keep = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') || (byte == b'/' && !slash_too);
        if keep {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

/// Percent-decodes; a `%` that begins no escape stands for itself. None when the bytes are not UTF-8.
pub(super) fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let nibble = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'+' if plus_is_space => out.push(b' '),
            b'%' => match (nibble(bytes.get(at)), nibble(bytes.get(at + 1))) {
                (Some(high), Some(low)) => {
                    out.push((high * 16 + low) as u8);
                    at += 2;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

/// Percent-decodes a path; None when an escape is malformed or the bytes are not UTF-8.
pub(super) fn decode_path(path: &str) -> Option<String> {
    let whole = |escape: &str| escape.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if path.split('%').skip(1).all(whole) { decode(path, false) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_and_encoding_agree() {
        for text in ["", " +%48//🙂\u{1}~", "a/b c", "100%"] {
            assert_eq!(decode(&encode(text, true), true).unwrap(), text);
            assert_eq!(decode(&encode(text, false), false).unwrap(), text);
        }
        assert_eq!(encode("a b/+", false), "a%20b/%2B");
        assert_eq!(decode("%zz%4", false).unwrap(), "%zz%4");
        assert!(decode("%ff", false).is_none());
        assert_eq!(decode_path("/a+%2B%25").unwrap(), "/a++%");
        for bad in ["/%", "/%4", "/%zz", "/%%41", "/%+1", "/%ff"] {
            assert_eq!(decode_path(bad), None, "{bad}");
        }
    }

    #[test]
    fn queries_are_canonical() {
        let query = Query::parse("uploads&prefix=a%20b+c&X-Amz-Signature=x&list-type=2").unwrap();
        assert!(query.has("uploads") && query.get("uploads") == Some(""));
        assert_eq!(query.get("prefix"), Some("a b c"));
        assert_eq!((query.repeated(), Query::parse("a=1&b&%61").unwrap().repeated()), (None, Some("a")));
        assert_eq!(query.canonical(), "list-type=2&prefix=a%20b%20c&uploads=");
        assert_eq!(Query::parse(&query.encode()).unwrap(), query);
    }
}
