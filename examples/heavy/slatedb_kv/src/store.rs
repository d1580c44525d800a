//! The bucket as SlateDB sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cyxcloud_sdk::Bucket;
use object_store::ObjectStore;
use object_store::memory::InMemory;

/// Stands in for the backend until the SDK has one: a bucket's objects, kept in this process over closing and opening it again.
pub fn store(bucket: &Bucket) -> Arc<dyn ObjectStore> {
    static BUCKETS: Mutex<BTreeMap<[u8; 16], Arc<InMemory>>> = Mutex::new(BTreeMap::new());
    BUCKETS.lock().unwrap_or_else(PoisonError::into_inner).entry(bucket.id().0).or_default().clone()
}
