//! What the child said it tried and was told, and which states of the store that allows.
//!
//! Time is the line number: what was acknowledged before another operation began, happened before it. Operations that overlap may have
//! happened in either order, and one without an answer may have happened or not.

use std::collections::BTreeMap;

use super::protocol::{Answer, Attempt};

/// What a store holds: version of the bytes and epoch, by number of the key.
pub type Snapshot = BTreeMap<u16, (u64, u64)>;

/// One operation.
#[derive(Clone, Copy, Debug)]
struct Op {
    attempt: Attempt,
    began: usize,
    ended: Option<(usize, Answer)>,
}

impl Op {
    /// Whether it certainly ended before `other` began.
    fn precedes(&self, other: &Op) -> bool {
        self.ended.is_some_and(|(at, _)| at < other.began)
    }

    fn put(&self) -> Option<(u64, u64)> {
        match self.attempt {
            Attempt::Put { version, epoch } => Some((version, epoch)),
            Attempt::Delete { .. } => None,
        }
    }

    fn acked_put(&self) -> Option<(u64, u64)> {
        self.put().filter(|_| matches!(self.ended, Some((_, Answer::Done))))
    }

    /// A delete that certainly saw to it that nothing was there.
    fn certainly_cleared(&self) -> bool {
        self.put().is_none() && matches!(self.ended, Some((_, Answer::Gone | Answer::Absent)))
    }

    /// A delete that has cleared the key or may have.
    fn maybe_cleared(&self) -> bool {
        self.put().is_none() && !matches!(self.ended, Some((_, Answer::Kept)))
    }
}

/// The operations of each key since the last [`Ledger::settle`].
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    ops: BTreeMap<u16, Vec<Op>>,
    open: BTreeMap<u64, (u16, usize)>,
    now: usize,
}

impl Ledger {
    /// The child is about to do it.
    pub fn began(&mut self, id: u64, number: u16, attempt: Attempt) {
        self.now += 1;
        let ops = self.ops.entry(number).or_default();
        self.open.insert(id, (number, ops.len()));
        ops.push(Op { attempt, began: self.now, ended: None });
    }

    /// The store has answered.
    pub fn ended(&mut self, id: u64, answer: Answer) {
        self.now += 1;
        let (number, at) = self.open.remove(&id).unwrap();
        self.ops.get_mut(&number).unwrap()[at].ended = Some((self.now, answer));
    }

    /// What is there is the truth from now on: whatever may have been and is not must never be seen again.
    pub fn settle(&mut self, there: &Snapshot) {
        let base = |(version, epoch): &(u64, u64)| Op {
            attempt: Attempt::Put { version: *version, epoch: *epoch },
            began: 0,
            ended: Some((0, Answer::Done)),
        };
        self.ops = there.iter().map(|(number, state)| (*number, vec![base(state)])).collect();
        self.open.clear();
        self.now = 0;
    }

    /// Whatever `there` cannot be.
    pub fn judge(&self, there: &Snapshot) -> Vec<String> {
        let unknown = there.iter().filter(|(number, _)| !self.ops.contains_key(number));
        let mut wrong: Vec<String> =
            unknown.map(|(number, (version, _))| format!("key {number}: version {version:x} was gone or never written")).collect();
        for (number, ops) in &self.ops {
            let verdict = match there.get(number) {
                None => absent(ops),
                Some((version, epoch)) => present(ops, *version, *epoch),
            };
            if let Err(why) = verdict {
                wrong.push(format!("key {number}: {why}; its last operations: {:?}", &ops[ops.len().saturating_sub(6)..]));
            }
        }
        wrong
    }

    /// Acknowledged puts since the last settling.
    pub fn acked_puts(&self) -> usize {
        self.ops.values().flatten().filter(|op| op.began > 0 && op.acked_put().is_some()).count()
    }

    /// Acknowledged deletes since the last settling.
    pub fn acked_deletes(&self) -> usize {
        self.ops.values().flatten().filter(|op| matches!(op.ended, Some((_, Answer::Gone)))).count()
    }
}

/// Nothing is there: it needs a delete that no acknowledged put followed.
fn absent(ops: &[Op]) -> Result<(), String> {
    let acked = || ops.iter().filter(|op| op.acked_put().is_some());
    let explains = |delete: &Op| delete.maybe_cleared() && !certainly_kept(ops, delete) && !acked().any(|put| delete.precedes(put));
    match acked().next_back() {
        Some(put) if !ops.iter().any(explains) => Err(format!("an acknowledged put is lost ({put:?})")),
        _ => Ok(()),
    }
}

/// Whether a delete cannot have done anything because an acknowledged put before it had reached its fence.
fn certainly_kept(ops: &[Op], delete: &Op) -> bool {
    let Attempt::Delete { fence } = delete.attempt else { return false };
    let others = || ops.iter().filter(|op| op.maybe_cleared() && op.began != delete.began);
    let holds = |put: &Op| put.precedes(delete) && !others().any(|other| !other.precedes(put));
    ops.iter().any(|op| op.acked_put().is_some_and(|(_, epoch)| epoch >= fence) && holds(op))
}

fn present(ops: &[Op], version: u64, epoch: u64) -> Result<(), String> {
    let writer = ops.iter().find(|op| op.put().is_some_and(|(written, _)| written == version));
    let writer = writer.ok_or_else(|| format!("version {version:x} was gone or never written"))?;
    if let Some(later) = ops.iter().find(|op| writer.precedes(op) && (op.acked_put().is_some() || op.certainly_cleared())) {
        return Err(format!("version {version:x} is there again, although {later:?} came after it"));
    }
    let kept = |put: &&Op| !ops.iter().any(|delete| delete.maybe_cleared() && !delete.precedes(put));
    let least = ops.iter().filter(|op| op.acked_put().is_some()).filter(kept).filter_map(Op::put).map(|(_, epoch)| epoch).max();
    let least = least.max(writer.put().map(|(_, epoch)| epoch));
    if least.is_some_and(|least| epoch < least) {
        return Err(format!("epoch {epoch} is below {least:?}, which was acknowledged"));
    }
    let alive = |put: &&Op| !ops.iter().any(|delete| delete.certainly_cleared() && put.precedes(delete));
    if !ops.iter().filter(alive).filter_map(Op::put).any(|(_, known)| known == epoch) {
        return Err(format!("epoch {epoch} is of no put since the last delete"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger of operations one after another; those without an answer are still under way.
    fn ledger(ops: &[(Attempt, Option<Answer>)]) -> Ledger {
        let mut ledger = Ledger::default();
        for (id, (attempt, answer)) in ops.iter().enumerate() {
            ledger.began(id as u64, 0, *attempt);
            if let Some(answer) = answer {
                ledger.ended(id as u64, *answer);
            }
        }
        ledger
    }

    fn put(version: u64, epoch: u64) -> Attempt {
        Attempt::Put { version, epoch }
    }

    const fn delete(fence: u64) -> Attempt {
        Attempt::Delete { fence }
    }

    /// Which of "nothing" and the given states are allowed.
    fn allowed(ops: &[(Attempt, Option<Answer>)], states: &[(u64, u64)]) -> Vec<bool> {
        let ledger = ledger(ops);
        let all = std::iter::once(Snapshot::new()).chain(states.iter().map(|state| Snapshot::from([(0, *state)])));
        all.map(|snapshot| ledger.judge(&snapshot).is_empty()).collect()
    }

    #[test]
    fn what_was_acknowledged_is_all_that_is_allowed() {
        let done = Some(Answer::Done);
        assert_eq!(allowed(&[(put(1, 5), done)], &[(1, 5), (1, 4), (1, 6), (2, 5)]), [false, true, false, false, false]);
        assert_eq!(allowed(&[(put(1, 5), done), (put(2, 3), done)], &[(1, 5), (2, 5), (2, 3)]), [false, false, true, false]);
    }

    #[test]
    fn what_is_under_way_may_have_happened() {
        let done = Some(Answer::Done);
        assert_eq!(allowed(&[(put(1, 5), done), (put(2, 7), None)], &[(1, 5), (2, 7), (1, 7), (2, 5)]), [false, true, true, true, false]);
        assert_eq!(allowed(&[(put(1, 5), done), (delete(6), None)], &[(1, 5)]), [true, true]);
        assert_eq!(allowed(&[(put(1, 5), done), (delete(5), None)], &[(1, 5)]), [false, true]);
        assert_eq!(allowed(&[(put(1, 5), Some(Answer::Failed))], &[(1, 5)]), [true, true]);
    }

    #[test]
    fn what_is_deleted_stays_away() {
        let (done, gone) = (Some(Answer::Done), Some(Answer::Gone));
        assert_eq!(allowed(&[(put(1, 5), done), (delete(6), gone)], &[(1, 5)]), [true, false]);
        assert_eq!(allowed(&[(put(1, 5), done), (delete(6), gone), (put(2, 1), done)], &[(2, 1), (2, 5)]), [false, true, false]);
        assert_eq!(allowed(&[(put(1, 5), None), (delete(6), Some(Answer::Absent))], &[(1, 5)]), [true, true]);
        let mut ledger = ledger(&[(put(1, 5), None)]);
        ledger.settle(&Snapshot::new());
        assert_eq!(ledger.judge(&Snapshot::from([(0, (1, 5))])).len(), 1, "what was gone once must not come back");
    }
}
