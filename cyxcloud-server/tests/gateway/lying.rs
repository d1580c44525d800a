//! A gateway that answers for another name than was asked for, and what clients believe of it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cyxcloud_core::testing::SplitMix64;
use cyxcloud_sdk::encryption::{Key, Keyring};
use cyxcloud_sdk::{Bucket, Cluster, ConnectOptions, ErrorKind, PutOptions, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::direct::Fleet;

/// Bytes of an answer, and as many that are sent in their place.
type Lies = Arc<Mutex<Vec<(Vec<u8>, Vec<u8>)>>>;

/// Passes bytes on, with `lies` in those of the gateway. Its messages are not compressed, and short ones come in one piece.
async fn lie_for(gateway: SocketAddr, lies: Lies) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut asks, mut answers) = client.into_split();
            let (mut from_gateway, mut to_gateway) = TcpStream::connect(gateway).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut asks, &mut to_gateway).await });
            let lies = lies.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 20];
                while let Ok(read @ 1..) = from_gateway.read(&mut buffer).await {
                    twist(&lies, &mut buffer[..read]);
                    if answers.write_all(&buffer[..read]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

fn twist(lies: &Lies, answer: &mut [u8]) {
    for (truth, lie) in lies.lock().unwrap().iter() {
        assert_eq!(truth.len(), lie.len(), "the length of the message is said before it");
        for at in 0..answer.len().saturating_sub(truth.len() - 1) {
            if answer[at..].starts_with(truth) {
                answer[at..at + truth.len()].copy_from_slice(lie);
            }
        }
    }
}

/// `number` as a field of a message has it.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

const CHUNK_BYTES: u32 = 128 << 10;

/// An object of more than two chunks that only its owner can read.
async fn put(bucket: &Bucket, key: &str, seed: u64) {
    let options = PutOptions { chunk_size_bytes: Some(CHUNK_BYTES), ..PutOptions::default() };
    bucket.put_with(key, SplitMix64(seed).bytes(300_000), options).await.unwrap();
}

async fn refused<T: std::fmt::Debug>(asked: impl Future<Output = Result<T>>) -> String {
    let error = asked.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    error.to_string()
}

#[tokio::test]
async fn answers_for_another_name_or_size_are_not_believed() {
    let fleet = Fleet::new(6).await;
    let lies = Lies::default();
    let gateway = lie_for(fleet.bench.gateway.grpc_addr, lies.clone()).await;
    let pair = fleet.bench.gateway.keys.root();
    let cluster = Cluster::connect(ConnectOptions::new(gateway.to_string(), &pair.access_key_id, &pair.secret_access_key)).await.unwrap();
    let say = |truth: &[u8], lie: &[u8]| *lies.lock().unwrap() = vec![(truth.to_vec(), lie.to_vec())];
    let directory = tempfile::tempdir().unwrap();
    let keyring = Keyring::new(Key::create_file(directory.path().join("key")).unwrap());
    for encrypted in [false, true] {
        let names = if encrypted { ["sealed-photos-1", "sealed-photos-2"] } else { ["plain-photos-1", "plain-photos-2"] };
        let mut bucket = cluster.create_bucket(names[0]).await.unwrap();
        cluster.create_bucket(names[1]).await.unwrap();
        if encrypted {
            bucket = bucket.with_encryption(keyring.clone());
        }
        put(&bucket, "first-of-two.jpg", 1).await;
        put(&bucket, "other-of-two.jpg", 2).await;
        assert_eq!(bucket.get("first-of-two.jpg").await.unwrap(), SplitMix64(1).bytes(300_000));

        // The answer is about another object than was asked for.
        say(b"first-of-two.jpg", b"other-of-two.jpg");
        let said = refused(bucket.get("first-of-two.jpg")).await;
        assert!(said.contains("asked for") && said.contains("other-of-two.jpg"), "{said}");
        refused(bucket.head("first-of-two.jpg")).await;
        refused(bucket.copy("first-of-two.jpg", "third.jpg")).await;

        // It has another size than its chunks.
        let sealed_bytes = if encrypted { 300_000 + 3 * 16 } else { 300_000 };
        say(&varint(sealed_bytes), &varint(sealed_bytes - CHUNK_BYTES as u64));
        let said = bucket.get("first-of-two.jpg").await.unwrap_err().to_string();
        assert!(said.contains("is not that of its manifest"), "{said}");

        // The bucket is another one.
        say(names[0].as_bytes(), names[1].as_bytes());
        let said = refused(cluster.bucket(names[0])).await;
        assert!(said.contains(names[1]), "{said}");
        lies.lock().unwrap().clear();
        assert_eq!(bucket.get("first-of-two.jpg").await.unwrap(), SplitMix64(1).bytes(300_000));
    }
    fleet.bench.gateway.stop().await;
}
