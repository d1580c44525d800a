//! A backup that only its owner can read: files are sealed before they leave the process, the key stays in a file, and is changed without writing the
//! backup anew.

use cyxcloud_sdk::encryption::{Key, Keyring};
use cyxcloud_sdk::{Cluster, GetOptions};
use futures::{StreamExt, TryStreamExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let cluster = Cluster::open(directory.path().join("cluster")).await?;
    let plain = cluster.ensure_bucket("backup").await?;
    let backup = plain.clone().with_encryption(Keyring::new(Key::create_file(directory.path().join("old.key"))?));

    for name in ["diary", "letters", "photos"] {
        backup.put(&format!("home/{name}"), name.repeat(100_000)).await?;
    }
    if let Err(refused) = plain.get("home/diary").await {
        println!("without the key: {refused}");
    }

    // A change of the key now and then. After a leak the backup is to be made anew: docs/encryption.md.
    let new = Keyring::new(Key::create_file(directory.path().join("new.key"))?);
    let mut rewrapped = backup.rewrap_all("home/", &new);
    while let Some((key, outcome)) = rewrapped.next().await {
        println!("{key}: {:?}", outcome?);
    }

    let backup = plain.with_encryption(new);
    let mut restored = 0;
    let heads: Vec<_> = backup.list("home/").try_collect().await?;
    for head in heads {
        let mut download = backup.get_stream(head.key.as_str(), GetOptions::default()).await?;
        while let Some(bytes) = download.body.try_next().await? {
            restored += bytes.len();
        }
    }
    println!("{restored} bytes restored with the new key");
    Ok(())
}
