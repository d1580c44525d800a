//! What happens in a cluster, told to whoever listens in this process.

use std::sync::{Mutex, PoisonError};

use futures::channel::mpsc;

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
    missed: u64,
}

impl Listener {
    /// False when nobody listens any more.
    fn tell(&mut self, event: &Event) -> bool {
        if self.missed > 0 && self.events.try_send(Event::Missed(self.missed)).is_ok() {
            self.missed = 0;
        }
        // What was missed is told before what comes after it.
        if self.missed > 0 || self.events.try_send(event.clone()).is_err() {
            self.missed += 1;
        }
        !self.events.is_closed()
    }
}

impl Engine {
    /// What happens through this engine from now on; other processes of the cluster tell of their own. A listener that is slow misses events and
    /// hears how many. Dropping the receiver ends it.
    pub fn events(&self) -> mpsc::Receiver<Event> {
        let (events, heard) = mpsc::channel(BACKLOG);
        self.listeners.0.lock().unwrap_or_else(PoisonError::into_inner).push(Listener { events, missed: 0 });
        heard
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
    use futures::{FutureExt, StreamExt};

    use super::*;

    #[test]
    fn a_slow_listener_hears_how_much_it_missed() {
        let (events, heard) = mpsc::channel(2);
        let mut listener = Listener { events, missed: 0 };
        for _ in 0..6 {
            assert!(listener.tell(&Event::Missed(0)));
        }
        let mut heard = heard;
        let next = |heard: &mut mpsc::Receiver<Event>| heard.next().now_or_never().flatten();
        let before = 6 - listener.missed;
        for _ in 0..before {
            assert_eq!(next(&mut heard), Some(Event::Missed(0)));
        }
        let missed = listener.missed;
        assert!(listener.tell(&Event::Missed(0)));
        assert_eq!(next(&mut heard), Some(Event::Missed(missed)));
        assert_eq!(next(&mut heard), Some(Event::Missed(0)));
        drop(heard);
        assert!(!listener.tell(&Event::Missed(0)));
    }
}
