//! Figures of all rounds, their table and their verdict.

use std::fmt::{self, Display};

use anyhow::{Result, bail};
use serde::Serialize;

use super::measure::Cost;

/// A store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A file for each shard.
    Files,
    /// A log of segments.
    Segment,
    /// RocksDB.
    #[cfg(feature = "rocksdb")]
    #[value(name = "rocksdb")]
    RocksDb,
}

impl Kind {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Files,
        Self::Segment,
        #[cfg(feature = "rocksdb")]
        Self::RocksDb,
    ];

    /// Its name in tables, and that of its directory.
    pub fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Segment => "segment",
            #[cfg(feature = "rocksdb")]
            Self::RocksDb => "rocksdb",
        }
    }
}

/// One store in one round, or the median of all rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// From 1; none for the median.
    pub round: Option<u32>,
    /// Which store.
    pub store: Kind,
    /// Durable puts, one at a time, into a store that has just been made.
    pub put_1: Cost,
    /// The same into space that has been used before.
    pub put_1_again: Cost,
    /// Durable puts, 16 at a time.
    pub put_16: Cost,
    /// Cold reads, one at a time, MB/s.
    pub get_1_mb_per_s: f64,
    /// Cold reads, 16 at a time, MB/s.
    pub get_16_mb_per_s: f64,
    /// Fenced deletes, 16 at a time, a second.
    pub deletes_per_s: f64,
    /// From the last delete until nine tenths of the space were free again, as the store says.
    pub space_back_s: f64,
    /// What of the file system the store then still held, in MiB: segments reserved for what comes.
    pub reserved_mib: f64,
}

/// All that was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Length of a frame.
    pub frame_bytes: usize,
    /// Written by each store in each phase.
    pub mib: u32,
    /// Rounds, then medians.
    pub lines: Vec<Line>,
}

/// A figure of the segment store, or its ratio to that of the files store, and what it must be.
struct Bar {
    name: &'static str,
    value: f64,
    limit: f64,
    at_least: bool,
}

impl Report {
    /// Adds the medians of what is there.
    pub fn summarise(&mut self) {
        let measured = Kind::ALL.iter().copied().filter(|kind| self.lines.iter().any(|line| line.store == *kind));
        for store in measured.collect::<Vec<_>>() {
            let lines: Vec<&Line> = self.lines.iter().filter(|line| line.store == store && line.round.is_some()).collect();
            let of = |figure: fn(&Line) -> f64| median(lines.iter().map(|line| figure(line)).collect());
            let put = |cost: fn(&Line) -> &Cost| {
                let of = |figure: fn(&Cost) -> f64| median(lines.iter().map(|line| figure(cost(line))).collect());
                Cost { mb_per_s: of(|c| c.mb_per_s), cpu_s_per_gb: of(|c| c.cpu_s_per_gb), written: of(|c| c.written) }
            };
            let line = Line {
                round: None,
                store,
                put_1: put(|line| &line.put_1),
                put_1_again: put(|line| &line.put_1_again),
                put_16: put(|line| &line.put_16),
                get_1_mb_per_s: of(|line| line.get_1_mb_per_s),
                get_16_mb_per_s: of(|line| line.get_16_mb_per_s),
                deletes_per_s: of(|line| line.deletes_per_s),
                space_back_s: of(|line| line.space_back_s),
                reserved_mib: of(|line| line.reserved_mib),
            };
            self.lines.push(line);
        }
    }

    /// Ratios are taken within a round, then their median: what else the machine does changes between rounds.
    fn bars(&self) -> Vec<Bar> {
        let rounds = |store| self.lines.iter().filter(move |line| line.store == store && line.round.is_some());
        let ratio = |figure: fn(&Line) -> f64| {
            let pairs = rounds(Kind::Segment).filter_map(|ours| Some((ours, rounds(Kind::Files).find(|line| line.round == ours.round)?)));
            median(pairs.map(|(ours, theirs)| figure(ours) / figure(theirs)).collect())
        };
        let own = |figure: fn(&Line) -> f64| median(rounds(Kind::Segment).map(figure).collect());
        let bar = |name, value, limit, at_least| Bar { name, value, limit, at_least };
        vec![
            bar("puts by 1 writer into new segments, times files", ratio(|line| line.put_1.mb_per_s), 1.0, true),
            bar("puts by 1 writer into used segments, times files", ratio(|line| line.put_1_again.mb_per_s), 2.0, true),
            bar("puts by 16 writers, times files", ratio(|line| line.put_16.mb_per_s), 0.9, true),
            bar("CPU of puts by 1 writer, new, times files", ratio(|line| line.put_1.cpu_s_per_gb), 0.5, false),
            bar("CPU of puts by 1 writer, used, times files", ratio(|line| line.put_1_again.cpu_s_per_gb), 0.5, false),
            bar("CPU of puts by 16 writers, times files", ratio(|line| line.put_16.cpu_s_per_gb), 0.5, false),
            bar("bytes written by 1 writer", own(|line| line.put_1.written), 1.1, false),
            bar("bytes written by 16 writers", own(|line| line.put_16.written), 1.1, false),
            bar("seconds until the space is back", own(|line| line.space_back_s), 60.0, false),
        ]
    }

    /// # Errors
    /// Names the bars that were missed.
    pub fn check(&self) -> Result<()> {
        let missed: Vec<&str> = self.bars().iter().filter(|bar| !bar.is_met()).map(|bar| bar.name).collect();
        if !missed.is_empty() {
            bail!("missed: {}", missed.join("; "));
        }
        Ok(())
    }
}

impl Bar {
    /// False for what is not a number, too.
    fn is_met(&self) -> bool {
        if self.at_least { self.value >= self.limit } else { self.value <= self.limit }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "frames of {} bytes, {} MiB in each phase; MB are 10^6 bytes of frames\n", self.frame_bytes, self.mib)?;
        let heads = [
            "put 1 MB/s",
            "CPU s/GB",
            "written",
            "again MB/s",
            "CPU s/GB",
            "written",
            "put 16 MB/s",
            "CPU s/GB",
            "written",
            "get 1",
            "get 16",
            "del/s",
            "back s",
            "kept MiB",
        ];
        write!(f, "{:<7} {:<8}", "round", "store")?;
        heads.iter().try_for_each(|head| write!(f, " {head:>11}"))?;
        for line in &self.lines {
            let round = line.round.map_or_else(|| "median".into(), |round| round.to_string());
            let store = line.store.name();
            write!(f, "\n{round:<7} {store:<8}")?;
            for Cost { mb_per_s, cpu_s_per_gb, written } in [line.put_1, line.put_1_again, line.put_16] {
                write!(f, " {mb_per_s:>11.0} {cpu_s_per_gb:>11.3} {written:>11.3}")?;
            }
            write!(
                f,
                " {:>11.0} {:>11.0} {:>11.0} {:>11.1} {:>11.0}",
                line.get_1_mb_per_s, line.get_16_mb_per_s, line.deletes_per_s, line.space_back_s, line.reserved_mib
            )?;
        }
        writeln!(f, "\n")?;
        for bar in self.bars() {
            let (verdict, bound) = (if bar.is_met() { "ok  " } else { "MISS" }, if bar.at_least { "at least" } else { "at most" });
            writeln!(f, "{verdict} {:<50} {:>7.2}   {bound} {}", bar.name, bar.value, bar.limit)?;
        }
        Ok(())
    }
}

/// The middle, or the mean of the two in the middle; not a number if there are none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    values.get(low).zip(values.get(high)).map_or(f64::NAN, |(low, high)| f64::midpoint(*low, *high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(round: u32, store: Kind, mb_per_s: f64, written: f64) -> Line {
        let cost = Cost { mb_per_s, cpu_s_per_gb: 100.0 / mb_per_s, written };
        let (get_1_mb_per_s, get_16_mb_per_s, deletes_per_s, space_back_s, reserved_mib) = (1.0, 1.0, 1.0, 1.0, 1.0);
        Line {
            round: Some(round),
            store,
            put_1: cost,
            put_1_again: cost,
            put_16: cost,
            get_1_mb_per_s,
            get_16_mb_per_s,
            deletes_per_s,
            space_back_s,
            reserved_mib,
        }
    }

    #[test]
    fn ratios_are_of_a_round_and_misses_are_named() {
        // The machine was twice as fast in the second round.
        let lines = vec![
            line(1, Kind::Files, 100.0, 1.0),
            line(1, Kind::Segment, 210.0, 1.05),
            line(2, Kind::Segment, 420.0, 1.05),
            line(2, Kind::Files, 200.0, 1.0),
        ];
        let mut report = Report { lines, ..Report::default() };
        report.summarise();
        assert_eq!(report.lines.len(), 6);
        report.check().unwrap();
        report.lines[1].put_1.written = 1.5;
        report.lines[2].put_1.written = 1.5;
        assert_eq!(report.check().unwrap_err().to_string(), "missed: bytes written by 1 writer");
        assert!(report.to_string().contains("MISS bytes written by 1 writer"));
        assert!(Report::default().check().is_err(), "nothing measured is nothing met");
    }
}
