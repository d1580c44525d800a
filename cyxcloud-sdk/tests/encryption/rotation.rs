//! Rotation: new wraps of the same data keys.

use cyxcloud_core::data::manifest::Manifest;
use cyxcloud_core::id::ObjectKey;
use cyxcloud_sdk::encryption::{Keyring, Rewrapped};
use cyxcloud_sdk::{CopyOptions, ErrorKind, Metadata};
use futures::StreamExt;

use super::{Bench, password, put_raw, random, read, stored};

impl Bench {
    async fn manifest(&self, key: &str) -> Manifest {
        self.cluster.engine().meta().object(self.plain.id(), &ObjectKey::new(key).unwrap()).await.unwrap().manifest
    }
}

#[tokio::test]
async fn a_rotation_moves_no_data() {
    let bench = Bench::new().await;
    let (old, new) = (bench.sealed("old"), bench.sealed("new"));
    for (key, len) in [("small", 10), ("large", 100_000)] {
        old.put(key, random(1, len)).await.unwrap();
        let (before, manifest) = (stored(&bench.plain, key).await, bench.manifest(key).await);
        assert_eq!(old.rewrap(key, &Keyring::new(bench.key("new"))).await.unwrap(), Rewrapped::Done);
        let after = stored(&bench.plain, key).await;
        assert_eq!((&before.1, &before.0.etag, manifest), (&after.1, &after.0.etag, bench.manifest(key).await));
        assert_ne!((before.0.version, before.0.metadata), (after.0.version, after.0.metadata));
        assert_eq!(read(&new, key).await.unwrap(), random(1, len));
        let refused = read(&old, key).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
        assert_eq!(old.rewrap(key, &Keyring::new(bench.key("new"))).await.unwrap(), Rewrapped::Already);
    }
    let unknown = Keyring::new(bench.key("unknown"));
    let refused = old.rewrap("small", &unknown).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Invalid && refused.to_string().contains("photos/small"), "{refused}");
    assert_eq!(old.rewrap("none", &unknown).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_bucket_is_rotated_object_by_object() {
    let bench = Bench::new().await;
    let (old, new) = (bench.sealed("old"), Keyring::new(password("new")));
    for n in 0..20 {
        old.put(&format!("a/{n:02}"), random(n, 5000)).await.unwrap();
    }
    old.put("b", "elsewhere").await.unwrap();
    bench.plain.put("a/plain", "plain").await.unwrap();
    bench.sealed("lost").put("a/lost", "lost").await.unwrap();
    // Interrupted after some.
    assert_eq!(old.rewrap_all("a/", &new).take(5).filter(|(_, outcome)| std::future::ready(outcome.is_ok())).count().await, 5);
    let outcomes: Vec<_> = old.rewrap_all("a/", &new).collect().await;
    assert_eq!(outcomes.len(), 22);
    for (key, outcome) in outcomes {
        match key.as_str() {
            "a/plain" => assert_eq!(outcome.unwrap(), Rewrapped::NotEncrypted),
            "a/lost" => assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Invalid),
            _ => assert!(matches!(outcome.unwrap(), Rewrapped::Done | Rewrapped::Already), "{key}"),
        }
    }
    let rotated = bench.plain.clone().with_encryption(Keyring::new(password("new")));
    for n in 0..20 {
        assert_eq!(read(&rotated, &format!("a/{n:02}")).await.unwrap(), random(n, 5000));
    }
    assert_eq!(read(&old, "b").await.unwrap(), b"elsewhere");
    // A keyring that has both needs no other.
    let both = Keyring::new(password("new")).with_old_key(bench.key("old"));
    assert_eq!(bench.plain.rewrap("b", &both).await.unwrap(), Rewrapped::Done);
    assert_eq!(read(&rotated, "b").await.unwrap(), b"elsewhere");
}

#[tokio::test]
async fn what_was_changed_is_not_wrapped_again() {
    let bench = Bench::new().await;
    let old = bench.sealed("old");
    old.put("a", "one").await.unwrap();
    old.put("b", "two").await.unwrap();
    let (a, b) = (stored(&bench.plain, "a").await, stored(&bench.plain, "b").await);
    put_raw(&bench.plain, "a", &b.0.metadata, a.1).await;
    assert_eq!(old.rewrap("a", &Keyring::new(bench.key("new"))).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

/// A data key opens under its own name only, so copies are wrapped again, whatever metadata they get.
#[tokio::test]
async fn a_copy_is_wrapped_for_its_own_name() {
    let bench = Bench::new().await;
    let backup = bench.cluster.create_bucket("backup").await.unwrap();
    let (sealed, other) = (bench.sealed("one"), backup.clone().with_encryption(Keyring::new(bench.key("two"))));
    sealed.put("cat", random(1, 10_000)).await.unwrap();
    sealed.copy("cat", "tiger").await.unwrap();
    let options = CopyOptions { metadata: Some(Metadata::default()), ..CopyOptions::default() };
    let head = sealed.copy_to("cat", &other, "lion", options).await.unwrap();
    assert_eq!(head.size_bytes, 10_000);
    assert_eq!(read(&sealed, "tiger").await.unwrap(), random(1, 10_000));
    assert_eq!(read(&other, "lion").await.unwrap(), random(1, 10_000));
    assert_eq!(bench.manifest("cat").await, bench.manifest("tiger").await);
    for (source, target) in [(&bench.plain, &sealed), (&sealed, &bench.plain), (&bench.plain, &bench.plain)] {
        let refused = source.copy_to("cat", target, "puma", CopyOptions::default()).await.unwrap_err();
        assert!(refused.kind() == ErrorKind::Invalid && refused.to_string().contains("keyring in both buckets"), "{refused}");
    }
    bench.plain.put("plain", "bytes").await.unwrap();
    sealed.rename("tiger", "lynx").await.unwrap();
    assert_eq!(read(&sealed, "lynx").await.unwrap(), random(1, 10_000));
    assert_eq!(sealed.head("tiger").await.unwrap_err().kind(), ErrorKind::NotFound);
    bench.plain.copy_to("plain", &backup, "plain", CopyOptions::default()).await.unwrap();
    assert_eq!(read(&backup, "plain").await.unwrap(), b"bytes");
}
