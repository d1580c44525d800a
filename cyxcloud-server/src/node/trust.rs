//! Whose capabilities a node accepts.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use cyxcloud_sdk::core::id::NodeId;
use cyxcloud_sdk::core::port::Environment;
use cyxcloud_sdk::credential::{Capability, CapabilityVerifier, PublicKey};
use cyxcloud_sdk::{Error, Result};

use super::home::Home;

/// The cluster key of a node, once it has one, and the clock.
pub struct Trust {
    node: NodeId,
    home: Home,
    pinned: RwLock<Option<PublicKey>>,
    env: Arc<dyn Environment>,
}

impl Trust {
    /// What the node of `home` was bound to, or is bound to now by `given`.
    ///
    /// # Errors
    /// Those of [`Home::pin`].
    pub fn open(node: NodeId, home: Home, given: Option<PublicKey>, env: Arc<dyn Environment>) -> Result<Self> {
        if let Some(key) = given {
            home.pin(key)?;
        }
        let pinned = RwLock::new(home.cluster_key()?);
        Ok(Self { node, home, pinned, env })
    }

    /// The key that is pinned.
    pub fn pinned(&self) -> Option<PublicKey> {
        *self.pinned.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Binds the node to the cluster of `key`.
    ///
    /// # Errors
    /// Those of [`Home::pin`].
    pub fn pin(&self, key: PublicKey) -> Result<()> {
        if self.pinned() != Some(key) {
            self.home.pin(key)?;
            *self.pinned.write().unwrap_or_else(PoisonError::into_inner) = Some(key);
        }
        Ok(())
    }

    /// What a capability for this node lets ask.
    ///
    /// # Errors
    /// [`cyxcloud_sdk::ErrorKind::Invalid`] with the reason it is no good.
    pub fn verify(&self, signed: &[u8]) -> Result<Capability> {
        self.verify_for(self.node, signed)
    }

    /// As [`Trust::verify`], for what is shown to another node of the cluster.
    ///
    /// # Errors
    /// As there.
    pub fn verify_for(&self, node: NodeId, signed: &[u8]) -> Result<Capability> {
        let cluster = self.pinned().ok_or_else(|| Error::invalid("this node belongs to no cluster yet"))?;
        CapabilityVerifier::new(cluster, node).verify(signed, self.env.now())
    }

    /// What a capability to ask who this node is lets ask, and for whose cluster: once a key is pinned that one only, before it the `claimed` one.
    ///
    /// # Errors
    /// [`cyxcloud_sdk::ErrorKind::Invalid`] with the reason it is no good.
    pub fn verify_stranger(&self, signed: &[u8], claimed: Option<Bytes>) -> Result<(Capability, PublicKey)> {
        let cluster = match (self.pinned(), claimed) {
            // A gateway repeats this to its operator, but only so much of it.
            (Some(pinned), Some(claimed)) if claimed.as_ref() != pinned.to_bytes() => {
                let what = "this node is bound to another cluster key; if the cluster has a new one, delete its identity/cluster.pub";
                return Err(Error::invalid(what));
            }
            (Some(pinned), _) => pinned,
            (None, Some(claimed)) => PublicKey::new(&claimed)?,
            (None, None) => return Err(Error::invalid("this node belongs to no cluster yet and was not told which one asks")),
        };
        Ok((CapabilityVerifier::new(cluster, self.node).verify(signed, self.env.now())?, cluster))
    }
}
