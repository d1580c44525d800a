//! The parent's side: starts a child, follows what it says and ends it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::audit;
use super::kinds::{Durable, Kind};
use super::ledger::{Ledger, Snapshot};
use super::load::{ORDERS, Orders};
use super::protocol::{Answer, Attempt, Line};

/// A running child. Dropped, it is killed.
pub struct Running {
    process: Child,
    lines: BufReader<ChildStdout>,
    /// What it has said so far.
    pub said: Said,
}

/// What a child has said.
#[derive(Debug, Default)]
pub struct Said {
    /// Operations that were answered without failing.
    pub acks: usize,
    /// Operations that failed.
    pub failures: usize,
    /// Operations acknowledged although another had failed before they began.
    pub acked_after_failure: Vec<String>,
    /// Broken promises.
    pub wrong: Vec<String>,
    /// Whether a compaction has begun and not ended well.
    pub compacting: bool,
    /// Why the store could not be opened.
    pub not_opened: Option<String>,
    /// What it read back at the end.
    pub holds: Snapshot,
    /// Whether the store had stopped for good, said at the end.
    pub finished: Option<bool>,
    /// Whether answers count no longer.
    doubted: bool,
    /// Operations that began after a failure.
    late: Vec<(u64, Attempt)>,
}

impl Running {
    /// Starts a child, under `wrapper` if there is one.
    pub fn start(orders: &Orders, wrapper: &[String]) -> Self {
        let exe = std::env::current_exe().unwrap();
        let mut command = match wrapper.split_first() {
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).arg(exe);
                command
            }
            None => Command::new(exe),
        };
        command.args(["--exact", "load::child", "--include-ignored", "--nocapture"]);
        let mut process = command.env(ORDERS, orders.encode()).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines, said: Said::default() }
    }

    /// Follows the child into `ledger` until `enough` or its end; whether it goes on.
    pub fn follow(&mut self, ledger: &mut Ledger, enough: impl Fn(&Said, &Line) -> bool) -> bool {
        loop {
            let mut line = String::new();
            // The last line of a killed process may be cut off: it was not said.
            if self.lines.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
                return false;
            }
            let Some(line) = Line::parse(&line) else { continue };
            self.said.hear(&line, ledger);
            if enough(&self.said, &line) {
                return true;
            }
        }
    }

    /// What it answers from now on may be true or not. The shutdown of ext4 drops the error of a write through the page cache that it meets
    /// between page and journal, and `fdatasync` answers well: a bare loop of appends and `fdatasync` loses its last one in a tenth of all cuts.
    /// Real power would have taken the process along.
    pub fn doubt(&mut self) {
        self.said.doubted = true;
    }

    /// Ends it with SIGKILL and hears what it had already said.
    pub fn kill(mut self, ledger: &mut Ledger) -> Said {
        let _ = self.process.kill();
        self.finish(ledger)
    }

    /// Hears it to its end.
    pub fn finish(&mut self, ledger: &mut Ledger) -> Said {
        self.follow(ledger, |_, _| false);
        self.process.wait().unwrap();
        std::mem::take(&mut self.said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Said {
    fn hear(&mut self, line: &Line, ledger: &mut Ledger) {
        match line {
            Line::Opening => {}
            Line::NotOpened(why) => self.not_opened = Some(why.clone()),
            Line::Began { id, number, attempt } => {
                ledger.began(*id, *number, *attempt);
                if self.failures > 0 {
                    self.late.push((*id, *attempt));
                }
            }
            Line::Ended { id, answer } => {
                if !self.doubted {
                    ledger.ended(*id, *answer);
                }
                self.failures += usize::from(*answer == Answer::Failed);
                self.acks += usize::from(*answer != Answer::Failed);
                // That nothing is there, or that a fence holds, is no promise of durability.
                if let (Answer::Done | Answer::Gone, Some((_, attempt))) = (answer, self.late.iter().find(|(late, _)| late == id)) {
                    self.acked_after_failure.push(format!("{attempt:?} {answer:?}"));
                }
            }
            Line::Compacting => self.compacting = true,
            Line::Compacted => self.compacting = false,
            Line::Wrong(what) => self.wrong.push(what.clone()),
            Line::Holds { number, version, epoch } => drop(self.holds.insert(*number, (*version, *epoch))),
            Line::Finished { failed } => self.finished = Some(*failed),
        }
    }
}

/// Opens what is left in `root`, compares it with the ledger, opens it once more, and takes what is there as the truth of the next round.
/// All that is wrong comes back.
pub fn inspect(kind: Kind, root: &Path, ledger: &mut Ledger) -> Result<(), Vec<String>> {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let first = look(kind, root).await?;
        let wrong = ledger.judge(&first);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let second = look(kind, root).await.map_err(|wrong| prefixed("opened again: ", wrong))?;
        if first != second {
            return Err(vec![format!("opened again it holds something else: {first:?} and then {second:?}")]);
        }
        ledger.settle(&first);
        Ok(())
    })
}

async fn look(kind: Kind, root: &Path) -> Result<Snapshot, Vec<String>> {
    let store: std::sync::Arc<dyn Durable> =
        (kind.open)(root.into()).await.map_err(|e| vec![format!("what is left cannot be opened: {e}")])?;
    if store.has_failed() {
        return Err(vec!["what is left opens as a store that has failed".into()]);
    }
    audit::snapshot(&*store).await
}

fn prefixed(prefix: &str, wrong: Vec<String>) -> Vec<String> {
    wrong.into_iter().map(|what| format!("{prefix}{what}")).collect()
}
