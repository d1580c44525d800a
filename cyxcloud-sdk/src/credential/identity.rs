//! An Ed25519 key pair in a file that only its owner can read.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use cyxcloud_core::id::NodeId;
use cyxcloud_core::{Error, Result};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

/// The metadata key under which a gateway that asks a node who it is gives the cluster's public key.
pub const CLUSTER_KEY_METADATA: &str = "cyx-cluster-key-bin";

/// What a node signs to prove who it is: for one gateway's cluster and one question.
pub fn identify_message(cluster: &PublicKey, nonce: &[u8; 32], node: NodeId) -> Vec<u8> {
    [b"cyxcloud identify v1".as_slice(), &cluster.to_bytes(), nonce, &node.0].concat()
}

/// Length of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// The secret half of a process's identity.
pub struct Identity(SigningKey);

impl Identity {
    /// The identity whose secret is these 32 bytes.
    pub fn from_secret(secret: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&secret))
    }

    /// A new identity.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Internal`] without randomness from the operating system.
    pub fn generate() -> Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|e| Error::internal(format!("no randomness from the operating system: {e}")))?;
        Ok(Self::from_secret(secret))
    }

    /// The identity kept in the file at `path`; a new one is made and kept there, readable by its owner only, when there is none.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] when the file is no key or others may read it, [`cyxcloud_core::ErrorKind::Internal`] when it cannot be
    /// read or made.
    pub fn open(path: &Path) -> Result<Self> {
        match Self::load(path)? {
            Some(identity) => Ok(identity),
            None => {
                let made = Self::generate()?;
                write_secret(path, hex::encode(made.0.to_bytes()).as_bytes())?;
                Ok(made)
            }
        }
    }

    /// The identity kept in the file at `path`; None when there is no such file.
    ///
    /// # Errors
    /// Those of [`Identity::open`].
    pub fn load(path: &Path) -> Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| Error::internal(format!("cannot read the key {}: {e}", path.display())).with_source(e))?,
        };
        let mode = fs::metadata(path).map(|meta| meta.permissions().mode()).unwrap_or(0);
        if mode & 0o077 != 0 {
            return Err(Error::invalid(format!("the key {} can be read by others; chmod 600 it", path.display())));
        }
        let mut secret = [0; 32];
        hex::decode_to_slice(text.trim(), &mut secret)
            .map_err(|e| Error::invalid(format!("{} is not a key, 64 hexadecimal digits: {e}", path.display())))?;
        Ok(Some(Self::from_secret(secret)))
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs `message`, which must begin with what it is for, so that no signature serves two purposes.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the identity {}", self.public_key())
    }
}

/// The public half of an [`Identity`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The key of these bytes.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] when they are no key, or a weak one under which anything verifies.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let bad = || Error::invalid("not an Ed25519 public key: 64 hexadecimal digits");
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| bad())?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| bad())?;
        if key.is_weak() { Err(bad()) } else { Ok(Self(key)) }
    }

    /// Its 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Whether this key signed `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else { return false };
        self.0.verify_strict(message, &signature).is_ok()
    }
}

impl std::str::FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = hex::decode(text).map_err(|e| Error::invalid(format!("a public key is 64 hexadecimal digits: {e}")))?;
        Self::new(&bytes)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.to_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "public key {self}")
    }
}

/// Writes a secret to a new file, durable and readable by its owner only. Of several that write at once one wins, and the others fail.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Internal`] when it cannot be written or is there already.
pub fn write_secret(path: &Path, secret: &[u8]) -> Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let tmp = path.with_extension(format!("tmp-{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&tmp)?;
        file.write_all(secret)?;
        file.sync_all()?;
        // A link, not a rename: it does not replace what another process has just put there.
        let linked = fs::hard_link(&tmp, path);
        fs::remove_file(&tmp)?;
        linked?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|e| Error::internal(format!("cannot write {}: {e}", path.display())).with_source(e))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn an_identity_is_made_once_and_kept_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys/node.key");
        assert!(Identity::load(&path).unwrap().is_none());
        let made = Identity::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Identity::open(&path).unwrap().public_key(), made.public_key());
        assert!(write_secret(&path, b"another").is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Identity::open(&path).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn a_signature_is_of_one_key_and_one_message() {
        let (a, b) = (Identity::from_secret([1; 32]), Identity::from_secret([2; 32]));
        let signature = a.sign(b"message");
        assert!(a.public_key().verifies(b"message", &signature));
        assert!(!a.public_key().verifies(b"massage", &signature) && !b.public_key().verifies(b"message", &signature));
        assert!(!a.public_key().verifies(b"message", &signature[..63]));
        // The neutral element signs everything.
        let mut weak = [0; 32];
        weak[0] = 1;
        assert!(PublicKey::new(&weak).is_err() && PublicKey::new(&[7; 31]).is_err());
        assert_eq!(a.public_key().to_string().parse::<PublicKey>().unwrap(), a.public_key());
    }
}
