//! `cyx://` URLs, configuration, signed URLs.

use cyxcloud_sdk::object_store::{CyxBuilder, CyxConfigKey, parse_url_opts};
use object_store::ObjectStoreExt;
use object_store::path::Path;

#[test]
fn urls_name_bucket_and_key() {
    let parsed = |url: &str| {
        let (store, path) = parse_url_opts(&url.parse().unwrap(), [("directory", "none")])?;
        Ok::<_, object_store::Error>((store.to_string(), path))
    };
    assert_eq!(parsed("cyx://photos/2026/cat.jpg").unwrap(), ("CyxCloud(photos)".to_owned(), Path::from("2026/cat.jpg")));
    assert_eq!(parsed("cyx://photos/a%20b").unwrap().1.as_ref(), "a b");
    assert_eq!(parsed("cyx://photos").unwrap().1.as_ref(), "");
    for wrong in ["cyx:photos", "cyx://user:secret@photos/a", "cyx://photos:8080/a", "cyx://photos/a?x=1", "cyx:///a"] {
        let refused = parsed(wrong).unwrap_err().to_string();
        assert!(refused.contains("cyx://BUCKET/KEY"), "{wrong}: {refused}");
    }
    assert!(CyxBuilder::new().with_url("s3://photos/a").unwrap_err().to_string().contains("cyx://BUCKET/KEY"));
}

#[cfg(feature = "directory")]
#[tokio::test]
async fn a_url_opens_the_cluster_when_it_is_used() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let url = "cyx://photos/2026/cat.jpg".parse().unwrap();
    let options = |create: &str| [("cyx_directory", directory.path().display().to_string()), ("create_bucket", create.to_owned())];
    let (missing, path) = parse_url_opts(&url, options("false")).unwrap();
    let refused = missing.get(&path).await.unwrap_err().to_string();
    assert!(refused.contains("photos"), "{refused}");
    drop(missing);
    let (store, path) = parse_url_opts(&url, options("true")).unwrap();
    store.put(&path, "meow".into()).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "meow");
    let (memory, path) = parse_url_opts(&"memory:///a".parse().unwrap(), [("", ""); 0]).unwrap();
    memory.put(&path, "x".into()).await.unwrap();
}

/// A store of a configuration encrypts as well as one of code.
#[cfg(feature = "encryption")]
#[tokio::test]
async fn a_key_file_encrypts() {
    use cyxcloud_sdk::encryption::Key;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let key_file = directory.path().join("my.key");
    Key::create_file(&key_file).unwrap();
    let builder = CyxBuilder::new().with_bucket_name("photos").with_create_bucket(true);
    let builder = builder.with_directory(directory.path().join("cluster").display().to_string());
    let sealed = builder.with_config(CyxConfigKey::KeyFile, key_file.display().to_string()).build().unwrap();
    let path = Path::from("cat.jpg");
    sealed.put(&path, "meow".into()).await.unwrap();
    assert_eq!(sealed.get(&path).await.unwrap().bytes().await.unwrap(), "meow");
    let plain = sealed.bucket().await.unwrap().cluster().bucket("photos").await.unwrap();
    assert!(plain.get("cat.jpg").await.unwrap_err().to_string().contains("encrypted"));
    let missing = CyxBuilder::new().with_bucket_name("photos").with_directory(directory.path().join("other").display().to_string());
    let missing = missing.with_create_bucket(true).with_config(CyxConfigKey::KeyFile, "none.key").build().unwrap();
    assert!(missing.get(&path).await.unwrap_err().to_string().contains("none.key"));
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    let message = |built: object_store::Result<cyxcloud_sdk::object_store::CyxStore>| built.unwrap_err().to_string();
    assert!(message(CyxBuilder::new().build()).contains("bucket"));
    let bucket = || CyxBuilder::new().with_url("cyx://photos").unwrap();
    assert!(message(bucket().build()).contains("cyx_directory"));
    assert!(message(bucket().with_config(CyxConfigKey::Directory, "d").with_config(CyxConfigKey::Gateway, "g").build()).contains("both"));
    let unknown = bucket().try_with_config("cyx_colour", "red").unwrap_err().to_string();
    assert!(unknown.contains("cyx_colour"), "{unknown}");
    let builder = bucket().with_config(CyxConfigKey::SecretAccessKey, "hush");
    assert!(!format!("{builder:?}").contains("hush"));
}

#[cfg(feature = "object-store-signer")]
#[tokio::test]
async fn signed_urls_need_endpoint_and_keys() {
    use object_store::signer::{Method, Signer};
    let day = std::time::Duration::from_secs(86_400);
    let builder = CyxBuilder::new().with_url("cyx://photos").unwrap().with_config(CyxConfigKey::Gateway, "localhost:50052");
    let plain = builder.clone().build().unwrap();
    let refused = plain.signed_url(Method::GET, &Path::from("cat.jpg"), day).await.unwrap_err().to_string();
    assert!(refused.contains("cyx_s3_endpoint"), "{refused}");
    let signing = builder
        .with_config(CyxConfigKey::AccessKeyId, "ID")
        .with_config(CyxConfigKey::SecretAccessKey, "SECRET")
        .with_config(CyxConfigKey::S3Endpoint, "http://127.0.0.1:8080")
        .build()
        .unwrap();
    let url = signing.signed_url(Method::GET, &Path::from("a b"), day).await.unwrap();
    assert_eq!((url.path(), url.host_str()), ("/photos/a%20b", Some("127.0.0.1")));
    assert!(url.query().unwrap().contains("X-Amz-Expires=86400") && !url.as_str().contains("SECRET"));
    assert!(signing.signed_url(Method::PATCH, &Path::from("a"), day).await.is_err());
    assert!(signing.signed_url(Method::GET, &Path::from("a"), 8 * day).await.is_err());
}
