//! What goes with a put, a get or a copy.

use std::fmt;
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cyxcloud_core::engine::ByteStream;
use cyxcloud_core::port::{Metadata, ObjectHead, Precondition};
use cyxcloud_core::{Error, Result};
use futures::TryStreamExt;

/// Hears how far a transfer is: bytes so far, from 0, each time some went through. Cheap to clone.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> cyxcloud_sdk::Result<()> {
/// use cyxcloud_sdk::{Cluster, Progress, PutOptions};
/// # let cluster = Cluster::in_memory().await?;
/// # let bucket = cluster.create_bucket("photos").await?;
/// let options = PutOptions { progress: Progress::new(|bytes| eprintln!("{bytes} bytes")), ..PutOptions::default() };
/// bucket.put_with("cat.jpg", vec![7; 1_000_000], options).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Fn(u64) + Send + Sync>>);

impl Progress {
    /// Calls `hear` with the bytes so far. It must not wait: the transfer does meanwhile.
    pub fn new(hear: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    pub(crate) fn tell(&self, bytes: u64) {
        if let Some(hear) = &self.0 {
            hear(bytes);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress, heard" } else { "Progress, not heard" })
    }
}

/// What goes with an object's bytes: see [`crate::Bucket::put_with`]. To be filled up with `..PutOptions::default()`; there will be more.
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// Content headers and the user's own pairs.
    pub metadata: Metadata,
    /// What must hold for the object that is there.
    pub precondition: Precondition,
    /// Size of a full chunk of this object, 1 KiB to 64 MiB, instead of the bucket's.
    pub chunk_size_bytes: Option<u32>,
    /// How many bytes the body has, where that is known, so that as much of the account's quota is reserved at once instead of bit by bit. A hint: a body of
    /// another length is stored all the same. [`crate::Bucket::put_with`] knows it.
    pub size_bytes: Option<u64>,
    /// Hears how many bytes of the body were taken.
    pub progress: Progress,
}

/// What to read of an object, and under which condition: see [`crate::Bucket::get_stream`]. To be filled up with `..GetOptions::default()`; there will be more.
#[derive(Clone, Debug, Default)]
pub struct GetOptions {
    /// Which bytes.
    pub range: ReadRange,
    /// What must hold for the object that is there.
    pub precondition: Precondition,
    /// Hears how many bytes were given out.
    pub progress: Progress,
}

/// A part of an object.
///
/// ```
/// use cyxcloud_sdk::ReadRange;
/// assert_eq!(ReadRange::Last(3).resolve(10)?, 7..10);
/// assert_eq!(ReadRange::from(5..1000).resolve(10)?, 5..10);
/// assert_eq!(ReadRange::from(..=4).resolve(10)?, 0..5);
/// # Ok::<(), cyxcloud_sdk::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReadRange {
    /// All of it.
    #[default]
    All,
    /// These bytes; the end may lie beyond the object's, the start may not.
    Bytes(Range<u64>),
    /// From this byte on; it may not lie beyond the object's end.
    From(u64),
    /// So many bytes at the end, or all.
    Last(u64),
}

impl ReadRange {
    /// The bytes of an object of `size_bytes`.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] for a range that is empty or begins beyond the object.
    pub fn resolve(&self, size_bytes: u64) -> Result<Range<u64>> {
        let outside =
            |start: u64| Error::invalid(format!("a range that begins at {start} leaves the object, which has {size_bytes} bytes"));
        match self {
            Self::All => Ok(0..size_bytes),
            Self::Bytes(range) if range.start >= range.end => {
                Err(Error::invalid(format!("the range {}..{} has no bytes", range.start, range.end)))
            }
            Self::Bytes(range) if range.start >= size_bytes => Err(outside(range.start)),
            Self::Bytes(range) => Ok(range.start..range.end.min(size_bytes)),
            Self::From(start) if *start > size_bytes => Err(outside(*start)),
            Self::From(start) => Ok(*start..size_bytes),
            Self::Last(bytes) => Ok(size_bytes.saturating_sub(*bytes)..size_bytes),
        }
    }
}

impl From<Range<u64>> for ReadRange {
    fn from(range: Range<u64>) -> Self {
        Self::Bytes(range)
    }
}

impl From<RangeFrom<u64>> for ReadRange {
    fn from(range: RangeFrom<u64>) -> Self {
        Self::From(range.start)
    }
}

impl From<RangeTo<u64>> for ReadRange {
    fn from(range: RangeTo<u64>) -> Self {
        Self::Bytes(0..range.end)
    }
}

impl From<RangeInclusive<u64>> for ReadRange {
    fn from(range: RangeInclusive<u64>) -> Self {
        Self::Bytes(*range.start()..range.end().saturating_add(1))
    }
}

impl From<RangeToInclusive<u64>> for ReadRange {
    fn from(range: RangeToInclusive<u64>) -> Self {
        Self::Bytes(0..range.end.saturating_add(1))
    }
}

impl From<RangeFull> for ReadRange {
    fn from(_: RangeFull) -> Self {
        Self::All
    }
}

/// An object being read: see [`crate::Bucket::get_stream`].
#[non_exhaustive]
pub struct Download {
    /// What it is.
    pub head: ObjectHead,
    /// Which of its bytes the body has.
    pub range: Range<u64>,
    /// The bytes as they arrive, each verified. Trouble ends the stream with an error.
    pub body: ByteStream,
}

impl Download {
    /// All of the body.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use cyxcloud_sdk::{Cluster, GetOptions};
    /// # let cluster = Cluster::in_memory().await?;
    /// # let bucket = cluster.create_bucket("photos").await?;
    /// # bucket.put("cat.jpg", "meow").await?;
    /// let cat = bucket.get_stream("cat.jpg", GetOptions::default()).await?;
    /// assert!(std::time::SystemTime::from(cat.head.modified) <= std::time::SystemTime::now());
    /// assert_eq!(cat.bytes().await?, "meow");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the body.
    pub async fn bytes(self) -> Result<Bytes> {
        let mut body = self.body;
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
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("head", &self.head).field("range", &self.range).finish_non_exhaustive()
    }
}

/// How a copy differs from its source: see [`crate::Bucket::copy_to`]. To be filled up with `..CopyOptions::default()`; there will be more.
#[derive(Clone, Debug, Default)]
pub struct CopyOptions {
    /// Content headers and pairs of the copy; those of the source with None.
    pub metadata: Option<Metadata>,
    /// What must hold for the object that is there under the copy's key.
    pub precondition: Precondition,
}
