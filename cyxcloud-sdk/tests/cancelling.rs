//! Every method of a bucket, dropped after each number of polls: what is there afterwards is what was there before or what the method leaves, whole.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use cyxcloud_sdk::{Bucket, Cluster, CopyOptions, ErrorKind, GetOptions, Policy, PutOptions};
use futures::stream::{self, TryStreamExt};

/// More than any of these needs; a method that does not end within them hangs.
const MAX_POLLS: usize = 2_000;

/// Polls `work` so many times and drops it then. What it returned, if it ended before.
async fn cut<F: Future>(work: F, polls: usize) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // The last poll is not waited for.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn bucket() -> Bucket {
    // Several chunks, so that there is something between.
    let policy = Policy { chunk_size_bytes: 16 << 10, ..Policy::default() };
    Cluster::builder().policy(policy).in_memory().await.unwrap().create_bucket("bucket").await.unwrap()
}

fn bytes(of: u8) -> Bytes {
    vec![of; 100_000].into()
}

async fn found(bucket: &Bucket, key: &str) -> Option<u8> {
    match bucket.get(key).await {
        Ok(got) => {
            assert!(got.len() == 100_000 && got.iter().all(|byte| *byte == got[0]), "{key} is not whole");
            Some(got[0])
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            None
        }
    }
}

/// Drops what `work` makes after 0, 1, 2… polls until it ends by itself; `check` sees what is there after each.
async fn at_every_point<F, C>(work: impl AsyncFn(&Bucket, usize) -> Option<F>, check: C)
where
    C: AsyncFn(&Bucket),
{
    let bucket = bucket().await;
    for polls in 0..MAX_POLLS {
        bucket.put("old", bytes(1)).await.unwrap();
        bucket.delete("new").await.unwrap();
        let ended = work(&bucket, polls).await.is_some();
        check(&bucket).await;
        if ended {
            return;
        }
    }
    panic!("it does not end");
}

#[tokio::test]
async fn put() {
    at_every_point(
        async |bucket, polls| cut(bucket.put("old", bytes(2)), polls).await,
        async |bucket| {
            assert!(matches!(found(bucket, "old").await, Some(1 | 2)));
        },
    )
    .await;
}

#[tokio::test]
async fn put_stream() {
    let body =
        || stream::iter(bytes(2).chunks(7_000).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect::<Vec<_>>());
    at_every_point(
        async |bucket, polls| cut(bucket.put_stream("new", body(), PutOptions::default()), polls).await,
        async |bucket| {
            assert!(matches!(found(bucket, "new").await, None | Some(2)));
        },
    )
    .await;
}

#[tokio::test]
async fn copy() {
    at_every_point(
        async |bucket, polls| cut(bucket.copy("old", "new"), polls).await,
        async |bucket| {
            assert_eq!(found(bucket, "old").await, Some(1));
            assert!(matches!(found(bucket, "new").await, None | Some(1)));
        },
    )
    .await;
}

#[tokio::test]
async fn rename() {
    let rename = async |bucket: &Bucket, polls| cut(bucket.rename_to("old", bucket, "new", CopyOptions::default()), polls).await;
    at_every_point(rename, async |bucket| {
        let there = (found(bucket, "old").await, found(bucket, "new").await);
        assert!(there == (Some(1), None) || there == (None, Some(1)), "{there:?}");
    })
    .await;
}

#[tokio::test]
async fn delete() {
    at_every_point(
        async |bucket, polls| cut(bucket.delete("old"), polls).await,
        async |bucket| {
            assert!(matches!(found(bucket, "old").await, None | Some(1)));
        },
    )
    .await;
}

#[tokio::test]
async fn restore() {
    let policy = Policy { chunk_size_bytes: 16 << 10, trash_window_ms: 3_600_000, ..Policy::default() };
    let bucket = Cluster::builder().policy(policy).in_memory().await.unwrap().create_bucket("bucket").await.unwrap();
    bucket.put("old", bytes(1)).await.unwrap();
    for polls in 0..MAX_POLLS {
        bucket.delete("old").await.unwrap();
        let trashed = async || bucket.trash("old").try_collect::<Vec<_>>().await.unwrap();
        let version = trashed().await[0].head.version;
        let ended = cut(bucket.restore("old", version), polls).await;
        let there = (found(&bucket, "old").await, trashed().await.len());
        assert!(there == (Some(1), 0) || there == (None, 1), "{there:?}");
        if let Some(restored) = ended {
            restored.unwrap();
            return;
        }
    }
    panic!("it does not end");
}

#[tokio::test]
async fn buckets_are_there_or_not() {
    let cluster = bucket().await.cluster().clone();
    for polls in 0..MAX_POLLS {
        let both = async {
            cluster.create_bucket("other").await?;
            cluster.delete_bucket("other").await
        };
        let ended = cut(both, polls).await;
        // Whole, wherever it was dropped: it can be used and removed.
        let other = cluster.ensure_bucket("other").await.unwrap();
        other.put("key", bytes(1)).await.unwrap();
        other.delete("key").await.unwrap();
        cluster.delete_bucket("other").await.unwrap();
        if let Some(outcome) = ended {
            outcome.unwrap();
            return;
        }
    }
    panic!("it does not end");
}

#[tokio::test]
async fn reads_and_lists_change_nothing() {
    let read = async |bucket: &Bucket, polls| {
        let everything = async {
            bucket.get("old").await?;
            bucket.get_ranges("old", &[0..10, 50_000..60_000]).await?;
            bucket.get_stream("old", GetOptions::default()).await?.body.try_collect::<Vec<_>>().await?;
            bucket.head("old").await?;
            bucket.durability("old").await?;
            bucket.usage().await?;
            bucket.list("").try_collect::<Vec<_>>().await?;
            bucket.cluster().health().await
        };
        cut(everything, polls).await.map(|outcome| outcome.unwrap())
    };
    at_every_point(read, async |bucket| assert_eq!(found(bucket, "old").await, Some(1))).await;
}
