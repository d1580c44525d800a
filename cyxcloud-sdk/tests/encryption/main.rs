//! Client-side encryption over real files: what a keyring hides, and what it refuses.
#![allow(clippy::unwrap_used, reason = "tests")]

mod disk;
mod keys;
mod ranges;
mod rotation;
mod tampering;

use bytes::Bytes;
use cyxcloud_core::testing::SplitMix64;
use cyxcloud_sdk::encryption::{Key, Keyring, PasswordCost};
use cyxcloud_sdk::{Bucket, Cluster, Error, Metadata, ObjectHead, Policy, PutOptions, Result, Scheme};
use futures::stream;

const CHUNK: usize = 4096;
/// The cheapest that is allowed.
const CHEAP: PasswordCost = PasswordCost { memory_kib: 7 << 10, passes: 5, lanes: 1 };

struct Bench {
    cluster: Cluster,
    plain: Bucket,
    directory: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let policy =
            Policy { scheme: Scheme::new(2, 1).unwrap(), chunk_size_bytes: CHUNK as u32, inline_max_bytes: 1024, ..Policy::default() };
        let directory = tempfile::tempdir().unwrap();
        let cluster = Cluster::builder().nodes(4).policy(policy).open(directory.path().join("cluster")).await.unwrap();
        let plain = cluster.create_bucket("photos").await.unwrap();
        Self { cluster, plain, directory }
    }

    /// The bucket with a key file of this name, made where it is missing.
    fn sealed(&self, name: &str) -> Bucket {
        self.plain.clone().with_encryption(Keyring::new(self.key(name)))
    }

    fn key(&self, name: &str) -> Key {
        let path = self.directory.path().join(name);
        if path.exists() { Key::from_file(path).unwrap() } else { Key::create_file(path).unwrap() }
    }
}

fn random(seed: u64, len: usize) -> Bytes {
    SplitMix64(seed).bytes(len).into()
}

fn password(text: &str) -> Key {
    Key::from_password_with_cost(text, CHEAP).unwrap()
}

/// An object as its keeper has it.
async fn stored(bucket: &Bucket, key: &str) -> (ObjectHead, Vec<u8>) {
    let download = bucket.get_stored_stream(key).await.unwrap();
    (download.head.clone(), download.bytes().await.unwrap().to_vec())
}

/// Stores what a keeper likes.
async fn put_raw(plain: &Bucket, key: &str, metadata: &Metadata, bytes: Vec<u8>) {
    let options = PutOptions { metadata: metadata.clone(), ..PutOptions::default() };
    plain.put_stream(key, stream::iter([Ok::<_, Error>(Bytes::from(bytes))]), options).await.unwrap();
}

/// All of an object as a stream gives it.
async fn read(bucket: &Bucket, key: &str) -> Result<Vec<u8>> {
    bucket.get(key).await.map(|bytes| bytes.to_vec())
}
