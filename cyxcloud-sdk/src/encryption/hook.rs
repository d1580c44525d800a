//! Where [`Bucket`](crate::Bucket) comes by: what it does for encryption, in builds with it and without.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cyxcloud_core::engine::{ByteStream, Engine};
use cyxcloud_core::port::{Metadata, Object, ObjectHead};
use cyxcloud_core::{Error, Result};
use futures::stream::{BoxStream, Stream, StreamExt, TryStreamExt};

#[cfg(feature = "encryption")]
use super::{Envelope, Keyring, ObjectName, opening, plain_size, sealing};
use crate::PutOptions;
use crate::encryption::METADATA_NAME;

/// An error of whoever makes a body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How a bucket seals and opens: not at all, or with a keyring.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hook {
    #[cfg(feature = "encryption")]
    pub(super) keyring: Option<Keyring>,
}

impl Hook {
    /// The body and the options to store instead.
    pub async fn outgoing<'a, S, E>(
        &self,
        engine: &Arc<Engine>,
        (bucket, key): (&str, &str),
        body: S,
        options: PutOptions,
    ) -> Result<(BoxStream<'a, Result<Bytes, BoxError>>, PutOptions)>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'a,
        E: Into<BoxError>,
    {
        #[cfg(feature = "encryption")]
        if let Some(keyring) = &self.keyring {
            let (sealing, options) = sealing::prepare(engine, keyring, ObjectName { bucket, key }, options).await?;
            return Ok((sealing.seal(engine, body), options));
        }
        let _ = (engine, bucket, key);
        Ok((body.map_err(|e| e.into()).boxed(), options))
    }

    /// To be asked before parts are stored without [`Hook::outgoing`]: they would be readable.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] with a keyring.
    #[cfg_attr(not(feature = "object-store"), allow(dead_code, reason = "only that stores parts"))]
    pub fn refuse_parts(&self) -> Result<()> {
        #[cfg(feature = "encryption")]
        if self.keyring.is_some() {
            return Err(Error::invalid(
                "an upload in parts with identities of their own cannot be encrypted; use put or put_multipart, which stream",
            ));
        }
        Ok(())
    }

    /// The bytes `range` of an object of `bucket`, of its plain bytes where it is encrypted.
    pub async fn incoming(&self, engine: &Arc<Engine>, bucket: &str, object: &Object, range: Range<u64>) -> Result<ByteStream> {
        let Object { head, manifest } = object;
        let mark = head.metadata.user.get(METADATA_NAME);
        #[cfg(feature = "encryption")]
        if let Some(keyring) = &self.keyring {
            let name = ObjectName { bucket, key: head.key.as_str() };
            if let Some(mark) = mark {
                let envelope = Envelope::parse(mark)?;
                let sealer = keyring.opener(engine, &envelope, name).await?;
                return opening::open(engine, sealer, &envelope, manifest, range).await;
            }
            if !keyring.plain_is_allowed() {
                return Err(Error::invalid(format!(
                    "{name} is not encrypted, though it is read with a keyring: it may have been put in the place of one that is. If it is meant to be \
                     there, read it without a keyring or with one that allows it: Keyring::allow_plain, --allow-plain"
                )));
            }
            return engine.read(manifest, range).await;
        }
        if mark.is_some() {
            return Err(Error::invalid(format!("{bucket}/{} is encrypted by its writer; {HOW_TO_OPEN}", head.key)));
        }
        engine.read(manifest, range).await
    }

    /// A head as the caller sees it: with the size of the plain bytes, where that is known. Whether it is true shows when they are read.
    pub fn shown(&self, head: ObjectHead) -> ObjectHead {
        #[cfg(feature = "encryption")]
        if self.keyring.is_some()
            && let Some(text) = head.metadata.user.get(METADATA_NAME)
            && let Ok(envelope) = Envelope::parse(text)
            && let Ok(size_bytes) = plain_size(head.size_bytes, envelope.chunk_size_bytes())
        {
            return ObjectHead { size_bytes, ..head };
        }
        head
    }

    /// Gives the `metadata` of a copy the mark of its source, whose metadata are `of_source`: to be called for everything that makes the object `to` of
    /// a bucket with the hook `target` out of the bytes of the object `from`, renames too. A data key opens under the name of its object only, so it
    /// is wrapped again. For an object that is not encrypted nothing happens.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] when either bucket has no keyring, or the wrong one; [`cyxcloud_core::ErrorKind::Corrupt`].
    pub async fn rebind(
        &self,
        engine: &Engine,
        (from, of_source): ((&str, &str), &Metadata),
        target: &Self,
        (to, metadata): ((&str, &str), &mut Metadata),
    ) -> Result<()> {
        let Some(mark) = of_source.user.get(METADATA_NAME) else { return Ok(()) };
        #[cfg(feature = "encryption")]
        if let (Some(opens), Some(wraps)) = (&self.keyring, &target.keyring) {
            let name = |(bucket, key)| ObjectName { bucket, key };
            let rewrapped = super::bucket::rewrapped(engine, &Envelope::parse(mark)?, (opens, name(from)), (wraps, name(to))).await?;
            metadata.user.insert(METADATA_NAME.to_owned(), rewrapped.text());
            return Ok(());
        }
        let _ = (engine, target, metadata, mark);
        Err(Error::invalid(format!(
            "{}/{} is encrypted by its writer, and its key opens under its own name only; to have it as {}/{}, use a keyring in both buckets: {HOW_TO_OPEN}",
            from.0, from.1, to.0, to.1
        )))
    }
}

#[cfg(feature = "encryption")]
const HOW_TO_OPEN: &str = "open it with Bucket::with_encryption, or the commands' --key-file or --password-file";
#[cfg(not(feature = "encryption"))]
const HOW_TO_OPEN: &str =
    "open it with Bucket::with_encryption in a build with the feature encryption, or the commands' --key-file or --password-file";
