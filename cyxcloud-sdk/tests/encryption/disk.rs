//! What the keeper of a cluster finds on its disks.

use std::collections::HashSet;
use std::path::Path;

use cyxcloud_sdk::encryption::Keyring;
use cyxcloud_sdk::{Metadata, PutOptions};
use futures::stream;

use super::{Bench, password, random};

const BLOCK: usize = 16;

/// Files below `directory` that have a block of 16 bytes of `plain`, which begins at a multiple of 16 there, anywhere in them. Every window of 32 bytes
/// has such a block.
fn files_with(directory: &Path, blocks: &HashSet<&[u8]>) -> (usize, Vec<String>) {
    let (mut scanned, mut found, mut open) = (0, Vec::new(), vec![directory.to_path_buf()]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        scanned += bytes.len();
        if bytes.windows(BLOCK).any(|window| blocks.contains(window)) {
            found.push(path.display().to_string());
        }
    }
    (scanned, found)
}

#[tokio::test]
async fn no_file_of_the_cluster_has_32_bytes_of_the_plaintext() {
    let bench = Bench::new().await;
    // Within the metadata, one chunk, many of them, and all alike.
    let objects = [random(1, 100), random(2, 900), random(3, 3000), random(4, 300_000), vec![b'z'; 50_000].into()];
    let blocks: HashSet<&[u8]> = objects.iter().flat_map(|bytes| bytes.chunks_exact(BLOCK)).collect();
    let by_password = bench.plain.clone().with_encryption(Keyring::new(password("a password of more than thirty-two bytes")));
    for (n, bytes) in objects.iter().enumerate() {
        for (bucket, who) in [(bench.sealed("key"), "key"), (by_password.clone(), "password")] {
            let metadata = Metadata { user: [("shown".to_owned(), "anyway".to_owned())].into(), ..Metadata::default() };
            let body = stream::iter([Ok::<_, std::io::Error>(bytes.clone())]);
            let key = format!("{who}/{n}");
            bucket.put_stream(&key, body, PutOptions { metadata, ..PutOptions::default() }).await.unwrap();
            bucket.rewrap(&key, &Keyring::new(bench.key("new"))).await.unwrap();
        }
    }
    let cluster = bench.cluster.directory().unwrap().to_path_buf();
    let (scanned, found) = files_with(&cluster, &blocks);
    assert!(scanned > 600_000, "{scanned} bytes scanned");
    assert_eq!(found, [""; 0]);
    // Neither keys nor passwords: the hexadecimal form that key files have, and the bytes.
    for name in ["key", "new"] {
        let file = std::fs::read_to_string(bench.directory.path().join(name)).unwrap();
        let digits = file.trim_end().rsplit(' ').next().unwrap().to_owned();
        let bytes = hex::decode(&digits).unwrap();
        let secrets: HashSet<&[u8]> = digits.as_bytes().chunks_exact(BLOCK).chain(bytes.chunks_exact(BLOCK)).collect();
        assert_eq!(files_with(&cluster, &secrets).1, [""; 0]);
    }
    let secret: HashSet<&[u8]> = [&b"a password of more than thirty-two bytes"[..BLOCK]].into();
    assert_eq!(files_with(&cluster, &secret).1, [""; 0]);
    // The search does find what is there.
    bench.plain.put("small", objects[0].clone()).await.unwrap();
    assert!(files_with(&cluster, &blocks).1.iter().any(|file| file.contains("meta.db")));
    bench.plain.put("large", objects[3].clone()).await.unwrap();
    assert!(files_with(&cluster, &blocks).1.iter().any(|file| file.contains("node-")));
}
