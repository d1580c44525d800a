//! What a bucket offers for encryption.

use cyxcloud_core::engine::Engine;
use cyxcloud_core::id::VersionId;
use cyxcloud_core::port::{CopyObject, NewVersion, Object, ObjectHead, Precondition};
use cyxcloud_core::{ErrorKind, Result};
use futures::stream::{BoxStream, StreamExt};

use super::envelope::{Envelope, ObjectName};
use super::{Keyring, METADATA_NAME};
use crate::{Bucket, Download};

/// How often a rotation follows an object that changes under it.
const ATTEMPTS: usize = 5;
/// Objects that are wrapped again at once.
const AT_ONCE: usize = 8;

/// What [`Bucket::rewrap`] did with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrapped {
    /// Its data key is wrapped under the new key now.
    Done,
    /// It was wrapped under the new key already.
    Already,
    /// It is not encrypted.
    NotEncrypted,
}

impl Bucket {
    /// The same bucket, whose objects are sealed before they leave this process and opened after they came back. Sizes of encrypted objects are then those of
    /// the plain bytes. See [`crate::encryption`].
    #[must_use = "this bucket goes on unencrypted; the one that is returned is not"]
    pub fn with_encryption(mut self, keyring: Keyring) -> Self {
        self.encryption.keyring = Some(keyring);
        self
    }

    /// An object and its bytes as they are stored, sealed or not: for copies of the whole that need no key. To store them again under the same bucket and key,
    /// put them through a bucket without a keyring, with the same user metadata.
    ///
    /// # Errors
    /// As [`Bucket::get_stream`], whether the object is encrypted or not.
    pub async fn get_stored_stream(&self, key: &str) -> Result<Download> {
        let Object { head, manifest } = self.object(key).await?;
        let size_bytes = manifest.size_bytes();
        let body = self.cluster().engine().read(&manifest, 0..size_bytes).await?;
        Ok(Download { head: ObjectHead { size_bytes, ..head }, range: 0..size_bytes, body })
    }

    /// Wraps the data key of an object under the current key of `new`. The object's bytes are neither read nor moved. Called on a bucket with the keyring that
    /// opens the object; that of `new` may open it as well.
    ///
    /// Who kept the old key and the old metadata can still open the bytes, and make others that open in their place: an object whose key leaked has to be
    /// stored anew.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Invalid`] when neither keyring has the key, [`ErrorKind::Corrupt`] when the metadata were changed,
    /// [`ErrorKind::Conflict`] when the object keeps changing.
    pub async fn rewrap(&self, key: &str, new: &Keyring) -> Result<Rewrapped> {
        for _ in 1..ATTEMPTS {
            let head = self.object(key).await?.head;
            match self.rewrap_version(head, new).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                other => return other,
            }
        }
        self.rewrap_version(self.object(key).await?.head, new).await
    }

    /// [`Bucket::rewrap`] for every object whose key begins with `prefix`, in byte order of the keys. Goes on after an object that fails; begun again after
    /// an interruption, it leaves alone what is done. Objects in the trash keep their old key. Dropped, it may have wrapped some more than it has told.
    pub fn rewrap_all(&self, prefix: &str, new: &Keyring) -> BoxStream<'static, (String, Result<Rewrapped>)> {
        let (bucket, new) = (self.clone(), new.clone());
        let rewrap = move |head: Result<ObjectHead>| {
            let (bucket, new) = (bucket.clone(), new.clone());
            async move {
                let head = match head {
                    Ok(head) => head,
                    // The list ends with it.
                    Err(error) => return (String::new(), Err(error)),
                };
                let key = head.key.as_str().to_owned();
                // What the list says is all it takes, unless the object was replaced since.
                let outcome = match bucket.rewrap_version(head, &new).await {
                    Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => bucket.rewrap(&key, &new).await,
                    other => other,
                };
                (key, outcome)
            }
        };
        self.list(prefix).map(rewrap).buffered(AT_ONCE).boxed()
    }

    async fn rewrap_version(&self, head: ObjectHead, new: &Keyring) -> Result<Rewrapped> {
        let engine = self.cluster().engine();
        let Some(text) = head.metadata.user.get(METADATA_NAME) else { return Ok(Rewrapped::NotEncrypted) };
        let (envelope, name) = (Envelope::parse(text)?, ObjectName { bucket: self.name(), key: head.key.as_str() });
        if new.made(engine, &envelope).await? {
            return Ok(Rewrapped::Already);
        }
        let old = self.encryption.keyring.as_ref().unwrap_or(new);
        let wrapped = match rewrapped(engine, &envelope, (old, name), (new, name)).await {
            Err(error) if error.kind() == ErrorKind::Invalid => {
                rewrapped(engine, &envelope, (new, name), (new, name)).await.map_err(|_| error)?
            }
            other => other?,
        };
        let mut metadata = head.metadata;
        metadata.user.insert(METADATA_NAME.to_owned(), wrapped.text());
        let copy = CopyObject {
            source_bucket: self.id(),
            source_key: head.key.clone(),
            source_version: head.version,
            object: NewVersion {
                bucket: self.id(),
                key: head.key,
                version: VersionId(engine.new_id()),
                // The bytes are the same.
                etag: head.etag,
                modified: engine.now(),
                metadata,
                precondition: Precondition::None,
            },
        };
        engine.copy_object(copy).await?;
        Ok(Rewrapped::Done)
    }
}

/// The envelope of the object `from` as that of the object `to`.
pub(super) async fn rewrapped(
    engine: &Engine,
    envelope: &Envelope,
    (opens, from): (&Keyring, ObjectName<'_>),
    (wraps, to): (&Keyring, ObjectName<'_>),
) -> Result<Envelope> {
    let data_key = opens.unwrap(engine, envelope, from).await?;
    wraps.wrap(engine, &data_key, to, envelope.header.seal_id, envelope.header.chunk_size_bytes).await
}
