//! Objects with long manifests, kept beside the store that has them. It decides with every read whether what is kept is what is there.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cyxcloud_core::Result;
use cyxcloud_core::id::{BucketId, ObjectKey};
use cyxcloud_core::port::Object;
use cyxcloud_proto::gateway::v1 as message;
use prost::Message;
use redis::Script;

use super::RedisOptions;
use super::link::Link;
use crate::wire::object as convert;

/// Half of the memory is left to the notes: objects can be read again, and a note that finds no room is refused.
static KEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local memory = redis.call('INFO', 'memory')
        local most = tonumber(string.match(memory, 'maxmemory:(%d+)'))
        if most == 0 or tonumber(string.match(memory, 'used_memory:(%d+)')) < most / 2 then
          redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        end",
    )
});

/// Length of what proves that an entry is ours.
const MAC_BYTES: usize = 32;

/// The objects of one cluster.
pub(super) struct Objects {
    link: Link,
    prefix: String,
    key: [u8; 32],
    bytes: RangeInclusive<usize>,
    ttl_ms: u64,
    rest: Duration,
    /// Redis is left alone until then.
    rests_until: Mutex<Option<Instant>>,
    pub(super) failures: AtomicU64,
}

impl Objects {
    /// Entries are proven by `key`, which only those have who may use the store.
    pub(super) fn new(link: Link, prefix: String, key: [u8; 32], options: &RedisOptions) -> Self {
        let (bytes, ttl_ms, rest) = (options.object_bytes.clone(), options.object_ttl_ms, Duration::from_millis(options.rest_ms));
        Self { link, prefix, key, bytes, ttl_ms, rest, rests_until: Mutex::default(), failures: AtomicU64::new(0) }
    }

    /// What is kept of an object; none where it is odd in any way.
    pub(super) async fn find(&self, bucket: BucketId, key: &ObjectKey) -> Option<Object> {
        let name = self.name(bucket, key);
        // A part, so that nothing too long is sent; cut off it proves nothing.
        let most = *self.bytes.end() + MAC_BYTES;
        let mut get = redis::cmd("GETRANGE");
        get.arg(&name).arg(0).arg(most);
        let get = &get;
        let entry: Vec<u8> = self.ask(async || self.link.ask(async |mut c| get.query_async(&mut c).await).await).await?;
        let (mac, body) = entry.split_first_chunk::<MAC_BYTES>()?;
        // Comparing hashes of blake3 takes the same time wherever they differ.
        if self.mac(&name, body) != blake3::Hash::from_bytes(*mac) {
            return None;
        }
        convert::object(Some(message::Object::decode(body).ok()?)).ok().filter(|object| object.head.key == *key)
    }

    /// Keeps an object that was read, if its manifest is worth it.
    pub(super) async fn keep(&self, bucket: BucketId, object: &Object) {
        let body = convert::object_message(object).encode_to_vec();
        if !self.bytes.contains(&body.len()) {
            return;
        }
        let name = self.name(bucket, &object.head.key);
        let entry = [self.mac(&name, &body).as_bytes(), body.as_slice()].concat();
        let mut set = KEEP.key(name);
        set.arg(entry).arg(self.ttl_ms);
        let set = &set;
        // Where it cannot be kept it is read again.
        let _: Option<()> = self.ask(async || self.link.ask(async |mut c| set.invoke_async(&mut c).await).await).await;
    }

    /// Asks, unless Redis failed a moment ago: dead or slow it must not cost every read its patience.
    async fn ask<T>(&self, call: impl AsyncFnOnce() -> Result<T>) -> Option<T> {
        let rests_until = || self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        if rests_until().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let answer = call().await;
        if answer.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
            *rests_until() = Instant::now().checked_add(self.rest);
        }
        answer.ok()
    }

    fn name(&self, bucket: BucketId, key: &ObjectKey) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&bucket.0).update(key.as_str().as_bytes());
        [self.prefix.as_bytes(), b"o:", hasher.finalize().as_bytes()].concat()
    }

    /// Over the name too, so that an entry is not another object's.
    fn mac(&self, name: &[u8], body: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"entry").update(name).update(body);
        hasher.finalize()
    }
}
