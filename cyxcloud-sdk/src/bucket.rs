//! A bucket as an application sees it.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use cyxcloud_core::engine::{ByteStream, ListQuery, StageKind, StageOptions};
use cyxcloud_core::id::{BucketId, ObjectKey, VersionId};
use cyxcloud_core::port::{self, Metadata, NewVersion, Object, ObjectHead, Precondition, ScanStart, Trashed};
use cyxcloud_core::{Error, ErrorKind, Result};
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};

use crate::Cluster;
use crate::encryption::hook::Hook;

/// Keys of one list page.
const PAGE: usize = 1000;

/// What goes with an object's bytes.
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// Content headers and the user's own pairs.
    pub metadata: Metadata,
    /// What must hold for the object that is there.
    pub precondition: Precondition,
    /// Size of a full chunk of this object, 1 KiB to 64 MiB, instead of the policy's.
    pub chunk_size_bytes: Option<u32>,
    /// How many bytes the body has, where that is known: so much is reserved of the account's quota, and else as the body goes on.
    pub size_bytes: Option<u64>,
}

/// A bucket of an open [`Cluster`].
#[derive(Clone, Debug)]
pub struct Bucket {
    cluster: Cluster,
    bucket: port::Bucket,
    pub(crate) encryption: Hook,
}

impl Bucket {
    pub(crate) fn new(cluster: Cluster, bucket: port::Bucket) -> Self {
        Self { cluster, bucket, encryption: Hook::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.bucket.name.as_str()
    }

    #[cfg(feature = "encryption")]
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Its id, new for every life of the name.
    pub fn id(&self) -> BucketId {
        self.bucket.id
    }

    /// Stores `bytes` under `key`, replacing what is there. Returns when every shard and the metadata are synced.
    ///
    /// # Errors
    /// See [`Bucket::put_stream`].
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<ObjectHead> {
        let bytes = bytes.into();
        let size_bytes = Some(bytes.len() as u64);
        self.put_stream(key, stream::iter([Ok::<_, Error>(bytes)]), PutOptions { size_bytes, ..PutOptions::default() }).await
    }

    /// Stores a body of unknown length in bounded memory. Dropping the future leaves the object as it was.
    ///
    /// # Errors
    /// [`ErrorKind::Body`] when the body fails, [`ErrorKind::Precondition`], [`ErrorKind::Unavailable`] when too few nodes take shards,
    /// [`ErrorKind::Quota`] when the account may not hold as much, [`ErrorKind::Invalid`] for a bad key. Nothing is stored then.
    pub async fn put_stream<S, E>(&self, key: &str, body: S, options: PutOptions) -> Result<ObjectHead>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let engine = self.cluster.engine();
        let key = ObjectKey::new(key)?;
        let (body, options) = self.encryption.outgoing(engine, (self.name(), key.as_str()), body, options).await?;
        let staged = engine
            .stage(
                body,
                StageOptions {
                    chunk_size_bytes: options.chunk_size_bytes,
                    bucket: Some(self.id()),
                    size_bytes: options.size_bytes,
                    ..StageKind::Object.into()
                },
            )
            .await?;
        let version = VersionId(engine.new_id());
        let object = NewVersion {
            bucket: self.id(),
            key,
            version,
            etag: version.to_string(),
            modified: engine.now(),
            metadata: options.metadata,
            precondition: options.precondition,
        };
        Ok(self.encryption.shown(engine.commit(staged, object).await?.head))
    }

    /// All bytes of an object.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Unavailable`] when too few shards can be read now.
    pub async fn get(&self, key: &str) -> Result<Bytes> {
        let (_, body) = self.get_stream(key).await?;
        collect(body).await
    }

    /// An object and its bytes as they arrive, each verified.
    ///
    /// # Errors
    /// As [`Bucket::get`]; later trouble ends the stream with an error.
    pub async fn get_stream(&self, key: &str) -> Result<(ObjectHead, ByteStream)> {
        let object = self.object(key).await?;
        let body = self.read(&object, 0..object.head.size_bytes).await?;
        Ok((object.head, body))
    }

    /// The bytes `range` of an object.
    ///
    /// # Errors
    /// As [`Bucket::get`]; [`ErrorKind::Invalid`] when the range leaves the object.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let object = self.object(key).await?;
        collect(self.read(&object, range).await?).await
    }

    /// Size, entity tag and metadata of an object.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn head(&self, key: &str) -> Result<ObjectHead> {
        Ok(self.object(key).await?.head)
    }

    /// Removes an object; true when there was one. With a [`crate::Policy::trash_window_ms`] it can be restored so long.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn delete(&self, key: &str) -> Result<bool> {
        self.cluster.engine().delete_object(self.id(), &ObjectKey::new(key)?, Precondition::None).await
    }

    /// Every deleted object that can be restored and whose key begins with `prefix`, in byte order of the keys.
    pub fn trash(&self, prefix: &str) -> BoxStream<'static, Result<Trashed>> {
        let pages = stream::try_unfold(Some(None), {
            let (bucket, prefix) = (self.clone(), prefix.to_owned());
            move |after| {
                let (bucket, prefix) = (bucket.clone(), prefix.clone());
                async move {
                    let Some(after) = after else { return Ok::<_, Error>(None) };
                    let page = bucket.cluster.engine().meta().list_trash(bucket.id(), &prefix, after, PAGE).await?;
                    let last = page.last().filter(|_| page.len() == PAGE);
                    let next = last.map(|last| Some((last.head.key.as_str().to_owned(), last.head.version)));
                    Ok(Some((stream::iter(page.into_iter().map(Ok)), next)))
                }
            }
        });
        pages.try_flatten().boxed()
    }

    /// Takes an object out of the trash.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when this version is not there (any more), [`ErrorKind::Precondition`] when the key has a new object.
    pub async fn restore(&self, key: &str, version: VersionId) -> Result<ObjectHead> {
        let engine = self.cluster.engine();
        Ok(self.encryption.shown(engine.restore_object(self.id(), &ObjectKey::new(key)?, version, Precondition::Absent).await?.head))
    }

    /// Every object whose key begins with `prefix`, in byte order of the keys.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<ObjectHead>> {
        let pages = stream::try_unfold(Some(ScanStart::First), {
            let (bucket, prefix) = (self.clone(), prefix.to_owned());
            move |start| {
                let (bucket, prefix) = (bucket.clone(), prefix.clone());
                async move {
                    let Some(start) = start else { return Ok::<_, Error>(None) };
                    let query = ListQuery { prefix, delimiter: None, start, limit: PAGE };
                    let page = bucket.cluster.engine().list(bucket.id(), query).await?;
                    let next = page.truncated.then(|| ScanStart::After(page.last.clone()));
                    Ok(Some((stream::iter(page.objects.into_iter().map(move |head| Ok(bucket.encryption.shown(head)))), next)))
                }
            }
        });
        pages.try_flatten().boxed()
    }

    async fn read(&self, object: &Object, range: Range<u64>) -> Result<ByteStream> {
        self.encryption.incoming(self.cluster.engine(), self.name(), object, range).await
    }

    /// The object, with the size that it has for the caller.
    pub(crate) async fn object(&self, key: &str) -> Result<Object> {
        let found = self.cluster.engine().meta().object(self.id(), &ObjectKey::new(key)?).await;
        let Object { head, manifest } = found.map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::not_found(format!("{}/{key} does not exist", self.name())),
            _ => e,
        })?;
        Ok(Object { head: self.encryption.shown(head), manifest })
    }
}

async fn collect(mut body: ByteStream) -> Result<Bytes> {
    let mut parts: Vec<Bytes> = Vec::new();
    while let Some(bytes) = body.try_next().await? {
        parts.push(bytes);
    }
    if let [whole] = &parts[..] {
        return Ok(whole.clone());
    }
    let mut all = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|part| all.extend_from_slice(part));
    Ok(all.freeze())
}
