//! Aligned columns, sizes and times for people.

use cyxcloud_sdk::core::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One line per row under a line of titles. Columns whose title begins with `>` are aligned to the right.
pub(super) fn render<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let right = titles.map(|title| title.starts_with('>'));
    let titles = titles.map(|title| title.trim_start_matches('>').to_owned());
    let lines = || std::iter::once(&titles).chain(rows);
    let widths: [usize; N] = std::array::from_fn(|at| lines().map(|row| row[at].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in lines() {
        let cells = row.iter().zip(widths).zip(right).map(|((cell, width), right)| match right {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// `1.5 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = bytes as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{scaled:.1} {}", UNITS[unit]) }
}

/// `3 chunks`, `1 chunk`.
pub(super) fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// A time as RFC 3339 in UTC, to the second.
pub(super) fn moment(at: Timestamp) -> String {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    let when = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|when| when.format(&Rfc3339).ok());
    when.unwrap_or_else(|| format!("{} ms", at.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_sizes_short() {
        let rows = [["1".into(), "a".into(), "x".into()], ["10".into(), "long".into(), String::new()]];
        assert_eq!(render([">N", "NAME", "END"], &rows), " N  NAME  END\n 1  a     x\n10  long\n");
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(u64::MAX)], ["0 B", "1023 B", "1.5 KiB", "16777216.0 TiB"]);
        assert_eq!([count(1, "chunk"), count(0, "chunk")], ["1 chunk", "0 chunks"]);
        assert_eq!(moment(Timestamp(1_700_000_000_999)), "2023-11-14T22:13:20Z");
    }
}
