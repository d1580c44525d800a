//! One bucket as an object store.

mod builder;
pub(crate) mod convert;
mod list;
mod registry;
mod upload;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::OnceCell;

use super::{api, results};
use crate::bucket::{Bucket, CopyOptions, PutOptions};
use crate::{ErrorKind, Precondition};
use api::path::Path;
use api::{
    CopyMode, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions,
    PutPayload, PutResult, RenameOptions, RenameTargetMode, Result,
};
pub use builder::{CyxBuilder, CyxConfigKey, parse_url_opts};
use convert::{attributes, e_tag, failed, invalid, key, meta, metadata, unsupported, version_id};
pub use registry::register_all;

/// Objects deleted at the same time by one stream.
const PARALLEL_DELETES: usize = 16;

/// A bucket as an [`ObjectStore`]. Clones share it. Uploads in parts need a tokio runtime.
///
/// **Cancelling.** Calls that are dropped leave an object as it was or as the call leaves it, never between. The bytes of `put_part` are handed over with the
/// call: dropping its future does not take the part back. Dropping the upload itself ends it, unless `complete` was called before, which may still make
/// it visible. A stream of deletions is some objects ahead of what it has told.
#[derive(Clone)]
pub struct CyxStore {
    source: Arc<Source>,
}

/// The bucket, or how to open it when it is needed first: builders and URL parsers may not wait.
enum Source {
    Open(Bucket),
    Closed(CyxBuilder, OnceCell<Bucket>),
}

impl CyxStore {
    /// The store of an open bucket.
    pub fn new(bucket: Bucket) -> Self {
        Self { source: Arc::new(Source::Open(bucket)) }
    }

    /// The bucket, opened now where it is not.
    ///
    /// # Errors
    /// When the cluster cannot be opened or reached, or has no such bucket.
    pub async fn bucket(&self) -> Result<&Bucket> {
        self.opened().await.map_err(|error| failed(&Path::default(), error))
    }

    pub(crate) async fn opened(&self) -> crate::Result<&Bucket> {
        match &*self.source {
            Source::Open(bucket) => Ok(bucket),
            Source::Closed(builder, opened) => opened.get_or_try_init(|| builder.open()).await,
        }
    }

    /// What it was built of; None for the store of a bucket that was open.
    #[allow(dead_code, reason = "only the signer asks")]
    pub(crate) fn builder(&self) -> Option<&CyxBuilder> {
        match &*self.source {
            Source::Open(_) => None,
            Source::Closed(builder, _) => Some(builder),
        }
    }

    fn name(&self) -> &str {
        match &*self.source {
            Source::Open(bucket) => bucket.name(),
            Source::Closed(builder, _) => builder.bucket_name(),
        }
    }

    async fn write(&self, location: &Path, payload: PutPayload, options: PutOptions) -> crate::Result<PutResult> {
        let bucket = self.opened().await?;
        let options = PutOptions { size_bytes: Some(payload.content_length() as u64), ..options };
        let pieces = stream::iter(payload.into_iter().map(Ok::<Bytes, crate::Error>));
        bucket.put_stream(key(location), pieces, options).await.map(put_result)
    }
}

pub(crate) fn put_result(head: crate::ObjectHead) -> PutResult {
    results::put(e_tag(&head))
}

impl fmt::Display for CyxStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CyxCloud({})", self.name())
    }
}

impl fmt::Debug for CyxStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CyxStore({})", self.name())
    }
}

#[async_trait]
impl ObjectStore for CyxStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: api::PutOptions) -> Result<PutResult> {
        let precondition = match &opts.mode {
            PutMode::Overwrite => Precondition::None,
            PutMode::Create => Precondition::Absent,
            PutMode::Update(api::UpdateVersion { e_tag: Some(e_tag), .. }) => {
                Precondition::VersionIs(version_id(e_tag).ok_or_else(|| replaced(location))?)
            }
            PutMode::Update(_) => return Err(invalid("an update needs the entity tag of what it replaces")),
        };
        let options = PutOptions { metadata: metadata(&opts.attributes, &opts.tags)?, precondition, ..PutOptions::default() };
        match (self.write(location, payload, options).await, &opts.mode) {
            (Ok(stored), _) => Ok(stored),
            (Err(error), PutMode::Create) if error.kind() == ErrorKind::Precondition => Err(exists(location, error)),
            // The object is gone, unless it is the bucket.
            (Err(error), PutMode::Update(_)) if error.kind() == ErrorKind::NotFound && self.bucket().await?.usage().await.is_ok() => {
                Err(replaced(location))
            }
            (Err(error), _) => Err(failed(location, error)),
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let options = PutOptions { metadata: metadata(&opts.attributes, &opts.tags)?, ..PutOptions::default() };
        Ok(Box::new(upload::Upload::begin(self.bucket().await?.clone(), location, options)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let bucket = self.bucket().await?;
        let object = bucket.object(key(location)).await.map_err(|error| failed(location, error))?;
        let (meta, attributes) = (meta(location.clone(), &object.head), attributes(&object.head.metadata));
        if options.version.is_some() {
            return Err(unsupported("objects have no versions that can be read; conditions by entity tag tell them apart"));
        }
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            Some(range) => range.as_range(meta.size).map_err(|error| invalid(error.to_string()))?,
            None => 0..meta.size,
        };
        if options.head {
            return Ok(results::get(GetResultPayload::Stream(stream::empty().boxed()), meta, range, attributes));
        }
        let body = bucket.read(&object, range.clone()).await.map_err(|error| failed(location, error))?;
        let location = location.clone();
        let body = body.map(move |piece| piece.map_err(|error| failed(&location, error))).boxed();
        Ok(results::get(GetResultPayload::Stream(body), meta, range, attributes))
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.bucket().await?.get_ranges(key(location), ranges).await.map_err(|error| failed(location, error))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Result<Path>| {
            let store = store.clone();
            async move {
                let location = location?;
                // What is not there any more is what was asked for.
                store.bucket().await?.delete(key(&location)).await.map_err(|error| failed(&location, error))?;
                Ok(location)
            }
        };
        locations.map(delete).buffered(PARALLEL_DELETES).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_from(prefix, crate::ScanStart::First)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_from(prefix, crate::ScanStart::After(offset.as_ref().to_owned()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.list_directory(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: api::CopyOptions) -> Result<()> {
        let (bucket, create) = (self.bucket().await?, options.mode == CopyMode::Create);
        let copied = bucket.copy_to(key(from), bucket, key(to), only_new(create)).await;
        copied.map(drop).map_err(|error| of_target(from, to, create, error))
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let (bucket, create) = (self.bucket().await?, options.target_mode == RenameTargetMode::Create);
        let renamed = bucket.rename_to(key(from), bucket, key(to), only_new(create)).await;
        renamed.map(drop).map_err(|error| of_target(from, to, create, error))
    }
}

fn only_new(create: bool) -> CopyOptions {
    CopyOptions { precondition: if create { Precondition::Absent } else { Precondition::None }, ..CopyOptions::default() }
}

fn of_target(from: &Path, to: &Path, create: bool, error: crate::Error) -> api::Error {
    if create && error.kind() == ErrorKind::Precondition { exists(to, error) } else { failed(from, error) }
}

fn exists(location: &Path, error: crate::Error) -> api::Error {
    api::Error::AlreadyExists { path: location.to_string(), source: error.into() }
}

fn replaced(location: &Path) -> api::Error {
    api::Error::Precondition { path: location.to_string(), source: "the object was replaced or deleted; read it again".into() }
}
