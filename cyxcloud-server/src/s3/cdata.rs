//! CDATA sections, which the protocol library skips: a key written in one would be another key, and deleting would take that one.

use bytes::Bytes;

use super::error::{S3Result, with};

const SECTION: &str = "<![CDATA[";
const COMMENT: &str = "<!--";

/// `xml` with CDATA sections written as text. Comments in the same document are left out, because they may hold what looks like one.
pub(super) fn expand(xml: Bytes) -> S3Result<Bytes> {
    let Ok(text) = std::str::from_utf8(&xml) else { return Ok(xml) };
    if !text.contains(SECTION) {
        return Ok(xml);
    }
    let open = |what: &str| with(s3s::S3ErrorCode::MalformedXML, format!("A {what} has no end"));
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("<!") {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        if let Some(section) = found.strip_prefix(SECTION) {
            let (data, after) = section.split_once("]]>").ok_or_else(|| open("CDATA section"))?;
            out.push_str(&data.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
            rest = after;
        } else if let Some(comment) = found.strip_prefix(COMMENT) {
            rest = comment.split_once("-->").ok_or_else(|| open("comment"))?.1;
        } else {
            out.push_str("<!");
            rest = &found[2..];
        }
    }
    out.push_str(rest);
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_become_text() {
        for (xml, want) in [
            ("<Key>a b<!-- c --></Key>", "<Key>a b<!-- c --></Key>"),
            ("<Key>a<![CDATA[<b>&#128578;]]>c</Key>", "<Key>a&lt;b&gt;&amp;#128578;c</Key>"),
            ("<!DOCTYPE a><![CDATA[]]><a/>", "<!DOCTYPE a><a/>"),
            ("<a><!-- <![CDATA[ x -->y<![CDATA[<!-- ]]></a>", "<a>y&lt;!-- </a>"),
        ] {
            assert_eq!(expand(xml.into()).unwrap(), want);
        }
        for bad in ["<![CDATA[a", "<!-- <![CDATA[ ]]>"] {
            assert!(expand(bad.into()).is_err(), "{bad}");
        }
    }
}
