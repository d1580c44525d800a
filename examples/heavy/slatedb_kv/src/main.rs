//! SlateDB over CyxCloud, with four of fourteen nodes lost in mid-run: `cargo run -p slatedb_kv -- SEED` in `examples/heavy`.

use anyhow::{Context, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |seed| seed.parse()).context("the seed is a number")?;
    let directory = tempfile::tempdir()?;
    let report = slatedb_kv::run(directory.path(), seed).await.with_context(|| format!("seed {seed}"))?;
    println!("seed {seed}: {} keys agree with the model after the loss of 4 of 14 nodes with {} bytes", report.keys, report.lost_bytes);
    println!("compaction had made {} tables before the loss, and {} after", report.compacted.0, report.compacted.1);
    Ok(())
}
