//! Redis in front of any metadata store, for clusters of several gateways.
//!
//! It holds what gateways share for minutes: notes and counters, which live in Redis alone, and long manifests that are read often, which stay what the
//! store says they are. Everything else goes to the store. What becomes of each when Redis is gone is in docs/decisions/0011-what-redis-holds.md: notes
//! are refused, since to do without would let happen twice what may happen once; objects are read from the store.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cyxcloud_core::id::{BucketId, ObjectKey};
use cyxcloud_core::port::{Environment, Meta, NoteName, Object};
use cyxcloud_core::{Error, Result};

mod forward;
mod link;
mod notes;
mod objects;

use link::Link;
use notes::Notes;
use objects::Objects;

const CONTEXT: &str = "cyxcloud 2026-11 entries of Redis v1";

/// How a [`RedisMeta`] uses Redis.
#[derive(Clone)]
pub struct RedisOptions {
    /// How long a note waits for its answer.
    pub note_timeout_ms: u64,
    /// How long a read of an object waits to be told what is kept of it, before it asks the store for the whole.
    pub object_timeout_ms: u64,
    /// Objects are kept whose description is as long as this: a short one costs the store no more than the question whether it is still true.
    pub object_bytes: RangeInclusive<usize>,
    /// How long an object is kept.
    pub object_ttl_ms: u64,
    /// After a failure no read asks Redis for so long.
    pub rest_ms: u64,
    /// Notes go by this clock instead of that of Redis: for tests.
    pub clock: Option<Arc<dyn Environment>>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            note_timeout_ms: 1_000,
            object_timeout_ms: 50,
            object_bytes: 2 << 10..=1 << 20,
            object_ttl_ms: 3_600_000,
            rest_ms: 1_000,
            clock: None,
        }
    }
}

/// What Redis was good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedisStats {
    /// Objects that were kept and still true.
    pub object_hits: u64,
    /// Objects that were kept and had changed.
    pub object_stale: u64,
    /// Objects that were not kept, or could not be asked for.
    pub object_misses: u64,
    /// Times that Redis did not answer in time, or not as it should: for objects.
    pub object_failures: u64,
    /// The same for notes and counters.
    pub note_failures: u64,
}

/// A metadata store with Redis in front of it.
pub struct RedisMeta {
    inner: Arc<dyn Meta>,
    link: Link,
    notes: Notes,
    objects: Objects,
    clock: Option<Arc<dyn Environment>>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    stale: AtomicU64,
    misses: AtomicU64,
    note_failures: AtomicU64,
}

impl RedisMeta {
    /// Puts the Redis at `url`, `redis://user:password@host:port/database`, in front of `inner`. It need not be there yet. Several clusters may share one:
    /// what keys begin with, and what proves that an object in it is ours, comes from a secret in `inner`.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] for a URL that is none, and those of `inner`.
    pub async fn open(inner: Arc<dyn Meta>, url: &str, options: RedisOptions) -> Result<Self> {
        // Not with its cause, which could show the password.
        let client = || redis::Client::open(url).map_err(|_| Error::invalid("REDIS_URL is not the URL of a Redis server"));
        let secret = secret(&*inner).await?;
        let key = blake3::derive_key(CONTEXT, &secret);
        let prefix = format!("cyx:{}:", &blake3::keyed_hash(&key, b"prefix").to_hex()[..16]);
        let link = |ms: u64| Ok(Link::new(client()?, Duration::from_millis(ms)));
        // Connections of their own: a long manifest does not stand in the way of a nonce.
        let notes = Notes::new(link(options.note_timeout_ms)?, prefix.clone());
        let objects = Objects::new(link(options.object_timeout_ms)?, prefix, key, &options);
        Ok(Self { inner, link: link(options.note_timeout_ms)?, notes, objects, clock: options.clock, counts: Counts::default() })
    }

    /// What Redis does when its memory is full, `noeviction` for one that forgets nothing before its time.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Unavailable`] when it cannot be asked.
    pub async fn eviction_policy(&self) -> Result<String> {
        let memory: String = self.link.ask(async |mut c| redis::cmd("INFO").arg("memory").query_async(&mut c).await).await?;
        let policy = memory.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
        Ok(policy.unwrap_or("unknown").trim().to_owned())
    }

    /// What Redis was good for since this was opened.
    pub fn stats(&self) -> RedisStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        RedisStats {
            object_hits: read(&self.counts.hits),
            object_stale: read(&self.counts.stale),
            object_misses: read(&self.counts.misses),
            object_failures: read(&self.objects.failures),
            note_failures: read(&self.counts.note_failures),
        }
    }

    /// The version is asked of the store with every read, in which a write is seen that came from anywhere. Entries need no removal.
    async fn read(&self, bucket: BucketId, key: &ObjectKey) -> Result<Object> {
        let count = |count: &AtomicU64| {
            count.fetch_add(1, Ordering::Relaxed);
        };
        let read = match self.objects.find(bucket, key).await {
            Some(kept) => match self.inner.object_unless(bucket, key, kept.head.version).await? {
                None => {
                    count(&self.counts.hits);
                    return Ok(kept);
                }
                Some(newer) => {
                    count(&self.counts.stale);
                    newer
                }
            },
            None => {
                count(&self.counts.misses);
                self.inner.object(bucket, key).await?
            }
        };
        self.objects.keep(bucket, &read).await;
        Ok(read)
    }

    fn now(&self) -> notes::Now {
        self.clock.as_ref().map(|clock| clock.now())
    }

    fn counted<T>(&self, answer: Result<T>) -> Result<T> {
        if answer.as_ref().is_err_and(|e| e.kind() == cyxcloud_core::ErrorKind::Unavailable) {
            self.counts.note_failures.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

impl std::fmt::Debug for RedisMeta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisMeta").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// What all processes over this store know and nobody else. The first one makes it.
async fn secret(inner: &dyn Meta) -> Result<Vec<u8>> {
    let mut new = [0; 32];
    getrandom::fill(&mut new).map_err(|e| Error::internal("no randomness from the operating system").with_source(e))?;
    let new = Bytes::copy_from_slice(&new);
    let there = inner.note_once(NoteName::new("redis", b"secret"), new.clone(), u64::MAX).await?;
    Ok(there.unwrap_or(new).to_vec())
}
