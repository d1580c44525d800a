//! Two writers of delta-rs race on one table in CyxCloud: `cargo run -p delta_writers` in `examples/heavy`.

use anyhow::Result;

#[tokio::main]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let report = delta_writers::run(directory.path(), 2, 25).await?;
    println!("2 writers made {} commits, refused {} times; the table has their {} rows", report.commits, report.refused, report.rows);
    println!("every commit is in one version of the log, which has {} checkpoints", report.checkpoints);
    Ok(())
}
