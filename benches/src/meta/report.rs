//! Figures, their table and their verdict.

use std::fmt::{self, Display};

use anyhow::{Result, bail};
use serde::Serialize;

use super::backend::Kind;

/// A GiB of objects may take so many KiB of metadata.
const MAX_KIB_PER_GIB: f64 = 256.0;
/// With a thousand times the objects everything may cost so much more: a few levels of a tree, and less of it in the cache.
const MAX_GROWTH: f64 = 5.0;

/// One store with so many objects.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Which store.
    pub store: Kind,
    /// Objects in the bucket.
    pub objects: u64,
    /// Objects of one chunk committed in a second, one at a time, each with a lease of its own.
    pub commits_1_per_s: f64,
    /// The same, 64 at a time.
    pub commits_64_per_s: f64,
    /// Objects looked up in a second, one at a time.
    pub lookups_1_per_s: f64,
    /// The same, 64 at a time.
    pub lookups_64_per_s: f64,
    /// The first 1,000 objects of a list.
    pub first_page_ms: f64,
    /// Page 900 of the list, or the last one.
    pub deep_page_ms: f64,
    /// Metadata on the disk for each GiB in chunks of 4 MiB; none in memory.
    pub kib_per_gib: Option<f64>,
}

/// All that was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Time given to each figure.
    pub seconds: u32,
    /// A small and a large bucket of each store.
    pub lines: Vec<Line>,
}

impl Report {
    /// What was missed.
    fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for pair in self.lines.chunks_exact(2) {
            let [small, large] = pair else { continue };
            let store = small.store;
            let growths = [
                ("commits", small.commits_64_per_s / large.commits_64_per_s),
                ("lookups", small.lookups_64_per_s / large.lookups_64_per_s),
                ("first pages", large.first_page_ms / small.first_page_ms),
                ("deep pages", large.deep_page_ms / small.deep_page_ms),
            ];
            missed.extend(growths.iter().filter(|(_, growth)| *growth > MAX_GROWTH).map(|(what, growth)| {
                format!("{what} of {store} cost {growth:.1} times as much with {} objects as with {}", large.objects, small.objects)
            }));
            if let Some(kib) = large.kib_per_gib.filter(|kib| *kib > MAX_KIB_PER_GIB) {
                missed.push(format!("{store} takes {kib:.0} KiB for each GiB"));
            }
        }
        missed
    }

    /// # Errors
    /// Names the bars that were missed.
    pub fn check(&self) -> Result<()> {
        let missed = self.missed();
        if self.lines.is_empty() || !missed.is_empty() {
            bail!("missed: {}", missed.join("; "));
        }
        Ok(())
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["commits/s 1", "64", "lookups/s 1", "64", "page 1 ms", "page 900 ms", "KiB per GiB"];
        write!(f, "{:<9} {:>9}", "store", "objects")?;
        heads.iter().try_for_each(|head| write!(f, " {head:>12}"))?;
        for line in &self.lines {
            write!(f, "\n{:<9} {:>9}", line.store, line.objects)?;
            for rate in [line.commits_1_per_s, line.commits_64_per_s, line.lookups_1_per_s, line.lookups_64_per_s] {
                write!(f, " {rate:>12.0}")?;
            }
            write!(f, " {:>12.2} {:>12.2}", line.first_page_ms, line.deep_page_ms)?;
            match line.kib_per_gib {
                Some(kib) => write!(f, " {kib:>12.0}")?,
                None => write!(f, " {:>12}", "-")?,
            }
        }
        writeln!(f)?;
        self.missed().iter().try_for_each(|missed| writeln!(f, "MISS {missed}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(objects: u64, speed: f64, kib: f64) -> Line {
        Line {
            store: Kind::Sqlite,
            objects,
            commits_1_per_s: speed,
            commits_64_per_s: speed,
            lookups_1_per_s: speed,
            lookups_64_per_s: speed,
            first_page_ms: 100.0 / speed,
            deep_page_ms: 100.0 / speed,
            kib_per_gib: Some(kib),
        }
    }

    #[test]
    fn growth_and_weight_have_bars() {
        let report = |speed, kib| Report { seconds: 1, lines: vec![line(1000, 100.0, kib), line(1_000_000, speed, kib)] };
        report(60.0, 255.0).check().unwrap();
        assert_eq!(report(10.0, 255.0).missed().len(), 4);
        assert!(report(60.0, 300.0).check().unwrap_err().to_string().contains("300 KiB"));
        assert!(Report::default().check().is_err());
    }
}
