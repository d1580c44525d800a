//! What happens in a cluster, told to whoever listens in this process.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::channel::mpsc;
use futures::stream::{Stream, StreamExt};

use super::{Engine, NodeChange};
use crate::id::{BucketId, ObjectKey, VersionId};
use crate::port::Object;

/// Events kept for a listener that is slow.
const BACKLOG: usize = 1024;

/// Something that has happened through this engine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An object became visible: by a put, a copy, a completed upload, a rename or a restore.
    ObjectCreated {
        /// Its bucket.
        bucket: BucketId,
        /// Its key.
        key: ObjectKey,
        /// This version.
        version: VersionId,
        /// Its size.
        size_bytes: u64,
    },
    /// An object was deleted, or is now under another key.
    ObjectDeleted {
        /// Its bucket.
        bucket: BucketId,
        /// Its key.
        key: ObjectKey,
    },
    /// A node changed its state.
    NodeChanged(NodeChange),
    /// So many events were not told, since the listener took none.
    Missed(u64),
}

impl Event {
    /// Its name for clients: `file.created`, `file.deleted`, `cluster.node`, `missed`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ObjectCreated { .. } => "file.created",
            Self::ObjectDeleted { .. } => "file.deleted",
            Self::NodeChanged(_) => "cluster.node",
            Self::Missed(_) => "missed",
        }
    }
}

/// Who listens.
#[derive(Default)]
pub(super) struct Listeners(Mutex<Vec<Listener>>);

struct Listener {
    events: mpsc::Sender<Event>,
    missed: Arc<AtomicU64>,
}

impl Listener {
    /// False when nobody listens any more.
    fn tell(&mut self, event: &Event) -> bool {
        // Nothing is told after what was missed until that was heard.
        if self.missed.load(Ordering::Acquire) > 0 || self.events.try_send(event.clone()).is_err() {
            self.missed.fetch_add(1, Ordering::AcqRel);
        }
        !self.events.is_closed()
    }
}

/// The events of an engine as they happen: a stream without end. Those of one key that is written by several at once may be told in another order than
/// they happened; what is there says the metadata.
pub struct Events {
    heard: mpsc::Receiver<Event>,
    missed: Arc<AtomicU64>,
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let next = self.heard.poll_next_unpin(context);
        if next.is_pending() {
            let missed = self.missed.swap(0, Ordering::AcqRel);
            if missed > 0 {
                return Poll::Ready(Some(Event::Missed(missed)));
            }
        }
        next
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

fn listener(backlog: usize) -> (Listener, Events) {
    let (events, heard) = mpsc::channel(backlog);
    let missed = Arc::<AtomicU64>::default();
    (Listener { events, missed: missed.clone() }, Events { heard, missed })
}

impl Engine {
    /// What happens through this engine from now on; other processes of the cluster tell of their own. A listener that is slow misses events and
    /// hears how many. Dropping the stream ends it.
    pub fn events(&self) -> Events {
        let (listener, events) = listener(BACKLOG);
        self.listeners.0.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
        events
    }

    pub(super) fn tell(&self, event: impl FnOnce() -> Event) {
        let mut listeners = self.listeners.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !listeners.is_empty() {
            let event = event();
            listeners.retain_mut(|listener| listener.tell(&event));
        }
    }

    /// Tells of what a commit made visible.
    pub(super) fn tell_created(&self, bucket: BucketId, object: &Object) {
        let head = &object.head;
        self.tell(|| Event::ObjectCreated { bucket, key: head.key.clone(), version: head.version, size_bytes: head.size_bytes });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_slow_listener_hears_how_much_it_missed_even_when_nothing_follows() {
        let (mut listener, mut events) = listener(2);
        let event = |n: u8| Event::ObjectDeleted { bucket: BucketId([n; 16]), key: ObjectKey::new("key").unwrap() };
        let next = |events: &mut Events| events.next().now_or_never().flatten();
        for n in 0..8 {
            assert!(listener.tell(&event(n)));
        }
        let mut heard = 0;
        let missed = loop {
            match next(&mut events) {
                Some(Event::Missed(missed)) => break missed,
                Some(told) => assert_eq!(told, event(heard)),
                None => panic!("nobody said what was missed"),
            }
            heard += 1;
        };
        assert_eq!(u64::from(heard) + missed, 8);
        assert!(listener.tell(&event(9)));
        assert_eq!(next(&mut events), Some(event(9)));
        assert_eq!(next(&mut events), None);
        drop(events);
        assert!(!listener.tell(&event(10)));
    }
}
