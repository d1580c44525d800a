//! Figures and how they are shown.

use std::fmt::{self, Display};
use std::time::Duration;

use serde::{Serialize, Serializer};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// PUT to the endpoint.
    Put,
    /// GET from the endpoint.
    Get,
    /// PUT to the null server: what the client alone can do.
    NullPut,
    /// GET from the null server.
    NullGet,
    /// The shards as synced files, written by plain threads: what the disk can do.
    RawFiles,
    /// The shards as one synced file for each thread.
    RawSequential,
}

impl Subject {
    /// In the order of the table.
    pub const ALL: [Self; 6] = [Self::Put, Self::Get, Self::NullPut, Self::NullGet, Self::RawFiles, Self::RawSequential];

    /// Its name in table and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "PUT",
            Self::Get => "GET",
            Self::NullPut => "client alone, PUT",
            Self::NullGet => "client alone, GET",
            Self::RawFiles => "disk alone, a file per shard",
            Self::RawSequential => "disk alone, a file per thread",
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What one phase took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Object bytes in 10^6, a second.
    pub mb_per_s: f64,
    /// Median latency of an operation.
    pub p50_ms: f64,
    /// 99th percentile of the latency.
    pub p99_ms: f64,
    /// CPU time of this process.
    pub client_cpu_s: f64,
    /// CPU time of the serving process, where this program started it.
    pub server_cpu_s: Option<f64>,
}

impl Cost {
    /// The figures of `bytes` moved in `elapsed`.
    pub fn new(bytes: u64, elapsed: Duration, mut latencies: Vec<Duration>, client_cpu_s: f64, server_cpu_s: Option<f64>) -> Self {
        latencies.sort_unstable();
        let ms = |percent| percentile(&latencies, percent).as_secs_f64() * 1e3;
        Self { mb_per_s: bytes as f64 / 1e6 / elapsed.as_secs_f64(), p50_ms: ms(50), p99_ms: ms(99), client_cpu_s, server_cpu_s }
    }

    /// Each figure's own median.
    fn median_of(costs: &[&Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(costs.iter().map(|cost| figure(cost)).collect());
        let server: Option<Vec<f64>> = costs.iter().map(|cost| cost.server_cpu_s).collect();
        Self {
            mb_per_s: of(|cost| cost.mb_per_s),
            p50_ms: of(|cost| cost.p50_ms),
            p99_ms: of(|cost| cost.p99_ms),
            client_cpu_s: of(|cost| cost.client_cpu_s),
            server_cpu_s: server.map(median),
        }
    }
}

/// Nearest rank: the smallest that `percent` percent do not exceed. `sorted` ascends; zero if it is empty.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The middle, or the mean of the two in the middle; not a number if there are none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    values.get(low).zip(values.get(high)).map_or(f64::NAN, |(low, high)| f64::midpoint(*low, *high))
}

/// A line of the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// From 1; none for the median.
    pub round: Option<u32>,
    /// What was measured.
    pub subject: Subject,
    /// Its figures.
    #[serde(flatten)]
    pub cost: Cost,
}

/// Everything that was measured, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Objects of a round.
    pub objects: u32,
    /// Size of each.
    pub object_bytes: usize,
    /// Operations in flight.
    pub concurrency: u32,
    /// All rounds, in order.
    pub rounds: Vec<Line>,
    /// The median of the rounds, by subject.
    pub median: Vec<Line>,
}

impl Report {
    /// Adds a line.
    pub fn push(&mut self, round: u32, subject: Subject, cost: Cost) {
        self.rounds.push(Line { round: Some(round), subject, cost });
    }

    /// Fills in the median of what was pushed.
    pub fn summarise(&mut self) {
        let costs = |subject| self.rounds.iter().filter(|line| line.subject == subject).map(|line| &line.cost).collect::<Vec<_>>();
        let measured = Subject::ALL.into_iter().map(|subject| (subject, costs(subject))).filter(|(_, costs)| !costs.is_empty());
        self.median = measured.map(|(subject, costs)| Line { round: None, subject, cost: Cost::median_of(&costs) }).collect();
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { objects, object_bytes, concurrency, .. } = self;
        writeln!(f, "{objects} objects of {} MiB, {concurrency} at once; MB are 10^6 bytes of objects\n", object_bytes >> 20)?;
        let heads = ["MB/s", "p50 ms", "p99 ms", "client CPU s", "server CPU s"];
        write!(f, "{:<7} {:<30}", "round", "")?;
        heads.iter().try_for_each(|head| write!(f, " {head:>12}"))?;
        for line in self.rounds.iter().chain(&self.median) {
            let round = line.round.map_or_else(|| "median".into(), |round| round.to_string());
            let Cost { mb_per_s, p50_ms, p99_ms, client_cpu_s, server_cpu_s } = &line.cost;
            let server = server_cpu_s.map_or_else(|| "-".into(), |s| format!("{s:.2}"));
            write!(f, "\n{round:<7} {:<30} {mb_per_s:>12.1} {p50_ms:>12.1} {p99_ms:>12.1}", line.subject.name())?;
            write!(f, " {client_cpu_s:>12.2} {server:>12}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let ms: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&ms, 50), Duration::from_millis(100));
        assert_eq!(percentile(&ms, 99), Duration::from_millis(198));
        assert_eq!(percentile(&ms[..64], 99), Duration::from_millis(64));
        assert_eq!(percentile(&ms[..1], 50), Duration::from_millis(1));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_report_has_rounds_and_medians() {
        let mut report = Report { objects: 2, object_bytes: 1 << 20, concurrency: 1, ..Report::default() };
        for (round, elapsed_ms) in [(1, 500), (2, 1000), (3, 2000)] {
            let elapsed = Duration::from_millis(elapsed_ms);
            report.push(round, Subject::Put, Cost::new(4_000_000, elapsed, vec![elapsed / 2; 2], 0.5, Some(1.0)));
        }
        report.summarise();
        assert_eq!(report.median.len(), 1);
        assert_eq!((report.median[0].cost.mb_per_s, report.median[0].cost.p50_ms), (4.0, 500.0));
        let last = report.to_string().lines().last().unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(last, ["median", "PUT", "4.0", "500.0", "500.0", "0.50", "1.00"]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((json["rounds"][1]["subject"].as_str(), json["median"][0]["mb_per_s"].as_f64()), (Some("PUT"), Some(4.0)));
    }
}
