//! Parts of docs/ that the code writes. Core touches no files, so a test compares and says what to paste.

/// Checks that `page` (the text of `file`) has `expected` between `<!-- generated: SECTION -->` and `<!-- end -->`.
pub(super) fn assert_section(file: &str, page: &str, section: &str, expected: &str) {
    let begin = format!("<!-- generated: {section} -->\n");
    let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("{file} has no line {begin:?}"));
    let (found, _) = rest.split_once("<!-- end -->").unwrap_or_else(|| panic!("{file}: {section} has no <!-- end -->"));
    assert!(
        found.trim() == expected.trim(),
        "{file} is not what the code says. Put this between {} and <!-- end -->:\n\n{}\n",
        begin.trim(),
        expected.trim()
    );
}
