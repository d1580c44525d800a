//! Which keys a client has.

use std::sync::Arc;

use cyxcloud_core::data::seal::Sealer;
use cyxcloud_core::engine::Engine;
use cyxcloud_core::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

use super::envelope::{DataKey, Envelope, Header, ObjectName, Origin};
use super::key::{Key, random};

/// The keys of a client: one to write with, and any number of old ones that open what was written before. Its `Debug` shows ids.
///
/// A keyring made of a password takes about a tenth of a second for the first object it writes, and again for the first it reads of every other process
/// that wrote with the password; keys are remembered. So share one keyring, which clones do, rather than making one for each object.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> cyxcloud_sdk::Result<()> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let directory = directory.path();
/// use cyxcloud_sdk::Cluster;
/// use cyxcloud_sdk::encryption::{Key, Keyring};
///
/// let cluster = Cluster::open(directory.join("cluster")).await?;
/// let plain = cluster.create_bucket("diaries").await?;
/// let sealed = plain.clone().with_encryption(Keyring::new(Key::create_file(directory.join("my.key"))?));
/// sealed.put("monday", "all my secrets").await?;
/// assert_eq!(sealed.get_range("monday", 7..14).await?, "secrets");
/// assert!(plain.get("monday").await.unwrap_err().to_string().contains("encrypted"));
/// # Ok(())
/// # }
/// ```
#[must_use = "without Bucket::with_encryption nothing is encrypted"]
#[derive(Clone, Debug)]
pub struct Keyring {
    /// The first is the current one.
    keys: Arc<[Key]>,
    allow_plain: bool,
}

impl Keyring {
    /// A keyring with one key.
    pub fn new(current: Key) -> Self {
        Self { keys: [current].into(), allow_plain: false }
    }

    /// With another key, which opens objects and never writes any.
    pub fn with_old_key(self, old: Key) -> Self {
        Self { keys: self.keys.iter().cloned().chain([old]).collect(), ..self }
    }

    /// Whether objects that are not encrypted may be read through this. No by default: whoever keeps the objects could put others, unencrypted, in
    /// their place.
    pub fn allow_plain(self, allow_plain: bool) -> Self {
        Self { allow_plain, ..self }
    }

    pub(super) fn plain_is_allowed(&self) -> bool {
        self.allow_plain
    }

    /// A new data key for an object, its sealer and its envelope.
    pub(super) async fn seal(&self, engine: &Engine, name: ObjectName<'_>, chunk_size_bytes: u32) -> Result<(Sealer, Envelope)> {
        let data_key: DataKey = Zeroizing::new(random()?);
        let seal_id = random()?;
        let envelope = self.wrap(engine, &data_key, name, seal_id, chunk_size_bytes).await?;
        Ok((Sealer::new(&data_key, seal_id), envelope))
    }

    /// Wraps a data key under the current key.
    pub(super) async fn wrap(
        &self,
        engine: &Engine,
        data_key: &DataKey,
        name: ObjectName<'_>,
        seal_id: [u8; 16],
        chunk_size_bytes: u32,
    ) -> Result<Envelope> {
        let (kek, origin) = self.keys[0].for_wrapping(engine).await?;
        let header = Header { origin, key_id: kek.id, seal_id, chunk_size_bytes };
        Envelope::wrap(header, &kek, data_key, name)
    }

    /// The data key in an envelope.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when no key here is the one it wants, [`ErrorKind::Corrupt`] when one is and the envelope is not what it wrapped.
    pub(super) async fn unwrap(&self, engine: &Engine, envelope: &Envelope, name: ObjectName<'_>) -> Result<DataKey> {
        for key in &*self.keys {
            let made = key.of_origin(engine, envelope.header.origin).await.map_err(|e| refused(e, name))?;
            if let Some(kek) = made.filter(|kek| kek.id == envelope.key_id()) {
                return envelope.unwrap(&kek, name);
            }
        }
        Err(self.lacks(envelope, name))
    }

    pub(super) async fn opener(&self, engine: &Engine, envelope: &Envelope, name: ObjectName<'_>) -> Result<Sealer> {
        let data_key = self.unwrap(engine, envelope, name).await?;
        Ok(Sealer::new(&data_key, envelope.header.seal_id))
    }

    /// Whether an envelope is such as this keyring makes.
    pub(super) async fn made(&self, engine: &Engine, envelope: &Envelope) -> Result<bool> {
        let (current, origin) = (&self.keys[0], envelope.header.origin);
        Ok(current.makes(origin) && current.of_origin(engine, origin).await?.is_some_and(|kek| kek.id == envelope.key_id()))
    }

    fn lacks(&self, envelope: &Envelope, name: ObjectName<'_>) -> Error {
        let here: Vec<String> = self.keys.iter().map(Key::to_string).collect();
        let here = here.join(", ");
        let wanted = envelope.key_id();
        Error::invalid(match envelope.header.origin {
            Origin::File => format!("{name} is encrypted under the key {wanted}, and here is {here}; give the key file with that id"),
            Origin::Password { .. } if self.keys.iter().all(|key| key.id().is_some()) => {
                format!("{name} is encrypted under a password, and here is {here}; give the password")
            }
            Origin::Password { .. } => format!("the password is not the one that {name} is encrypted under"),
        })
    }
}

/// A cost that is refused came from the envelope, not from our caller.
fn refused(error: Error, name: ObjectName<'_>) -> Error {
    match error.kind() {
        ErrorKind::Invalid => Error::corrupt(format!("{name} is refused: what its password costs was changed")).with_source(error),
        _ => error,
    }
}
