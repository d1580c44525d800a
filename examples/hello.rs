//! Store an object, lose four of fourteen nodes, read it back: `cargo run --example hello`.

use cyxcloud_sdk::{Cluster, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let directory = std::env::temp_dir().join(format!("cyxcloud-hello-{}", std::process::id()));
    let cluster = Cluster::open(&directory).await?;
    let bucket = cluster.ensure_bucket("greetings").await?;
    bucket.put("hello.txt", vec![b'!'; 10_000_000]).await?;

    let nodes = cluster.local_nodes();
    for node in nodes.nodes().into_iter().take(4) {
        node.store.wipe().await?;
    }
    let bytes = bucket.get("hello.txt").await?;
    println!("{} bytes survived the loss of 4 of {} nodes", bytes.len(), nodes.nodes().len());

    std::fs::remove_dir_all(directory).ok();
    Ok(())
}
