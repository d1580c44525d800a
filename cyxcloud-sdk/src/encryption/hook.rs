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

    /// The head of an object as the caller sees it and its bytes, or a range of them.
    pub async fn incoming(
        &self,
        engine: &Arc<Engine>,
        bucket: &str,
        object: Object,
        range: Option<Range<u64>>,
    ) -> Result<(ObjectHead, ByteStream)> {
        let Object { head, manifest } = object;
        #[cfg(feature = "encryption")]
        if let Some(keyring) = &self.keyring {
            let name = ObjectName { bucket, key: head.key.as_str() };
            match head.metadata.user.get(METADATA_NAME) {
                Some(text) => {
                    let envelope = Envelope::parse(text)?;
                    let sealer = keyring.opener(engine, &envelope, name).await?;
                    let body = opening::open(engine, sealer, &envelope, &manifest, range).await?;
                    return Ok((self.shown(head), body));
                }
                None if keyring.plain_is_allowed() => {}
                None => {
                    return Err(Error::invalid(format!(
                        "{name} is not encrypted, though it is read with a keyring: it may have been put in the place of one that is. If it is meant \
                         to be there, read it with Keyring::allow_plain or without a keyring"
                    )));
                }
            }
            let range = range.unwrap_or(0..head.size_bytes);
            return Ok((head, engine.read(&manifest, range).await?));
        }
        if head.metadata.user.contains_key(METADATA_NAME) {
            return Err(Error::invalid(format!("{bucket}/{} is encrypted by its writer; {HOW_TO_OPEN}", head.key)));
        }
        let range = range.unwrap_or(0..head.size_bytes);
        Ok((head, engine.read(&manifest, range).await?))
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

    /// What the metadata of the object `from` become where it is copied or renamed to `to`, for whose bucket `target` is: a data key opens under the
    /// name of its object only, so it is wrapped again. Nothing happens to an object that is not encrypted.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] when either bucket has no keyring, or not the key.
    #[allow(dead_code, reason = "for copies and renames, which are not there yet")]
    pub async fn rebind(
        &self,
        engine: &Engine,
        metadata: &mut Metadata,
        from: (&str, &str),
        target: &Self,
        to: (&str, &str),
    ) -> Result<()> {
        let Some(text) = metadata.user.get(METADATA_NAME) else { return Ok(()) };
        let name = |(bucket, key): (&str, &str)| format!("{bucket}/{key}");
        #[cfg(feature = "encryption")]
        if let (Some(opens), Some(wraps)) = (&self.keyring, &target.keyring) {
            let at = |(bucket, key)| ObjectName { bucket, key };
            let rewrapped = super::bucket::rewrapped(engine, &Envelope::parse(text)?, (opens, at(from)), (wraps, at(to))).await?;
            metadata.user.insert(METADATA_NAME.to_owned(), rewrapped.text());
            return Ok(());
        }
        let _ = (engine, target, text);
        Err(Error::invalid(format!(
            "{} is encrypted by its writer, and its key opens under its own name only; to have it as {}, use a keyring in both buckets: {HOW_TO_OPEN}",
            name(from),
            name(to)
        )))
    }
}

#[cfg(feature = "encryption")]
const HOW_TO_OPEN: &str = "open it with Bucket::with_encryption, or the commands' --key-file or --password-file";
#[cfg(not(feature = "encryption"))]
const HOW_TO_OPEN: &str =
    "open it with Bucket::with_encryption in a build with the feature encryption, or the commands' --key-file or --password-file";
