//! Numeric character references above U+FFFF, which the protocol library wrongly takes for malformed (it knows U+100000 and up only).
//! minio-py writes every such character of a key that way.

use bytes::Bytes;

/// `xml` with references to U+10000..=U+FFFFF, such as `&#128578;`, replaced by the character itself.
pub fn expand(xml: Bytes) -> Bytes {
    let Ok(text) = std::str::from_utf8(&xml) else { return xml };
    if !text.contains("&#") {
        return xml;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("&#") {
        let (before, reference) = rest.split_at(at);
        out.push_str(before);
        let end = reference.find(';').map_or(reference.len(), |end| end + 1);
        match supplementary(&reference[..end]) {
            Some(character) => out.push(character),
            None => out.push_str(&reference[..end]),
        }
        rest = &reference[end..];
    }
    out.push_str(rest);
    out.into()
}

fn supplementary(reference: &str) -> Option<char> {
    let number = reference.strip_prefix("&#")?.strip_suffix(';')?;
    let code = match number.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code).filter(|c| ('\u{10000}'..='\u{fffff}').contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_supplementary_references_are_replaced() {
        for (xml, want) in [
            ("<Key>a&#128578;b&#x1F642;</Key>", "<Key>a🙂b🙂</Key>"),
            ("&#233;&amp;#128578;&#60;&#13;", "&#233;&amp;#128578;&#60;&#13;"),
            ("&#", "&#"),
            ("&#128578", "&#128578"),
            ("&#x;&#99999999999;&#xD800;&#1114112;", "&#x;&#99999999999;&#xD800;&#1114112;"),
            ("&#&#128578;", "&#&#128578;"),
            ("plain é", "plain é"),
        ] {
            assert_eq!(expand(Bytes::from_static(xml.as_bytes())), want, "{xml}");
        }
        assert_eq!(expand(Bytes::from_static(b"&#128578;\xff")), &b"&#128578;\xff"[..]);
    }
}
