//! SQL over partitioned Parquet in CyxCloud: `cargo run -p datafusion_sql` in `examples/heavy`.

use anyhow::{Result, ensure};

#[tokio::main]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let answer = datafusion_sql::run(directory.path()).await?;
    for (country, (orders, amount)) in &answer {
        println!("{country}: {orders} orders of {amount}");
    }
    ensure!(answer == datafusion_sql::model(), "that is not what was written");
    Ok(())
}
