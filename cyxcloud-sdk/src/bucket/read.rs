//! Reading: whole objects, streams, ranges.

use std::ops::Range;

use bytes::Bytes;
use cyxcloud_core::Result;
use cyxcloud_core::engine::ByteStream;
use cyxcloud_core::port::{Object, ObjectHead};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::{Bucket, Download, GetOptions, ReadRange};

/// Ranges of one object that are read at the same time.
const PARALLEL_RANGES: usize = 8;

impl Bucket {
    /// All bytes of an object.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Unavailable`] when too few shards can be read now.
    pub async fn get(&self, key: &str) -> Result<Bytes> {
        self.get_stream(key, GetOptions::default()).await?.bytes().await
    }

    /// The bytes `range` of an object; the end may lie beyond the object's.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use cyxcloud_sdk::ReadRange;
    /// # let cluster = cyxcloud_sdk::Cluster::in_memory().await?;
    /// # let bucket = cluster.create_bucket("photos").await?;
    /// bucket.put("cat.jpg", "a cat's picture").await?;
    /// assert_eq!(bucket.get_range("cat.jpg", 2..5).await?, "cat");
    /// assert_eq!(bucket.get_range("cat.jpg", 8..).await?, "picture");
    /// assert_eq!(bucket.get_range("cat.jpg", ReadRange::Last(4)).await?, "ture");
    /// assert_eq!(bucket.get_ranges("cat.jpg", &[0..1, 2..5]).await?, ["a", "cat"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Bucket::get`]; [`crate::ErrorKind::Invalid`] when the range is empty or begins beyond the object's end.
    pub async fn get_range(&self, key: &str, range: impl Into<ReadRange>) -> Result<Bytes> {
        let options = GetOptions { range: range.into(), ..GetOptions::default() };
        self.get_stream(key, options).await?.bytes().await
    }

    /// Several ranges of one version of an object, in their order; several of them are read at the same time.
    ///
    /// # Errors
    /// As [`Bucket::get_range`].
    pub async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let object = self.object(key).await?;
        let size_bytes = object.head.size_bytes;
        let ranges: Vec<Range<u64>> =
            ranges.iter().map(|range| ReadRange::Bytes(range.clone()).resolve(size_bytes)).collect::<Result<_>>()?;
        let read = |range: Range<u64>| async {
            let body = self.read(&object, range.clone()).await?;
            Download { head: object.head.clone(), range, body }.bytes().await
        };
        stream::iter(ranges).map(read).buffered(PARALLEL_RANGES).try_collect().await
    }

    /// An object and its bytes as they arrive, each verified, in bounded memory.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use cyxcloud_sdk::{Cluster, GetOptions, ReadRange};
    /// use futures::TryStreamExt;
    /// # let cluster = Cluster::in_memory().await?;
    /// # let bucket = cluster.create_bucket("photos").await?;
    /// # bucket.put("cat.jpg", "meow").await?;
    /// let options = GetOptions { range: ReadRange::From(1), ..GetOptions::default() };
    /// let mut download = bucket.get_stream("cat.jpg", options).await?;
    /// assert_eq!((download.head.size_bytes, download.range.clone()), (4, 1..4));
    /// while let Some(bytes) = download.body.try_next().await? {
    ///     assert_eq!(bytes, "eow");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Bucket::get_range`]; [`crate::ErrorKind::Precondition`]. Later trouble ends the stream with an error.
    pub async fn get_stream(&self, key: &str, options: GetOptions) -> Result<Download> {
        let object = self.object(key).await?;
        options.precondition.check(Some((&object.head.etag, object.head.version)))?;
        let range = options.range.resolve(object.head.size_bytes)?;
        let (mut bytes_out, progress) = (0, options.progress);
        let body = self.read(&object, range.clone()).await?.inspect_ok(move |piece| {
            bytes_out += piece.len() as u64;
            progress.tell(bytes_out);
        });
        Ok(Download { head: object.head, range, body: body.boxed() })
    }

    /// Size, entity tag and metadata of an object.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    pub async fn head(&self, key: &str) -> Result<ObjectHead> {
        Ok(self.object(key).await?.head)
    }

    pub(crate) async fn read(&self, object: &Object, range: Range<u64>) -> Result<ByteStream> {
        self.encryption.incoming(self.cluster.engine(), self.name(), object, range).await
    }
}
