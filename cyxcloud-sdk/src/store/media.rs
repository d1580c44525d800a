//! What the stores on a file system share: how room is counted, what errors mean, where blocking work runs.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cyxcloud_core::port::Space;
use cyxcloud_core::{Error, ErrorKind, Result};

/// Bytes that anybody may still write to the file system of `root`; zero when it cannot be asked.
pub(super) fn available_bytes(root: &Path) -> u64 {
    rustix::fs::statvfs(root).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize))
}

/// Room of a store that holds `used_bytes`, where `on_disk_bytes` more can be written whatever its capacity.
pub(super) fn space(capacity_bytes: u64, used_bytes: u64, on_disk_bytes: u64) -> Space {
    let free_bytes = capacity_bytes.saturating_sub(used_bytes).min(on_disk_bytes);
    Space { capacity_bytes: capacity_bytes.min(used_bytes.saturating_add(on_disk_bytes)), used_bytes, free_bytes }
}

/// Makes what was created, renamed or removed in `path` durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

/// Reads what there is of `offset..offset + len` into `buffer`, in place of what was there.
pub(super) fn read_at(file: &File, buffer: &mut Vec<u8>, offset: u64, len: usize) -> io::Result<()> {
    // Into memory that nobody has cleared first: clearing cost as much as reading.
    buffer.clear();
    buffer.reserve_exact(len);
    while buffer.len() < len {
        let at = offset + buffer.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(buffer), at) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => {
                buffer.clear();
                return Err(e.into());
            }
        }
    }
    // The allocator may have given more room than was asked for.
    buffer.truncate(len);
    Ok(())
}

/// A mutex whose data stays whole whatever panics under it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether space or quota ran out, which passes and says nothing about the media.
pub(super) fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What callers see of a failed operation on the store in `root`.
pub(super) fn broken(root: &Path, e: io::Error) -> Error {
    let kind = if is_full(&e) { ErrorKind::Full } else { ErrorKind::Internal };
    Error::new(kind, format!("store {}: {e}", root.display())).with_source(e)
}

/// What callers see of a store after a failed sync.
pub(super) fn stopped(root: &Path) -> Error {
    Error::internal(format!("{} failed to sync; restart the node after checking its disk", root.display()))
}

/// Runs what waits for the disk where it holds up no async thread.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(Error::internal("a store operation panicked").with_source(e)))
}
