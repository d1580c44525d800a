//! Drivers of [`cyxcloud_core::port::Meta`]: where the cluster's metadata live.

mod sqlite;

pub use sqlite::{SqliteMeta, WriteStats};

use std::fs::{File, TryLockError};
use std::path::Path;

use cyxcloud_core::{Error, Result};

/// Says that this process uses the metadata in `directory` beside others that do, for as long as the file is kept open. Whoever has the directory
/// to himself, as [`crate::Cluster`] does, may end the leases of writers that are gone; beside others nobody may.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Conflict`] when somebody has it to himself, [`cyxcloud_core::ErrorKind::Internal`] when it cannot be used.
pub fn share_directory(directory: &Path) -> Result<File> {
    lock(directory, File::try_lock_shared)
}

/// Takes the metadata in `directory` for this process alone.
pub(crate) fn take_directory(directory: &Path) -> Result<File> {
    lock(directory, File::try_lock)
}

fn lock(directory: &Path, how: impl FnOnce(&File) -> std::result::Result<(), TryLockError>) -> Result<File> {
    let failed = |e: std::io::Error| Error::internal(format!("cannot use {} as data directory: {e}", directory.display())).with_source(e);
    std::fs::create_dir_all(directory).map_err(failed)?;
    let file = File::create(directory.join("lock")).map_err(failed)?;
    match how(&file) {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let path = directory.display();
            Err(Error::conflict(format!("{path} is in use by another process; stop it or choose another directory")))
        }
        Err(TryLockError::Error(e)) => Err(failed(e)),
    }
}
