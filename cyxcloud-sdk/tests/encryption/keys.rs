//! Keys: the right ones open, others say so, and none shows.

use cyxcloud_sdk::encryption::{Key, Keyring, METADATA_NAME};
use cyxcloud_sdk::{Download, ErrorKind, GetOptions, Metadata, PutOptions};
use futures::{StreamExt, TryStreamExt, stream};
use zeroize::Zeroizing;

use super::{Bench, password, random, read};

#[tokio::test]
async fn a_wrong_key_is_a_clear_error() {
    let bench = Bench::new().await;
    let with = |keyring| bench.plain.clone().with_encryption(keyring);
    bench.sealed("one").put("by key", "bytes").await.unwrap();
    with(Keyring::new(password("right"))).put("by password", "bytes").await.unwrap();
    let id = |name| bench.key(name).id().unwrap().to_string();
    let (one, two) = (id("one"), id("two"));
    let cases = [
        (Keyring::new(bench.key("two")), "by key", vec![one.as_str(), two.as_str()]),
        (Keyring::new(password("right")), "by key", vec![one.as_str(), "a password"]),
        (Keyring::new(password("wrong")), "by password", vec!["the password is not the one"]),
        (Keyring::new(bench.key("one")), "by password", vec!["under a password", one.as_str()]),
        (Keyring::new(password("wrong")).with_old_key(bench.key("one")), "by password", vec!["the password is not the one"]),
    ];
    for (keyring, object, says) in cases {
        let refused = read(&with(keyring), object).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(says.iter().all(|part| refused.to_string().contains(part)), "{refused}");
    }
    let both = with(Keyring::new(password("other")).with_old_key(password("right")).with_old_key(bench.key("one")));
    for object in ["by key", "by password"] {
        assert_eq!(read(&both, object).await.unwrap(), b"bytes");
    }
}

/// Another process with the same password has another salt.
#[tokio::test]
async fn a_password_opens_what_others_wrote_with_it() {
    let bench = Bench::new().await;
    for process in 0..3 {
        let bucket = bench.plain.clone().with_encryption(Keyring::new(password("schön")));
        bucket.put(&process.to_string(), random(process, 10_000)).await.unwrap();
    }
    let reader = bench.plain.clone().with_encryption(Keyring::new(Key::from_password("schön").unwrap()));
    for process in 0..3 {
        assert_eq!(read(&reader, &process.to_string()).await.unwrap(), random(process, 10_000));
    }
    assert_eq!(Key::from_password("").unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_client_without_a_keyring_is_told() {
    let bench = Bench::new().await;
    let sealed = bench.sealed("key");
    let metadata = Metadata { user: [("author".to_owned(), "me".to_owned())].into(), ..Metadata::default() };
    let body = stream::iter([Ok::<_, std::io::Error>(random(1, 10_000))]);
    sealed.put_stream("object", body, PutOptions { metadata, ..PutOptions::default() }).await.unwrap();
    let plain = &bench.plain;
    for refused in [
        read(plain, "object").await.err(),
        plain.get_stream("object", GetOptions::default()).await.err(),
        plain.get_range("object", 0..1).await.err(),
    ] {
        let refused = refused.unwrap();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().contains("encrypted") && refused.to_string().contains("--key-file"), "{refused}");
    }
    let user = plain.head("object").await.unwrap().metadata.user;
    assert_eq!(user["author"], "me");
    assert!(user.contains_key(METADATA_NAME));
    assert_eq!(plain.list("").count().await, 1);
    // Copied by somebody who has no key, and put back.
    let Download { head, body, .. } = plain.get_stored_stream("object").await.unwrap();
    let pieces: Vec<_> = body.try_collect().await.unwrap();
    assert!(plain.delete("object").await.unwrap());
    let options = PutOptions { metadata: head.metadata, ..PutOptions::default() };
    plain.put_stream("object", stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>)), options).await.unwrap();
    assert_eq!(read(&sealed, "object").await.unwrap(), random(1, 10_000));
}

#[cfg(unix)]
#[test]
fn key_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let made = Key::create_file(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Key::from_file(&path).unwrap().id(), made.id());
    assert_eq!(Key::create_file(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(Key::from_file(directory.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    for mode in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let refused = Key::from_file(&path).unwrap_err();
        assert!(refused.kind() == ErrorKind::Invalid && refused.to_string().contains("chmod 600"), "{refused}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    Key::from_file(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "cyxcloud key v1\nid 00\nkey 00\n").unwrap();
    assert_eq!(Key::from_file(&path).unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn nothing_that_is_printed_has_a_secret() {
    let bench = Bench::new().await;
    let secret = [0xc5; 32];
    let keyring = Keyring::new(Key::from_bytes(Zeroizing::new(secret))).with_old_key(password("hunter2 is my password"));
    let bucket = bench.plain.clone().with_encryption(keyring.clone());
    bucket.put("object", "bytes").await.unwrap();
    let refused = bench.sealed("other").get("object").await.unwrap_err();
    let wrong = bench.plain.clone().with_encryption(Keyring::new(password("hunter2 is my password"))).get("object").await.unwrap_err();
    let shown = format!("{keyring:?} {keyring:#?} {bucket:?} {bucket:#?} {refused} {refused:?} {wrong} {wrong:?}");
    assert!(shown.contains(&Key::from_bytes(Zeroizing::new(secret)).id().unwrap().to_string()), "{shown}");
    for hidden in ["hunter2", "c5c5", "C5C5", "197, 197", "0xc5", "[104, 117"] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
}
