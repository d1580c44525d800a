//! Whose the metadata in a directory are.

use std::io;
use std::path::Path;

use cyxcloud_core::{Error, Result};

use crate::directory_lock::DirectoryLock;

/// Says that this process uses the metadata in `directory` beside others that do, for as long as the lock is kept. Whoever has the directory
/// to himself, as [`crate::Cluster`] does, may end the leases of writers that are gone; beside others nobody may.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Conflict`] when somebody has it to himself, [`cyxcloud_core::ErrorKind::Internal`] when it cannot be used.
pub fn share_directory(directory: &Path) -> Result<DirectoryLock> {
    lock(directory, DirectoryLock::share)
}

/// Takes the metadata in `directory` for this process alone.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Conflict`] when somebody uses it, [`cyxcloud_core::ErrorKind::Internal`] when it cannot be used.
pub fn take_directory(directory: &Path) -> Result<DirectoryLock> {
    lock(directory, DirectoryLock::take)
}

fn lock(directory: &Path, how: impl FnOnce(&Path) -> io::Result<Option<DirectoryLock>>) -> Result<DirectoryLock> {
    let failed = |e: io::Error| Error::internal(format!("cannot use {} as data directory: {e}", directory.display())).with_source(e);
    std::fs::create_dir_all(directory).map_err(failed)?;
    how(&directory.join("lock")).map_err(failed)?.ok_or_else(|| {
        let path = directory.display();
        Error::conflict(format!("{path} is in use by another process; stop it or choose another directory"))
    })
}
