//! A directory belongs to the kind of store that made it, which its identity file names, and to one process at a time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use cyxcloud_core::id::NodeId;
use cyxcloud_core::{Error, Result};

use super::media::{broken, sync_directory};
use crate::directory_lock::DirectoryLock;

/// A directory with this file in it holds the store that the file names.
const IDENTITY_FILE: &str = "STORE";

/// A kind of store, as its directory knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    name: &'static str,
    version: u32,
    /// The directory under the root with what is stored.
    content: &'static str,
}

pub(super) const SEGMENT: Kind = Kind { name: "segment", version: 1, content: "segments" };
/// Known in every build, so that every build says what it refuses to open.
pub(super) const ROCKSDB: Kind = Kind { name: "rocksdb", version: 1, content: "rocksdb" };

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

impl Kind {
    fn first_line(self) -> String {
        format!("cyxcloud {} store", self.name)
    }

    /// The kind that the text of an identity file names, if it is known.
    fn named_in(text: &str) -> Option<Self> {
        let line = text.lines().next()?;
        [SEGMENT, ROCKSDB].into_iter().find(|kind| kind.first_line() == line)
    }

    /// The text of the identity file: kind, version, store id.
    fn encode(self, store: [u8; 16]) -> String {
        let hex: String = store.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}\nversion {}\nid {hex}\n", self.first_line(), self.version)
    }

    /// Reads an identity file of this kind: Invalid for a version that is unknown, Corrupt for anything else.
    fn decode(self, text: &str) -> Result<[u8; 16]> {
        let bad = || {
            Error::corrupt(
                "the identity file is damaged; restore it from a copy, or move the directory away and let repair refill the node",
            )
        };
        let mut lines = text.lines();
        let (first, version, id) = (lines.next(), lines.next(), lines.next());
        if first != Some(&*self.first_line()) {
            return Err(bad());
        }
        let version: u64 = version.and_then(|line| line.strip_prefix("version ")).and_then(|text| text.parse().ok()).ok_or_else(bad)?;
        if version != u64::from(self.version) {
            return Err(Error::invalid(format!(
                "{} store of version {version}; this program knows {}: use the program that wrote it, or a newer one",
                self.name, self.version
            )));
        }
        let id: NodeId = id.and_then(|line| line.strip_prefix("id ")).and_then(|text| text.parse().ok()).ok_or_else(bad)?;
        if text != self.encode(id.0) {
            return Err(bad());
        }
        Ok(id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cyxcloud_core::ErrorKind;

    #[test]
    fn identities() {
        for kind in [SEGMENT, ROCKSDB] {
            assert_eq!(kind.decode(&kind.encode([0xab; 16])).unwrap(), [0xab; 16]);
            let newer = kind.encode([1; 16]).replace("version 1", "version 2");
            assert_eq!(kind.decode(&newer).unwrap_err().kind(), ErrorKind::Invalid);
        }
        for bad in ["", "cyxcloud segment store\nversion 1\nid 12\n", "something else"] {
            assert_eq!(SEGMENT.decode(bad).unwrap_err().kind(), ErrorKind::Corrupt, "{bad}");
        }
    }

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
