//! The envelope: what an object's metadata say about its encryption. Nothing in it is secret.
//!
//! ```text
//! base64 (RFC 4648, section 4, padded) of          (all numbers little-endian)
//! offset  bytes
//!      0      1  version, 1
//!      1      1  what the key-encryption key is: 0 a key file, 1 made of a password
//!      2     16  its id
//!     18     16  id of the object version, which its chunks are sealed with
//!     34      4  bytes of a full sealed chunk
//!    ( 38      4  Argon2id: memory, KiB              only for a password
//!      42      4            passes
//!      46      4            lanes
//!      50     16            salt )
//!    -60     12  nonce
//!    -48     48  the data key, by AES-256-GCM, with its tag
//!
//! associated data
//! "cyxcloud wrap v1", everything before the nonce, the bucket's name and the key, each after its length of 4 bytes
//! ```
//!
//! So a data key opens under its own name only, and with the very parameters it was wrapped with. The nonce is random; one key-encryption
//! key may wrap 2^32 data keys (NIST SP 800-38D, section 8.3).

use std::fmt;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cyxcloud_core::data::seal::{ID_BYTES, KEY_BYTES, TAG_BYTES};
use cyxcloud_core::policy::Policy;
use cyxcloud_core::{Error, Result};
use zeroize::Zeroizing;

use super::key::{Kek, KeyId};
use super::password::{PasswordCost, SALT_BYTES};

const VERSION: u8 = 1;
const FILE: u8 = 0;
const PASSWORD: u8 = 1;
const NONCE_BYTES: usize = 12;
const WRAPPED_BYTES: usize = KEY_BYTES + TAG_BYTES;
const CONTEXT: &[u8; 16] = b"cyxcloud wrap v1";
/// Longer than any envelope in base64, so that nothing long is decoded.
const MAX_TEXT_BYTES: usize = 256;

/// The key of one object version.
pub(super) type DataKey = Zeroizing<[u8; KEY_BYTES]>;

/// Where an object is, as its envelope is bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectName<'a> {
    /// Name of its bucket.
    pub bucket: &'a str,
    /// Its key.
    pub key: &'a str,
}

impl fmt::Display for ObjectName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.key)
    }
}

/// What a key-encryption key was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    File,
    Password { cost: PasswordCost, salt: [u8; SALT_BYTES] },
}

/// All but the wrapped key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub origin: Origin,
    pub key_id: KeyId,
    pub seal_id: [u8; ID_BYTES],
    pub chunk_size_bytes: u32,
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let kind = if self.origin == Origin::File { FILE } else { PASSWORD };
        let mut bytes = vec![VERSION, kind];
        bytes.extend(self.key_id.0);
        bytes.extend(self.seal_id);
        bytes.extend(self.chunk_size_bytes.to_le_bytes());
        if let Origin::Password { cost, salt } = self.origin {
            [cost.memory_kib, cost.passes, cost.lanes].into_iter().for_each(|n| bytes.extend(n.to_le_bytes()));
            bytes.extend(salt);
        }
        bytes
    }

    fn aad(&self, name: ObjectName<'_>) -> Vec<u8> {
        let mut aad = [CONTEXT, &self.encode()[..]].concat();
        for part in [name.bucket, name.key] {
            aad.extend((part.len() as u32).to_le_bytes());
            aad.extend(part.as_bytes());
        }
        aad
    }
}

/// What the metadata of an encrypted object say: which key opens it, and its own key in wrapped form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub(super) header: Header,
    nonce: [u8; NONCE_BYTES],
    wrapped: [u8; WRAPPED_BYTES],
}

impl Envelope {
    /// Reads the text in [`super::METADATA_NAME`]. That it can be read says nothing about whether it is true: opening the object does.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Corrupt`] when it is not exactly one envelope of a known version.
    pub fn parse(text: &str) -> Result<Self> {
        let damaged = |why: &str| Error::corrupt(format!("the object's {} is damaged: {why}", super::METADATA_NAME));
        if text.len() > MAX_TEXT_BYTES {
            return Err(damaged("it is too long"));
        }
        let bytes = BASE64.decode(text).map_err(|e| damaged("it is not base64").with_source(e))?;
        let mut rest = &bytes[..];
        let version = take::<1>(&mut rest).ok_or_else(|| damaged("it is empty"))?[0];
        if version != VERSION {
            let what = format!("the object is encrypted in version {version}, and this program knows {VERSION}; use a newer one");
            return Err(Error::corrupt(what));
        }
        Self::parse_fields(rest).ok_or_else(|| damaged("its length or a field is impossible"))
    }

    fn parse_fields(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        let [kind] = take::<1>(rest)?;
        let (key_id, seal_id, chunk_size_bytes) = (KeyId(take(rest)?), take(rest)?, u32::from_le_bytes(take(rest)?));
        Policy::check_chunk_size(chunk_size_bytes).ok()?;
        let origin = match kind {
            FILE => Origin::File,
            PASSWORD => {
                let mut number = || Some(u32::from_le_bytes(take(rest)?));
                let cost = PasswordCost { memory_kib: number()?, passes: number()?, lanes: number()? };
                Origin::Password { cost, salt: take(rest)? }
            }
            _ => return None,
        };
        let (nonce, wrapped) = (take(rest)?, take(rest)?);
        let header = Header { origin, key_id, seal_id, chunk_size_bytes };
        rest.is_empty().then_some(Self { header, nonce, wrapped })
    }

    /// The text for [`super::METADATA_NAME`].
    pub fn text(&self) -> String {
        BASE64.encode([&self.header.encode()[..], &self.nonce, &self.wrapped].concat())
    }

    /// Id of the key-encryption key that opens it.
    pub fn key_id(&self) -> KeyId {
        self.header.key_id
    }

    /// Size of a full sealed chunk. Whoever stores the sealed bytes again should have them cut like this: ranges read faster then.
    pub fn chunk_size_bytes(&self) -> u32 {
        self.header.chunk_size_bytes
    }

    /// Wraps the key of the object `name`.
    pub(super) fn wrap(header: Header, kek: &Kek, data_key: &DataKey, name: ObjectName<'_>) -> Result<Self> {
        Ok(Self::wrap_with(header, kek, data_key, name, super::key::random()?))
    }

    fn wrap_with(header: Header, kek: &Kek, data_key: &DataKey, name: ObjectName<'_>, nonce: [u8; NONCE_BYTES]) -> Self {
        let mut wrapped = [0; WRAPPED_BYTES];
        wrapped[..KEY_BYTES].copy_from_slice(&**data_key);
        let tag = encrypt(kek.bytes(), nonce, &header.aad(name), &mut wrapped[..KEY_BYTES]);
        wrapped[KEY_BYTES..].copy_from_slice(&tag);
        Self { header, nonce, wrapped }
    }

    /// The key of the object `name`; `kek` has the envelope's key id.
    pub(super) fn unwrap(&self, kek: &Kek, name: ObjectName<'_>) -> Result<DataKey> {
        let mut data_key = DataKey::default();
        let (text, tag) = self.wrapped.split_at(KEY_BYTES);
        data_key.copy_from_slice(text);
        let cipher = Aes256Gcm::new(kek.bytes().into());
        let tag = Tag::try_from(tag).map_err(|_| Error::internal("tags of AES-256-GCM have 16 bytes"))?;
        let aad = self.header.aad(name);
        cipher.decrypt_inout_detached(&Nonce::from(self.nonce), &aad, data_key.as_mut_slice().into(), &tag).map_err(|_| {
            Error::corrupt(format!("{name} is refused: its {} was changed, or belongs to another object", super::METADATA_NAME))
        })?;
        Ok(data_key)
    }
}

/// AES-256-GCM in place; the tag.
fn encrypt(key: &[u8; KEY_BYTES], nonce: [u8; NONCE_BYTES], aad: &[u8], text: &mut [u8]) -> [u8; TAG_BYTES] {
    let cipher = Aes256Gcm::new(key.into());
    cipher.encrypt_inout_detached(&Nonce::from(nonce), aad, text.into()).expect("a key is shorter than GCM allows").into()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
