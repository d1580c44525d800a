//! A cluster as an `object_store` backend: conditional writes, an upload in parts, ranges, a rename in one step, `cyx://` URLs.

use cyxcloud_sdk::Cluster;
use cyxcloud_sdk::object_store::{CyxStore, register_all};
use object_store::path::Path;
use object_store::registry::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, WriteMultipart};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let cluster = Cluster::open(directory.path()).await?;
    let store = CyxStore::new(cluster.ensure_bucket("logs").await?);

    let lock = Path::from("lock");
    store.put_opts(&lock, "me".into(), PutMode::Create.into()).await?;
    let second = store.put_opts(&lock, "you".into(), PutMode::Create.into()).await;
    println!("a second create: {}", if matches!(second, Err(object_store::Error::AlreadyExists { .. })) { "refused" } else { "taken" });

    let (writing, written) = (Path::from("tmp/day"), Path::from("2026/11/28"));
    let mut upload = WriteMultipart::new(store.put_multipart(&writing).await?);
    for hour in 0..24_u8 {
        upload.write(&vec![hour; 1_000_000]);
    }
    upload.finish().await?;
    store.rename(&writing, &written).await?;

    let registry = DefaultObjectStoreRegistry::new();
    register_all(&registry, &cluster).await?;
    let (by_url, path) = registry.resolve(&"cyx://logs/2026/11/28".parse()?)?;
    let noon = by_url.get_range(&path, 12_000_000..12_000_010).await?;
    println!("{path}: {} bytes, noon is {:?}", by_url.head(&path).await?.size, &noon[..3]);
    Ok(())
}
