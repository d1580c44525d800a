//! A directory belongs to one process at a time.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// The lock of a directory, held until dropped.
///
/// It is let go explicitly: closing the file is not enough while a process that is just being started has inherited it, and a program that
/// starts others would now and then find its own directory in use.
#[derive(Debug)]
pub struct DirectoryLock(File);

impl DirectoryLock {
    /// Takes the lock file `path`, made where it is missing, for this process alone. None when another process has it.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        Self::lock(path, File::try_lock)
    }

    /// Takes it beside others who share it. None when somebody has it to himself.
    pub(crate) fn share(path: &Path) -> io::Result<Option<Self>> {
        Self::lock(path, File::try_lock_shared)
    }

    fn lock(path: &Path, how: impl FnOnce(&File) -> Result<(), TryLockError>) -> io::Result<Option<Self>> {
        let file = File::create(path)?;
        match how(&file) {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // What fails here is closed next.
        let _ = self.0.unlock();
    }
}

#[test]
fn an_inherited_file_does_not_hold_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lock");
    let lock = DirectoryLock::take(&path).unwrap().unwrap();
    assert!(DirectoryLock::take(&path).unwrap().is_none());
    let _inherited = lock.0.try_clone().unwrap();
    drop(lock);
    assert!(DirectoryLock::take(&path).unwrap().is_some());
}
