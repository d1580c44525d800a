//! How far a transfer is, on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

const STYLE: &str = "{bytes}/{total_bytes} {bar:30} {bytes_per_sec} {eta}";
const STYLE_OF_UNKNOWN: &str = "{bytes} {spinner} {bytes_per_sec}";

/// A bar on standard error; nothing where that is no terminal.
pub(super) fn bar(total_bytes: Option<u64>) -> ProgressBar {
    let (bar, style) = match total_bytes {
        Some(total_bytes) => (ProgressBar::new(total_bytes), STYLE),
        None => (ProgressBar::no_length(), STYLE_OF_UNKNOWN),
    };
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// A count of objects on standard error; nothing where that is no terminal.
pub(super) fn counter() -> ProgressBar {
    ProgressBar::no_length()
        .with_style(ProgressStyle::with_template("{pos} objects {spinner}").unwrap_or_else(|_| ProgressStyle::default_bar()))
}
