//! Lists, and the trash.

use cyxcloud_core::engine::{ListQuery, Listing};
use cyxcloud_core::id::{ObjectKey, VersionId};
use cyxcloud_core::port::{ObjectHead, Precondition, ScanStart, Trashed};
use cyxcloud_core::{Error, Result};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::Bucket;

/// Keys of one list page.
const PAGE: usize = 1000;

impl Bucket {
    /// Every object whose key begins with `prefix`, in byte order of the keys.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use futures::TryStreamExt;
    /// # let cluster = cyxcloud_sdk::Cluster::in_memory().await?;
    /// # let bucket = cluster.create_bucket("photos").await?;
    /// bucket.put("2026/cat.jpg", "meow").await?;
    /// bucket.put("2025/dog.jpg", "woof").await?;
    /// let heads: Vec<_> = bucket.list("2026/").try_collect().await?;
    /// assert_eq!(heads[0].key.as_str(), "2026/cat.jpg");
    /// # Ok(())
    /// # }
    /// ```
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<ObjectHead>> {
        self.list_from(prefix, ScanStart::First)
    }

    /// The objects whose key begins with `prefix`, from `start` on: what lies before it is not looked at.
    pub fn list_from(&self, prefix: &str, start: ScanStart) -> BoxStream<'static, Result<ObjectHead>> {
        let pages = stream::try_unfold(Some(start), {
            let (bucket, prefix) = (self.clone(), prefix.to_owned());
            move |start| {
                let (bucket, prefix) = (bucket.clone(), prefix.clone());
                async move {
                    let Some(start) = start else { return Ok::<_, Error>(None) };
                    let page = bucket.list_page(ListQuery { prefix, delimiter: None, start, limit: PAGE }).await?;
                    let next = page.truncated.then(|| ScanStart::After(page.last.clone()));
                    Ok(Some((stream::iter(page.objects.into_iter().map(Ok)), next)))
                }
            }
        });
        pages.try_flatten().boxed()
    }

    /// One page, with keys that share a prefix up to the delimiter folded into one.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use cyxcloud_sdk::ListQuery;
    /// # let cluster = cyxcloud_sdk::Cluster::in_memory().await?;
    /// # let bucket = cluster.create_bucket("photos").await?;
    /// for key in ["2025/dog.jpg", "2026/cat.jpg", "index"] {
    ///     bucket.put(key, "").await?;
    /// }
    /// let page = bucket.list_page(ListQuery { delimiter: Some("/".into()), ..ListQuery::default() }).await?;
    /// assert_eq!(page.prefixes, ["2025/", "2026/"]);
    /// assert_eq!((page.objects[0].key.as_str(), page.truncated), ("index", false));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn list_page(&self, query: ListQuery) -> Result<Listing> {
        let mut page = self.cluster.engine().list(self.id(), query).await?;
        page.objects = page.objects.into_iter().map(|head| self.encryption.shown(head)).collect();
        Ok(page)
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
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use cyxcloud_sdk::{Cluster, Policy};
    /// use futures::TryStreamExt;
    /// let policy = Policy { trash_window_ms: 7 * 24 * 3_600_000, ..Policy::default() };
    /// let bucket = Cluster::builder().policy(policy).in_memory().await?.create_bucket("photos").await?;
    /// bucket.put("cat.jpg", "meow").await?;
    /// bucket.delete("cat.jpg").await?;
    /// let trashed: Vec<_> = bucket.trash("").try_collect().await?;
    /// bucket.restore("cat.jpg", trashed[0].head.version).await?;
    /// assert_eq!(bucket.get("cat.jpg").await?, "meow");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when this version is not there (any more), [`crate::ErrorKind::Precondition`] when the key has a new object.
    pub async fn restore(&self, key: &str, version: VersionId) -> Result<ObjectHead> {
        let engine = self.cluster.engine();
        let object = engine.restore_object(self.id(), &ObjectKey::new(key)?, version, Precondition::Absent).await?;
        Ok(self.encryption.shown(object.head))
    }
}
