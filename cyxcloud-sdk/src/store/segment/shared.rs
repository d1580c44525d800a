//! What the threads of a store share.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use cyxcloud_core::Error;
use cyxcloud_core::port::Space;

use super::SegmentOptions;
use super::index::Index;
use super::spares::Spares;
use crate::store::media::{available_bytes, is_full, lock, space};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) root: PathBuf,
    pub(super) options: SegmentOptions,
    pub(super) store: [u8; 16],
    index: RwLock<Index>,
    /// A write or sync failed: what the kernel holds can no longer be trusted, so nothing more is acknowledged.
    failed: AtomicBool,
    /// The next segments, ready.
    pub(super) spares: Mutex<Spares>,
    /// What fits into the segment that is being written.
    pub(super) active_free_bytes: AtomicU64,
    pub(super) next_number: AtomicU32,
    pub(super) next_life: AtomicU64,
    pub(super) next_sequence: AtomicU64,
    pub(super) upkeep: Upkeep,
    /// One at a time frees, punches, compacts or wipes.
    pub(super) collecting: Mutex<()>,
    /// Segments open for reading.
    pub(super) readers: Mutex<HashMap<u32, Arc<File>>>,
    /// Syncs fail: for tests.
    #[cfg(test)]
    pub(super) sabotage: AtomicBool,
}

impl Shared {
    pub(super) fn new(root: PathBuf, options: SegmentOptions, store: [u8; 16]) -> Self {
        Self {
            root,
            options,
            store,
            index: RwLock::default(),
            failed: AtomicBool::new(false),
            spares: Mutex::default(),
            active_free_bytes: AtomicU64::new(0),
            next_number: AtomicU32::new(1),
            next_life: AtomicU64::new(1),
            next_sequence: AtomicU64::new(1),
            upkeep: Upkeep::default(),
            collecting: Mutex::default(),
            readers: Mutex::default(),
            #[cfg(test)]
            sabotage: AtomicBool::new(false),
        }
    }

    pub(super) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// After a failed write or sync the kernel may have dropped what was to be written and call the next sync a success: stop for good.
    pub(super) fn or_fail<T>(&self, done: io::Result<T>) -> io::Result<T> {
        #[cfg(test)]
        let done = if self.sabotage.load(Ordering::Acquire) { Err(io::Error::other("sabotage")) } else { done };
        if done.as_ref().is_err_and(|e| !is_full(e)) {
            self.fail();
        }
        done
    }

    pub(super) fn closed(&self) -> Error {
        Error::unavailable(format!("store {} is closed", self.root.display()))
    }

    /// Room in segments counts as free: it is only reserved.
    pub(super) fn space(&self) -> Space {
        let in_segments = self.active_free_bytes.load(Ordering::Relaxed).saturating_add(lock(&self.spares).free_bytes());
        let on_disk = available_bytes(&self.root).saturating_sub(self.options.reserve_bytes).saturating_add(in_segments);
        space(self.options.capacity_bytes, self.index().used_bytes(), on_disk)
    }
}

/// Wakes the thread that collects space.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    state: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wanted {
    work: bool,
    spare: bool,
    stop: bool,
}

impl Upkeep {
    /// There is something to collect.
    pub(super) fn wake(&self) {
        self.set(|wanted| &mut wanted.work);
    }

    /// A spare segment will be needed soon.
    pub(super) fn want_spare(&self) {
        self.set(|wanted| &mut wanted.spare);
    }

    pub(super) fn stop(&self) {
        self.set(|wanted| &mut wanted.stop);
    }

    pub(super) fn is_stopped(&self) -> bool {
        lock(&self.state).stop
    }

    fn set(&self, field: impl FnOnce(&mut Wanted) -> &mut bool) {
        if !std::mem::replace(field(&mut lock(&self.state)), true) {
            self.changed.notify_all();
        }
    }

    /// Waits until something is wanted, or for `timeout` if there is one. Whether a spare is wanted; None when it is time to stop.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> Option<bool> {
        let idle = |wanted: &mut Wanted| !(wanted.work || wanted.spare || wanted.stop);
        let state = lock(&self.state);
        let mut state = match timeout {
            Some(timeout) => self.changed.wait_timeout_while(state, timeout, idle).unwrap_or_else(PoisonError::into_inner).0,
            None => self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner),
        };
        state.work = false;
        let spare = std::mem::take(&mut state.spare);
        (!state.stop).then_some(spare)
    }

    /// Waits for `pause`; false when it is time to stop.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let state = lock(&self.state);
        let (state, _) = self.changed.wait_timeout_while(state, pause, |wanted| !wanted.stop).unwrap_or_else(PoisonError::into_inner);
        !state.stop
    }
}
