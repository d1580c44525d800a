//! What a node keeps beside its shards: who it is and whom it obeys.
//!
//! ```text
//! STORAGE_PATH/identity/node.key      its Ed25519 secret, 0600
//! STORAGE_PATH/identity/node.id       its id
//! STORAGE_PATH/identity/cluster.pub   the cluster key it was bound to when it first registered
//! STORAGE_PATH/identity/lock          held by the running process
//! STORAGE_PATH/files, segment         shards, by kind of store
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cyxcloud_sdk::core::id::NodeId;
use cyxcloud_sdk::credential::{Identity, PublicKey};
use cyxcloud_sdk::{Error, Result};
use rustix::fs::{FlockOperation, flock};

const ID_CONTEXT: &str = "cyxcloud 2026-11 node id of a name v1";

/// The directory of a node's identity.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// That of the node whose shards are in `storage`.
    pub fn of(storage: &Path) -> Self {
        Self(storage.join("identity"))
    }

    /// Takes the directory for this process, making it where it is missing.
    ///
    /// # Errors
    /// [`cyxcloud_sdk::ErrorKind::Conflict`] when another node runs on it, [`cyxcloud_sdk::ErrorKind::Internal`] when it cannot be written.
    pub fn lock(&self) -> Result<Lock> {
        fs::create_dir_all(&self.0).map_err(|e| self.broken(&e))?;
        let file = File::create(self.0.join("lock")).map_err(|e| self.broken(&e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::conflict(format!(
                "another node runs on {}; stop it, or give this one a STORAGE_PATH of its own",
                self.0.display()
            ))),
            Err(e) => Err(self.broken(&e.into())),
        }
    }

    /// The node's key, made when there is none.
    ///
    /// # Errors
    /// Those of [`Identity::open`].
    pub fn open_key(&self) -> Result<Arc<Identity>> {
        Identity::open(&self.0.join("node.key")).map(Arc::new)
    }

    /// The node's key; None when no node was ever started here.
    ///
    /// # Errors
    /// Those of [`Identity::load`].
    pub fn key(&self) -> Result<Option<Arc<Identity>>> {
        Ok(Identity::load(&self.0.join("node.key"))?.map(Arc::new))
    }

    /// The node's id: the one kept, else the one that is `wanted`, else a random one, which is then kept.
    ///
    /// # Errors
    /// [`cyxcloud_sdk::ErrorKind::Invalid`] when another one is kept than is wanted.
    pub fn open_id(&self, wanted: Option<&str>) -> Result<NodeId> {
        if let Some(id) = self.id(wanted)? {
            return Ok(id);
        }
        let id = match wanted {
            Some(text) => node_id(text),
            None => {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).map_err(|e| Error::internal(format!("no randomness from the operating system: {e}")))?;
                NodeId(bytes)
            }
        };
        self.write("node.id", &id.to_string())?;
        Ok(id)
    }

    /// The id that is kept; None when there is none yet.
    ///
    /// # Errors
    /// As [`Home::open_id`].
    pub fn id(&self, wanted: Option<&str>) -> Result<Option<NodeId>> {
        let Some(text) = self.read("node.id")? else { return Ok(None) };
        let kept: NodeId = text.trim().parse().map_err(|e| Error::invalid(format!("{}: {e}", self.0.join("node.id").display())))?;
        match wanted.map(node_id) {
            Some(wanted) if wanted != kept => Err(Error::invalid(format!(
                "{} belongs to node {kept}, but NODE_ID says {wanted}; leave NODE_ID away, or give this node a STORAGE_PATH of its own",
                self.0.display()
            ))),
            _ => Ok(Some(kept)),
        }
    }

    /// The cluster key that is pinned.
    ///
    /// # Errors
    /// [`cyxcloud_sdk::ErrorKind::Invalid`] when the file is no key.
    pub fn cluster_key(&self) -> Result<Option<PublicKey>> {
        let parse = |text: String| text.trim().parse().map_err(|e| Error::invalid(format!("{}: {e}", self.pin_path().display())));
        self.read("cluster.pub")?.map(parse).transpose()
    }

    /// Binds the node to the cluster of `key`, for good.
    ///
    /// # Errors
    /// [`cyxcloud_sdk::ErrorKind::Precondition`] when it is bound to another.
    pub fn pin(&self, key: PublicKey) -> Result<()> {
        match self.cluster_key()? {
            None => self.write("cluster.pub", &key.to_string()),
            Some(pinned) if pinned == key => Ok(()),
            Some(pinned) => Err(Error::precondition(format!(
                "this node belongs to the cluster with the key {pinned}, but the gateway shows {key}. Check CENTRAL_SERVER_ADDR. If the cluster really has a new \
                 key, and the shards here are to serve it, delete {} and start again",
                self.pin_path().display()
            ))),
        }
    }

    fn pin_path(&self) -> PathBuf {
        self.0.join("cluster.pub")
    }

    fn read(&self, name: &str) -> Result<Option<String>> {
        match fs::read_to_string(self.0.join(name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(|e| self.broken(&e)),
        }
    }

    /// Writes a file so that a crash leaves the old one or the new one.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let (path, tmp) = (self.0.join(name), self.0.join(format!("{name}.tmp")));
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.0)?;
            let mut file = File::create(&tmp)?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            fs::rename(&tmp, &path)?;
            File::open(&self.0)?.sync_all()
        };
        write().map_err(|e| self.broken(&e))
    }

    fn broken(&self, e: &io::Error) -> Error {
        Error::internal(format!("{}: {e}", self.0.display()))
    }
}

/// Held while a node runs.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "closing it gives the lock back")] File);

/// The id that a text names: 32 hexadecimal digits are the id, a UUID likewise, anything else is hashed.
pub fn node_id(text: &str) -> NodeId {
    let text = text.trim();
    let digits = if is_uuid(text) { text.replace('-', "") } else { text.to_owned() };
    digits.parse().unwrap_or_else(|_| {
        let hash = blake3::derive_key(ID_CONTEXT, text.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        NodeId(id)
    })
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn ids_are_digits_uuids_or_hashes() {
        let id = node_id("00112233445566778899AABBCCDDEEFF");
        assert_eq!(id.to_string(), "00112233445566778899aabbccddeeff");
        assert_eq!(node_id("00112233-4455-6677-8899-aabbccddeeff"), id);
        assert_ne!(node_id("node-1"), node_id("node-2"));
        // Never another: it is the identity of nodes that are there.
        assert_eq!(node_id("node-1").to_string(), "5fad37b9a602adc4411881202d7e144a");
    }

    #[test]
    fn an_identity_is_kept_and_not_exchanged() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::of(directory.path());
        assert_eq!(home.id(None).unwrap(), None);
        let id = home.open_id(None).unwrap();
        assert_eq!(home.open_id(None).unwrap(), id);
        assert_eq!(home.open_id(Some(&id.to_string())).unwrap(), id);
        assert!(home.open_id(Some("another")).unwrap_err().to_string().contains("belongs to node"));
        let keys: Vec<PublicKey> = (1..3).map(|n| Identity::from_secret([n; 32]).public_key()).collect();
        home.pin(keys[0]).unwrap();
        home.pin(keys[0]).unwrap();
        assert!(home.pin(keys[1]).unwrap_err().to_string().contains("cluster.pub"));
        assert_eq!(home.cluster_key().unwrap(), Some(keys[0]));
    }

    #[test]
    fn one_process_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::of(directory.path());
        let held = home.lock().unwrap();
        assert_eq!(home.lock().unwrap_err().kind(), cyxcloud_sdk::ErrorKind::Conflict);
        drop(held);
        home.lock().unwrap();
    }
}
