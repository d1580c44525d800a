//! A directory belongs to the kind of store that made it, which its identity file names, and to one process at a time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use cyxcloud_core::{Error, Result};

use super::identity::Kind;
use super::media::{broken, sync_directory};
use crate::directory_lock::DirectoryLock;

/// A directory with this file in it holds the store that the file names.
const IDENTITY_FILE: &str = "STORE";

/// Refuses a directory that another kind of store than files has made.
pub(super) fn refuse_identified(root: &Path) -> Result<()> {
    let identity = root.join(IDENTITY_FILE);
    if !identity.exists() {
        return Ok(());
    }
    let kind = fs::read_to_string(identity).ok().and_then(|text| Kind::named_in(&text));
    Err(held(root, kind.map_or("different", |kind| kind.name)))
}

/// Makes the directories of a store, durably, locks them and reads or makes the store's id.
pub(super) fn open(root: &Path, kind: Kind) -> Result<([u8; 16], DirectoryLock)> {
    let failed = |e: io::Error| broken(root, e);
    if root.join("shards").exists() {
        return Err(held(root, "files"));
    }
    // Before anything is made: another's directory is left as it was.
    let other = fs::read_to_string(root.join(IDENTITY_FILE)).ok().and_then(|text| Kind::named_in(&text));
    if let Some(other) = other.filter(|other| other.name != kind.name) {
        return Err(held(root, other.name));
    }
    fs::create_dir_all(root.join(kind.content)).map_err(failed)?;
    let lock = DirectoryLock::take(&root.join("lock")).map_err(failed)?.ok_or_else(|| {
        let root = root.display();
        Error::conflict(format!("{root} is in use by another process; stop it or choose another directory"))
    })?;
    sync_directory(root).map_err(failed)?;
    root.parent().map_or(Ok(()), sync_directory).map_err(failed)?;
    Ok((identity(root, kind)?, lock))
}

/// Writes the identity file, durably.
pub(super) fn write_identity(root: &Path, kind: Kind, store: [u8; 16]) -> io::Result<()> {
    let new = root.join("STORE.new");
    let mut file = File::create(&new)?;
    file.write_all(kind.encode(store).as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, root.join(IDENTITY_FILE))?;
    sync_directory(root)
}

/// The store's id; a new one for a directory without content.
fn identity(root: &Path, kind: Kind) -> Result<[u8; 16]> {
    let failed = |e: io::Error| broken(root, e);
    let file = root.join(IDENTITY_FILE);
    match fs::read_to_string(&file) {
        // Another kind may have come since nobody held the lock.
        Ok(text) if let Some(other) = Kind::named_in(&text).filter(|other| other.name != kind.name) => Err(held(root, other.name)),
        Ok(text) => kind.decode(&text).map_err(|e| Error::new(e.kind(), format!("{}: {e}", file.display()))),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => kind.decode(""),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if fs::read_dir(root.join(kind.content)).map_err(failed)?.next().is_some() {
                let (file, content) = (file.display(), kind.content);
                return Err(Error::corrupt(format!(
                    "{file} is missing beside {content}; restore it, or move the directory away and let repair refill the node"
                )));
            }
            let mut store = [0; 16];
            getrandom::fill(&mut store).map_err(|e| Error::internal(format!("the system has no randomness: {e}")))?;
            write_identity(root, kind, store).map_err(failed)?;
            Ok(store)
        }
        Err(e) => Err(failed(e)),
    }
}

fn held(root: &Path, name: &str) -> Error {
    let root = root.display();
    Error::invalid(format!("{root} holds a {name} store; open it as such, or choose another directory"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::identity::{ROCKSDB, SEGMENT};
    use cyxcloud_core::ErrorKind;

    #[test]
    fn a_directory_of_another_kind_is_refused_and_left_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path(), ROCKSDB).unwrap());
        let refused = [open(directory.path(), SEGMENT).unwrap_err(), refuse_identified(directory.path()).unwrap_err()];
        for refused in refused {
            assert!(refused.kind() == ErrorKind::Invalid && refused.to_string().contains("a rocksdb store"), "{refused}");
        }
        assert!(!directory.path().join("segments").exists());
    }
}
