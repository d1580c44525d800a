//! The lines a child prints. Each is written whole before the child goes on.

use std::fmt;
use std::io::Write;

/// What the child is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Put this version under this epoch.
    Put { version: u64, epoch: u64 },
    /// Delete below this fence.
    Delete { fence: u64 },
}

/// What the store said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A put is durable.
    Done,
    /// A delete removed it.
    Gone,
    /// A delete found nothing.
    Absent,
    /// A delete was held off by its fence.
    Kept,
    /// It failed.
    Failed,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The store will be opened now.
    Opening,
    /// The store could not be opened.
    NotOpened(String),
    /// An operation begins.
    Began { id: u64, number: u16, attempt: Attempt },
    /// An operation ended.
    Ended { id: u64, answer: Answer },
    /// Compaction begins.
    Compacting,
    /// Compaction ended.
    Compacted,
    /// A promise was broken while the store was running.
    Wrong(String),
    /// At the end: one frame of the store, read back.
    Holds { number: u16, version: u64, epoch: u64 },
    /// At the end: whether the store has stopped for good.
    Finished { failed: bool },
}

/// Tells our lines from those of the test harness.
const MARK: &str = "@crash";

impl Line {
    /// Prints it. A parent that is gone ends the process.
    pub fn say(&self) {
        let line = format!("\n{MARK} {self}\n");
        let mut out = std::io::stdout().lock();
        if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
            std::process::exit(1);
        }
    }

    /// Reads one; None for what the harness prints.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(MARK)?.trim().splitn(2, ' ');
        let (verb, rest) = (words.next()?, words.next().unwrap_or_default());
        let numbers: Vec<u64> = rest.split(' ').map_while(|word| word.parse().ok()).collect();
        let number = |at: usize| numbers.get(at).copied().unwrap();
        let key = |at: usize| number(at) as u16;
        Some(match verb {
            "opening" => Line::Opening,
            "not-opened" => Line::NotOpened(rest.into()),
            "put" => Line::Began { id: number(0), number: key(1), attempt: Attempt::Put { version: number(2), epoch: number(3) } },
            "delete" => Line::Began { id: number(0), number: key(1), attempt: Attempt::Delete { fence: number(2) } },
            "done" => Line::Ended { id: number(0), answer: Answer::Done },
            "gone" => Line::Ended { id: number(0), answer: Answer::Gone },
            "absent" => Line::Ended { id: number(0), answer: Answer::Absent },
            "kept" => Line::Ended { id: number(0), answer: Answer::Kept },
            "failed" => Line::Ended { id: number(0), answer: Answer::Failed },
            "compacting" => Line::Compacting,
            "compacted" => Line::Compacted,
            "wrong" => Line::Wrong(rest.into()),
            "holds" => Line::Holds { number: key(0), version: number(1), epoch: number(2) },
            "finished" => Line::Finished { failed: number(0) == 1 },
            other => panic!("a child said {other}"),
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Opening => f.write_str("opening"),
            Line::NotOpened(why) => write!(f, "not-opened {}", why.replace('\n', " ")),
            Line::Began { id, number, attempt: Attempt::Put { version, epoch } } => write!(f, "put {id} {number} {version} {epoch}"),
            Line::Began { id, number, attempt: Attempt::Delete { fence } } => write!(f, "delete {id} {number} {fence}"),
            Line::Ended { id, answer } => write!(f, "{} {id}", format!("{answer:?}").to_lowercase()),
            Line::Compacting => f.write_str("compacting"),
            Line::Compacted => f.write_str("compacted"),
            Line::Wrong(what) => write!(f, "wrong {}", what.replace('\n', " ")),
            Line::Holds { number, version, epoch } => write!(f, "holds {number} {version} {epoch}"),
            Line::Finished { failed } => write!(f, "finished {}", u8::from(*failed)),
        }
    }
}

#[test]
fn lines_are_read_as_they_were_said() {
    let attempts = [Attempt::Put { version: 1 << 40, epoch: 9 }, Attempt::Delete { fence: 4 }];
    let began = attempts.map(|attempt| Line::Began { id: 7, number: 9, attempt });
    let answers = [Answer::Done, Answer::Gone, Answer::Absent, Answer::Kept, Answer::Failed];
    let ended = answers.map(|answer| Line::Ended { id: 7, answer });
    let others = [
        Line::Opening,
        Line::NotOpened("two words".into()),
        Line::Compacting,
        Line::Compacted,
        Line::Wrong("key 3".into()),
        Line::Holds { number: 1, version: 2, epoch: 3 },
        Line::Finished { failed: true },
    ];
    for line in began.into_iter().chain(ended).chain(others) {
        assert_eq!(Line::parse(&format!("{MARK} {line}")), Some(line));
    }
    assert_eq!(Line::parse("running 1 test"), None);
}
