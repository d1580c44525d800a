//! Notes and counters.

use bytes::Bytes;

use super::*;
use crate::port::{MAX_NOTE_BYTES, NoteName};

const NOTE_MS: u64 = 1_000;

fn name(id: &str) -> NoteName {
    NoteName::new("test", id.as_bytes())
}

fn some(value: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(value.as_bytes()))
}

async fn once(meta: &Fixture, id: &str, value: &'static str) -> Option<Bytes> {
    meta.note_once(name(id), value.into(), NOTE_MS).await.unwrap()
}

/// The first one stays, with its value and its time.
pub async fn a_note_is_put_once(meta: Fixture) {
    assert_eq!(meta.note(name("a")).await.unwrap(), None);
    assert_eq!(once(&meta, "a", "first").await, None);
    meta.advance(NOTE_MS - 1);
    assert_eq!(once(&meta, "a", "second").await, some("first"));
    assert_eq!(meta.note(name("a")).await.unwrap(), some("first"));
    assert_eq!(once(&meta, "b", "").await, None);
    assert_eq!(once(&meta, "b", "second").await, some(""));
    meta.advance(1);
    assert_eq!(once(&meta, "a", "third").await, None, "the second gave it no more time");
    assert_eq!(meta.note(name("a")).await.unwrap(), some("third"));
}

/// With its value and its time, be it longer or shorter.
pub async fn a_note_is_replaced(meta: Fixture) {
    let all: Bytes = (0..=255).collect::<Vec<u8>>().into();
    meta.put_note(name("a"), "first".into(), NOTE_MS).await.unwrap();
    meta.put_note(name("a"), all.clone(), 2 * NOTE_MS).await.unwrap();
    meta.advance(NOTE_MS);
    assert_eq!(meta.note(name("a")).await.unwrap(), Some(all.clone()));
    assert_eq!(once(&meta, "a", "second").await, Some(all));
    meta.put_note(name("a"), "short".into(), 10).await.unwrap();
    meta.advance(10);
    assert_eq!(meta.note(name("a")).await.unwrap(), None);
}

/// And then it is new again.
pub async fn a_note_is_taken_once(meta: Fixture) {
    assert_eq!(meta.take_note(name("a")).await.unwrap(), None);
    meta.put_note(name("a"), "ticket".into(), NOTE_MS).await.unwrap();
    meta.put_note(name("b"), "other".into(), NOTE_MS).await.unwrap();
    assert_eq!(meta.take_note(name("a")).await.unwrap(), some("ticket"));
    assert_eq!(meta.take_note(name("a")).await.unwrap(), None);
    assert_eq!(meta.note(name("a")).await.unwrap(), None);
    assert_eq!(once(&meta, "a", "again").await, None);
    assert_eq!(meta.take_note(name("a")).await.unwrap(), some("again"));
    assert_eq!(meta.note(name("b")).await.unwrap(), some("other"));
}

/// By the store's clock, and at once.
pub async fn a_note_is_gone_when_its_time_is_over(meta: Fixture) {
    for id in ["a", "b", "c"] {
        assert_eq!(once(&meta, id, "there").await, None);
    }
    meta.advance(NOTE_MS - 1);
    assert_eq!(meta.note(name("a")).await.unwrap(), some("there"));
    meta.advance(1);
    assert_eq!(meta.note(name("a")).await.unwrap(), None);
    assert_eq!(meta.take_note(name("b")).await.unwrap(), None);
    assert_eq!(once(&meta, "c", "new").await, None);
    assert_eq!(meta.note(name("c")).await.unwrap(), some("new"));
}

/// Longer than anybody's clock.
pub async fn a_note_may_live_forever(meta: Fixture) {
    meta.put_note(name("a"), "put".into(), u64::MAX).await.unwrap();
    assert_eq!(meta.note_once(name("b"), "once".into(), u64::MAX).await.unwrap(), None);
    assert_eq!(meta.count(name("a"), 1, u64::MAX).await.unwrap(), 1);
    meta.advance(100 * 365 * 24 * 3_600_000);
    assert_eq!(meta.note(name("a")).await.unwrap(), some("put"));
    assert_eq!(meta.note_once(name("b"), "again".into(), 1).await.unwrap(), some("once"));
    assert_eq!(meta.count(name("a"), 1, 1).await.unwrap(), 2);
    assert_eq!(meta.prune_notes(10).await.unwrap(), 0);
}

/// It is over as it begins; and so ends what was there.
pub async fn a_note_without_time_is_no_note(meta: Fixture) {
    for _ in 0..2 {
        assert_eq!(meta.note_once(name("a"), "none".into(), 0).await.unwrap(), None);
    }
    meta.put_note(name("b"), "there".into(), NOTE_MS).await.unwrap();
    meta.put_note(name("b"), "gone".into(), 0).await.unwrap();
    assert_eq!(meta.note(name("b")).await.unwrap(), None);
    assert_eq!(meta.count(name("a"), 3, 0).await.unwrap(), 3);
    assert_eq!(meta.count(name("a"), 4, 0).await.unwrap(), 4);
}

/// The longest is kept whole; a longer one changes nothing.
pub async fn values_are_bounded(meta: Fixture) {
    let longest: Bytes = vec![b':'; MAX_NOTE_BYTES].into();
    let longer: Bytes = vec![7; MAX_NOTE_BYTES + 1].into();
    refused(meta.note_once(name("a"), longer.clone(), NOTE_MS).await, ErrorKind::Invalid);
    assert_eq!(meta.note_once(name("a"), longest.clone(), NOTE_MS).await.unwrap(), None);
    refused(meta.note_once(name("a"), longer.clone(), NOTE_MS).await, ErrorKind::Invalid);
    refused(meta.put_note(name("a"), longer, NOTE_MS).await, ErrorKind::Invalid);
    assert_eq!(meta.note(name("a")).await.unwrap(), Some(longest.clone()));
    meta.put_note(name("b"), longest.clone(), NOTE_MS).await.unwrap();
    assert_eq!(meta.take_note(name("b")).await.unwrap(), Some(longest));
}

/// However kind and id are cut.
pub async fn kinds_do_not_collide(meta: Fixture) {
    for (kind, id) in [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc")] {
        assert_eq!(meta.note_once(NoteName::new(kind, id.as_bytes()), "x".into(), NOTE_MS).await.unwrap(), None, "{kind} {id}");
    }
}

/// The others see what he put, whether nothing was there before or something that is over.
pub async fn of_many_who_note_at_once_one_is_first(meta: Fixture) {
    for _ in 0..3 {
        let notes = (0..32_u8).map(|n| meta.note_once(name("a"), vec![n].into(), NOTE_MS));
        let answers: Vec<_> = futures::future::join_all(notes).await.into_iter().map(Result::unwrap).collect();
        let first: Vec<_> = (0..32_u8).filter(|n| answers[usize::from(*n)].is_none()).collect();
        assert_eq!(first.len(), 1, "{answers:?}");
        let there = Some(Bytes::from(first));
        assert!(answers.iter().flatten().all(|seen| Some(seen) == there.as_ref()), "{answers:?}");
        assert_eq!(meta.note(name("a")).await.unwrap(), there);
        meta.advance(NOTE_MS);
    }
}

/// The others get nothing.
pub async fn of_many_who_take_at_once_one_gets_it(meta: Fixture) {
    for _ in 0..3 {
        meta.put_note(name("a"), "ticket".into(), NOTE_MS).await.unwrap();
        let taken = futures::future::join_all((0..32).map(|_| meta.take_note(name("a")))).await;
        let taken: Vec<_> = taken.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(taken, ["ticket"]);
    }
}

/// The window is that of the first who counts.
pub async fn a_counter_counts_and_begins_anew(meta: Fixture) {
    assert_eq!(meta.count(name("a"), 5, NOTE_MS).await.unwrap(), 5);
    assert_eq!(meta.count(name("b"), u32::MAX, NOTE_MS).await.unwrap(), u64::from(u32::MAX));
    meta.advance(NOTE_MS - 1);
    assert_eq!(meta.count(name("a"), 0, 10 * NOTE_MS).await.unwrap(), 5);
    assert_eq!(meta.count(name("a"), 2, 10 * NOTE_MS).await.unwrap(), 7);
    assert_eq!(meta.count(name("b"), u32::MAX, NOTE_MS).await.unwrap(), 2 * u64::from(u32::MAX));
    meta.advance(1);
    assert_eq!(meta.count(name("a"), 1, NOTE_MS).await.unwrap(), 1);
    assert_eq!(meta.count(name("a"), 1, NOTE_MS).await.unwrap(), 2);
}

/// Neither is seen as the other.
pub async fn counters_are_no_notes(meta: Fixture) {
    assert_eq!(meta.count(name("a"), 3, NOTE_MS).await.unwrap(), 3);
    assert_eq!(meta.note(name("a")).await.unwrap(), None);
    assert_eq!(once(&meta, "a", "note").await, None);
    assert_eq!(meta.count(name("a"), 1, NOTE_MS).await.unwrap(), 4);
    assert_eq!(meta.take_note(name("a")).await.unwrap(), some("note"));
    assert_eq!(meta.count(name("a"), 1, NOTE_MS).await.unwrap(), 5);
}

/// Each sum is answered once.
pub async fn counts_at_once_are_exact(meta: Fixture) {
    let counts = futures::future::join_all((0..50).map(|_| meta.count(name("a"), 2, NOTE_MS))).await;
    let mut sums: Vec<_> = counts.into_iter().map(Result::unwrap).collect();
    sums.sort_unstable();
    assert_eq!(sums, (1..=50).map(|n| 2 * n).collect::<Vec<u64>>());
}

/// Only that, and no more than asked for. A store that forgets by itself has nothing to prune.
pub async fn what_is_over_is_pruned(meta: Fixture) {
    for id in ["a", "b", "c"] {
        assert_eq!(once(&meta, id, "short").await, None);
        meta.count(name(id), 1, NOTE_MS).await.unwrap();
    }
    meta.put_note(name("long"), "long".into(), 2 * NOTE_MS).await.unwrap();
    meta.count(name("long"), 1, 2 * NOTE_MS).await.unwrap();
    assert_eq!(meta.prune_notes(10).await.unwrap(), 0);
    meta.advance(NOTE_MS);
    let first = meta.prune_notes(4).await.unwrap();
    assert!(first == 4 || first == 0, "{first}");
    assert_eq!(meta.prune_notes(4).await.unwrap(), first / 2);
    assert_eq!(meta.prune_notes(4).await.unwrap(), 0);
    assert_eq!(meta.note(name("long")).await.unwrap(), some("long"));
    assert_eq!(meta.count(name("long"), 1, NOTE_MS).await.unwrap(), 2);
}

/// Not since later than now, and no later as time goes on.
pub async fn notes_are_remembered_since(meta: Fixture) {
    let since = meta.notes_since().await.unwrap();
    assert!(since <= meta.now(), "{since:?}");
    assert_eq!(once(&meta, "a", "note").await, None);
    meta.advance(NOTE_MS);
    assert_eq!(meta.notes_since().await.unwrap(), since);
}
