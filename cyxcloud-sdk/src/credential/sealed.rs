//! Values with a signature, which whoever carries them can neither make nor change.

use bytes::Bytes;
use cyxcloud_core::data::manifest::{decode, encode};
use cyxcloud_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::identity::{Identity, PublicKey, SIGNATURE_BYTES};

/// No right one is longer.
const MAX_BYTES: usize = 512;
const VERSION: u8 = 1;

impl Identity {
    /// `value` and a signature over it and `purpose`, which no other kind of value may have.
    pub fn seal<T: Serialize>(&self, purpose: &str, value: &T) -> Bytes {
        let mut sealed = encode(VERSION, value);
        let signature = self.sign(&signed(purpose, &sealed));
        sealed.extend_from_slice(&signature);
        sealed.into()
    }
}

impl PublicKey {
    /// The value that this key sealed for `purpose`.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] with the reason.
    pub fn open<T: DeserializeOwned>(&self, purpose: &str, sealed: &[u8]) -> Result<T> {
        let bad = |why: &str| Error::invalid(format!("{purpose} refused: {why}"));
        if sealed.len() > MAX_BYTES {
            return Err(bad("too long"));
        }
        let (body, signature) = sealed.split_last_chunk::<SIGNATURE_BYTES>().ok_or_else(|| bad("too short"))?;
        if !self.verifies(&signed(purpose, body), signature) {
            return Err(bad("not signed by this cluster"));
        }
        decode(purpose, VERSION, body).map_err(|e| bad(&e.to_string()))
    }
}

fn signed(purpose: &str, body: &[u8]) -> Vec<u8> {
    [b"cyxcloud ", purpose.as_bytes(), b" v1\0", body].concat()
}
