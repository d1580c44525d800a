//! Key-encryption keys and what they are made of.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use cyxcloud_core::engine::Engine;
use cyxcloud_core::{Error, Result};
use zeroize::{Zeroize, Zeroizing};

use super::envelope::Origin;
use super::key_file;
use super::password::{Password, PasswordCost};

/// Of BLAKE3 in its mode to derive keys: an id says nothing about its key.
const ID_CONTEXT: &str = "cyxcloud 2025-11-28 id of a key-encryption key v1";

/// Public name of a key-encryption key: a hash of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; 16]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A key-encryption key. Wiped when it is dropped.
pub(super) struct Kek {
    bytes: Zeroizing<[u8; 32]>,
    pub id: KeyId,
}

impl Kek {
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(ID_CONTEXT);
        hasher.update(&*bytes);
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        hasher.zeroize();
        Self { bytes, id: KeyId(id) }
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

#[derive(Clone)]
enum Source {
    File(Arc<Kek>),
    Password(Arc<Password>),
}

/// What opens encrypted objects: 32 random bytes from a key file, or a password. Clones share it; it is wiped with the last of them, and never printed.
#[derive(Clone)]
pub struct Key(Source);

impl Key {
    /// A new random key, in a new file that only its owner may read. Whoever loses the file loses the objects.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::AlreadyExists`] when something has that name, [`cyxcloud_core::ErrorKind::Internal`] when it cannot be written.
    pub fn create_file(path: impl AsRef<Path>) -> Result<Self> {
        let kek = Kek::new(Zeroizing::new(random()?));
        key_file::create(path.as_ref(), &kek)?;
        Ok(Self(Source::File(Arc::new(kek))))
    }

    /// The key in a file that [`Key::create_file`] made.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::NotFound`], [`cyxcloud_core::ErrorKind::Invalid`] when others may read it or it is no key file,
    /// [`cyxcloud_core::ErrorKind::Internal`] when it cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        key_file::read(path.as_ref()).map(|kek| Self(Source::File(Arc::new(kek))))
    }

    /// A key that comes from elsewhere, such as a key management service: 32 bytes nobody can guess.
    pub fn from_bytes(bytes: impl Into<Zeroizing<[u8; 32]>>) -> Self {
        Self(Source::File(Arc::new(Kek::new(bytes.into()))))
    }

    /// A password, at the [`PasswordCost::DEFAULT`] for every process that writes with it. Its bytes are taken as they are: UTF-8, not normalised.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] when it is empty.
    pub fn from_password(password: &str) -> Result<Self> {
        Self::from_password_with_cost(password, PasswordCost::DEFAULT)
    }

    /// A password, with what keys to write with shall cost. Objects are opened at the cost they were written with.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] when the password is empty, or for a cost that [`PasswordCost::validate`] refuses.
    pub fn from_password_with_cost(password: &str, cost: PasswordCost) -> Result<Self> {
        Ok(Self(Source::Password(Arc::new(Password::new(password, cost)?))))
    }

    /// Its public id; a password has none, since every salt makes another key of it.
    pub fn id(&self) -> Option<KeyId> {
        match &self.0 {
            Source::File(kek) => Some(kek.id),
            Source::Password(_) => None,
        }
    }

    /// The key to wrap with, and what it is made of.
    pub(super) async fn for_wrapping(&self, engine: &Engine) -> Result<(Arc<Kek>, Origin)> {
        match &self.0 {
            Source::File(kek) => Ok((kek.clone(), Origin::File)),
            Source::Password(password) => {
                let (salt, cost) = (password.salt, password.cost);
                Ok((password.kek(engine, salt, cost).await?, Origin::Password { cost, salt }))
            }
        }
    }

    /// The key of this origin; None for the other kind.
    pub(super) async fn of_origin(&self, engine: &Engine, origin: Origin) -> Result<Option<Arc<Kek>>> {
        match (&self.0, origin) {
            (Source::File(kek), Origin::File) => Ok(Some(kek.clone())),
            (Source::Password(password), Origin::Password { cost, salt }) => password.kek(engine, salt, cost).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Whether new envelopes would be made of the same kind at the same cost.
    pub(super) fn makes(&self, origin: Origin) -> bool {
        match (&self.0, origin) {
            (Source::File(_), Origin::File) => true,
            (Source::Password(password), Origin::Password { cost, .. }) => password.cost == cost,
            _ => false,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::File(kek) => write!(f, "Key {}", kek.id),
            Source::Password(_) => f.write_str("Key from a password"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::File(kek) => write!(f, "key {}", kek.id),
            Source::Password(_) => f.write_str("a password"),
        }
    }
}

/// Bytes nobody can guess.
pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| Error::internal("the operating system gives no randomness").with_source(e))?;
    Ok(bytes)
}
