//! The commands of client-side encryption, against a gateway and nodes.

use std::collections::HashSet;
use std::path::Path;

use cyxcloud_core::testing::SplitMix64;

use super::direct::Fleet;
use super::user::User;

/// Files below a directory with 32 bytes of `plain`: see `cyxcloud-sdk/tests/encryption/disk.rs`.
fn files_with(directory: &Path, plain: &[u8]) -> usize {
    let blocks: HashSet<&[u8]> = plain.chunks_exact(16).collect();
    let (mut found, mut open) = (0, vec![directory.to_path_buf()]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found += usize::from(std::fs::read(path).unwrap().windows(16).any(|window| blocks.contains(window)));
        }
    }
    found
}

#[tokio::test]
async fn what_is_uploaded_with_a_key_opens_with_it_alone() {
    let fleet = Fleet::new(6).await;
    let user = User::new(&fleet);
    let plain = SplitMix64(5).bytes(300_000);
    std::fs::write(user.path("cat.jpg"), &plain).unwrap();
    let made = user.must(&["key", "new", "one.key"]).await;
    assert_eq!(made, user.must(&["key", "id", "one.key"]).await);
    user.refused(&["key", "new", "one.key"], "is there already").await;
    user.must(&["key", "new", "two.key"]).await;
    let said = user.must(&["upload", "--direct", "--key-file", "one.key", "cat.jpg", "photos/cat.jpg"]).await;
    assert!(said.contains("300000 bytes"), "{said}");

    let download = ["download", "--direct", "photos/cat.jpg", "copy.jpg"];
    user.refused(&download, "is encrypted by its writer").await;
    user.refused(&[&download[..], &["--key-file", "two.key"]].concat(), "is encrypted under the key").await;
    user.refused(&[&download[..], &["--key-file", "none.key"]].concat(), "cannot read the key file").await;
    assert!(!user.path("copy.jpg").exists());
    user.must(&[&download[..], &["--key-file", "one.key"]].concat()).await;
    assert_eq!(std::fs::read(user.path("copy.jpg")).unwrap(), plain);

    user.must(&["upload", "--direct", "cat.jpg", "photos/plain.jpg"]).await;
    let download = ["download", "--direct", "photos/plain.jpg", "copy.jpg", "--key-file", "one.key"];
    user.refused(&download, "--allow-plain").await;
    user.must(&[&download[..], &["--allow-plain"]].concat()).await;
    fleet.bench.gateway.stop().await;
}

#[tokio::test]
async fn passwords_come_from_files_and_the_environment() {
    let fleet = Fleet::new(6).await;
    let user = User::new(&fleet);
    std::fs::write(user.path("cat.jpg"), "meow").unwrap();
    std::fs::write(user.path("password"), "correct horse\n").unwrap();
    let upload = ["upload", "--direct", "cat.jpg", "photos/cat.jpg"];
    user.must(&[&upload[..], &["--password-file", "password"]].concat()).await;
    let download = ["download", "--direct", "photos/cat.jpg", "copy.jpg"];
    let (good, said) = user.run_with(&[("CYX_PASSWORD", "correct horse")], &download).await;
    assert!(good, "{said}");
    let (good, said) = user.run_with(&[("CYX_PASSWORD", "hunter2")], &download).await;
    assert!(!good && said.contains("the password is not the one") && !said.contains("hunter2"), "{said}");
    assert_eq!(std::fs::read(user.path("copy.jpg")).unwrap(), b"meow");

    // Somebody whose variable is empty by mistake must not store in the clear.
    let (good, said) = user.run_with(&[("CYX_PASSWORD", "")], &["upload", "--direct", "cat.jpg", "photos/clear.jpg"]).await;
    assert!(!good && said.contains("CYX_PASSWORD"), "{said}");
    user.refused(&["download", "--direct", "photos/clear.jpg", "clear.jpg"], "does not exist").await;
    fleet.bench.gateway.stop().await;
}

#[tokio::test]
async fn objects_are_put_under_another_key() {
    let fleet = Fleet::new(6).await;
    let user = User::new(&fleet);
    for key in ["one.key", "two.key"] {
        user.must(&["key", "new", key]).await;
    }
    for (name, bytes) in [("a", 10), ("b", 300_000)] {
        std::fs::write(user.path(name), SplitMix64(bytes).bytes(bytes as usize)).unwrap();
        user.must(&["upload", "--direct", "--key-file", "one.key", name, &format!("photos/2026/{name}")]).await;
    }
    user.must(&["upload", "--direct", "a", "photos/2026/plain"]).await;
    user.must(&["upload", "--direct", "--key-file", "one.key", "a", "photos/2025/a"]).await;
    user.refused(&["rewrap", "photos/2026/", "--new-key-file", "two.key"], "--key-file").await;
    let rewrap = ["rewrap", "photos/2026/", "--key-file", "one.key", "--new-key-file", "two.key"];
    let said = user.must(&[&rewrap[..], &["--json"]].concat()).await;
    for counted in [r#""done":2"#, r#""already":0"#, r#""not_encrypted":1"#, r#""failed":0"#] {
        assert!(said.contains(counted), "{counted} in {said}");
    }
    // Repeated, it has nothing left to do.
    let said = user.must(&rewrap).await;
    assert!(said.contains("0 objects put under the new key, 2 were already"), "{said}");

    let download = |key, from| ["download", "--direct", "--key-file", key, from, "copy"];
    user.refused(&download("one.key", "photos/2026/b"), "is encrypted under the key").await;
    user.must(&download("two.key", "photos/2026/b")).await;
    assert_eq!(std::fs::read(user.path("copy")).unwrap(), SplitMix64(300_000).bytes(300_000));
    user.must(&download("one.key", "photos/2025/a")).await;
    fleet.bench.gateway.stop().await;
}

#[tokio::test]
async fn neither_gateway_nor_nodes_have_32_bytes_of_the_plaintext() {
    let fleet = Fleet::new(6).await;
    let user = User::new(&fleet);
    user.must(&["key", "new", "one.key"]).await;
    let disks = [fleet.bench.gateway.directory.as_path(), fleet.scratch.path()];
    for (name, len) in [("small", 1000), ("large", 300_000)] {
        let plain = SplitMix64(len as u64).bytes(len);
        std::fs::write(user.path(name), &plain).unwrap();
        user.must(&["upload", "--direct", "--key-file", "one.key", name, &format!("photos/{name}")]).await;
        assert_eq!(disks.map(|disk| files_with(disk, &plain)), [0, 0]);
    }
    // The search does find what is there.
    user.must(&["upload", "--direct", "large", "photos/plain"]).await;
    assert!(files_with(fleet.scratch.path(), &SplitMix64(300_000).bytes(300_000)) > 0);
    fleet.bench.gateway.stop().await;
}
