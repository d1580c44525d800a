//! I2 and I3: what clients were told about a key fits together. Every operation is an interval; one whose outcome nobody learned may take
//! effect at any later time. A value may be read when it could be the newest: its write began before the read ended, and nothing
//! acknowledged lies wholly between the two.

use std::collections::BTreeMap;

/// A key of a bucket, by numbers.
pub(in crate::testing::sim) type Key = (u8, u16);

/// One write or delete of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::testing::sim) struct Write {
    /// Number of the value written; None for a delete and for the beginning.
    pub(in crate::testing::sim) value: Option<u32>,
    begun: u64,
    /// When it had returned, or had certainly landed.
    ended: Option<u64>,
    /// It was acknowledged.
    acked: bool,
}

/// Names a write.
#[derive(Clone, Copy, Debug)]
pub(in crate::testing::sim) struct WriteId(Key, usize);

#[derive(Debug, Default)]
struct OfKey {
    writes: Vec<Option<Write>>,
    /// Acknowledged writes on the condition that nothing is there.
    created: usize,
    /// Acknowledged writes and deletes on the condition that this value is there.
    succeeded: BTreeMap<u32, usize>,
}

/// What clients know.
#[derive(Debug, Default)]
pub(in crate::testing::sim) struct History {
    clock: u64,
    keys: BTreeMap<Key, OfKey>,
}

impl History {
    /// A moment after all moments before.
    pub(in crate::testing::sim) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    pub(in crate::testing::sim) fn begin(&mut self, key: Key, value: Option<u32>) -> WriteId {
        let begun = self.tick();
        let writes = &mut self.keys.entry(key).or_default().writes;
        writes.push(Some(Write { value, begun, ended: None, acked: false }));
        WriteId(key, writes.len() - 1)
    }

    /// It was acknowledged.
    pub(in crate::testing::sim) fn acked(&mut self, id: WriteId) {
        let now = self.tick();
        let write = self.keys.get_mut(&id.0).and_then(|of| of.writes[id.1].as_mut()).unwrap();
        (write.ended, write.acked) = (Some(now), true);
    }

    /// It certainly did not happen and will not.
    pub(in crate::testing::sim) fn refused(&mut self, id: WriteId) {
        self.tick();
        self.keys.get_mut(&id.0).unwrap().writes[id.1] = None;
    }

    /// Nothing is under way any more: what is unknown has happened by now, or never will.
    pub(in crate::testing::sim) fn settle(&mut self) {
        let now = self.tick();
        let open = self.keys.values_mut().flat_map(|of| of.writes.iter_mut().flatten()).filter(|write| write.ended.is_none());
        open.for_each(|write| write.ended = Some(now));
    }

    /// The values that `key` may have had at some time between `from` and `to`.
    pub(in crate::testing::sim) fn possible(&self, key: Key, from: u64, to: u64) -> Vec<Option<u32>> {
        let start = Write { value: None, begun: 0, ended: Some(0), acked: true };
        let writes: Vec<Write> = self.keys.get(&key).map_or_else(Vec::new, |of| of.writes.iter().flatten().copied().collect());
        let replaced = |write: &Write| {
            let Some(ended) = write.ended else { return false };
            writes.iter().any(|later| later.acked && later.begun > ended && later.ended.is_some_and(|end| end < from))
        };
        let mut values: Vec<_> =
            std::iter::once(&start).chain(&writes).filter(|write| write.begun < to && !replaced(write)).map(|write| write.value).collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    /// A write on the condition that nothing is there was acknowledged. False when there were more of them than could be.
    pub(in crate::testing::sim) fn created(&mut self, key: Key) -> bool {
        let of = self.keys.get_mut(&key).unwrap();
        of.created += 1;
        of.created <= 1 + of.writes.iter().flatten().filter(|write| write.value.is_none()).count()
    }

    /// A write or delete on the condition that `value` is there was acknowledged. False when the value has more successors than it was
    /// ever written.
    pub(in crate::testing::sim) fn succeeded(&mut self, key: Key, value: u32) -> bool {
        let of = self.keys.get_mut(&key).unwrap();
        let successors = of.succeeded.entry(value).or_default();
        *successors += 1;
        *successors <= of.writes.iter().flatten().filter(|write| write.value == Some(value)).count()
    }

    /// All that clients were told is forgotten: the metadata were restored, and this is there.
    pub(in crate::testing::sim) fn restored(&mut self, there: &BTreeMap<Key, u32>) {
        let now = self.tick();
        for (key, of) in &mut self.keys {
            let value = there.get(key).copied();
            let writes = value.map(|value| Some(Write { value: Some(value), begun: now, ended: Some(now), acked: true }));
            *of = OfKey { writes: writes.into_iter().collect(), created: usize::from(value.is_some()), succeeded: BTreeMap::new() };
        }
    }

    /// Every key that was ever written.
    pub(in crate::testing::sim) fn keys(&self) -> Vec<Key> {
        self.keys.keys().copied().collect()
    }

    /// What happened to a key, for people.
    pub(in crate::testing::sim) fn tell(&self, key: Key) -> String {
        let Some(of) = self.keys.get(&key) else { return "nothing was ever written there".into() };
        let line = |write: &Write| {
            let what = write.value.map_or_else(|| "delete".to_owned(), |value| format!("write {value:x}"));
            let until = write.ended.map_or_else(String::new, |ended| ended.to_string());
            format!("{what} {}..{until}{}", write.begun, if write.acked { "" } else { " unknown" })
        };
        of.writes.iter().flatten().map(line).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledged_write_ends_what_came_before() {
        let mut history = History::default();
        let key = (0, 0);
        let first = history.begin(key, Some(1));
        history.acked(first);
        let second = history.begin(key, Some(2));
        let from = history.tick();
        assert_eq!(history.possible(key, from, from + 1), [Some(1), Some(2)]);
        history.acked(second);
        let from = history.tick();
        assert_eq!(history.possible(key, from, from + 1), [Some(2)]);
    }

    #[test]
    fn an_unknown_write_may_take_effect_late() {
        let mut history = History::default();
        let key = (0, 0);
        history.begin(key, Some(1));
        let delete = history.begin(key, None);
        history.acked(delete);
        let from = history.tick();
        assert_eq!(history.possible(key, from, from + 1), [None, Some(1)]);
        history.settle();
        let delete = history.begin(key, None);
        history.acked(delete);
        let from = history.tick();
        assert_eq!(history.possible(key, from, from + 1), [None]);
    }

    #[test]
    fn conditions_are_counted() {
        let mut history = History::default();
        let key = (0, 0);
        let write = history.begin(key, Some(1));
        history.acked(write);
        assert!(history.created(key) && !history.created(key));
        assert!(history.succeeded(key, 1) && !history.succeeded(key, 1));
    }
}
