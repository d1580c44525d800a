//! Store an object on 14 nodes in `./data` and read it back, as the README has it: `cargo run --example hello`.

use cyxcloud_sdk::{Cluster, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let cluster = Cluster::open("./data").await?;
    let bucket = cluster.ensure_bucket("greetings").await?;
    bucket.put("hello.txt", vec![b'!'; 10_000]).await?;
    println!("{} bytes are on 14 nodes", bucket.get("hello.txt").await?.len());
    Ok(())
}
