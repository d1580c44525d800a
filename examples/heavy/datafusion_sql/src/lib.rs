//! DataFusion over a CyxCloud bucket: writes partitioned Parquet to `cyx://sales/orders/` and groups it again, while 4 of 14 nodes are stopped.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cyxcloud_sdk::Cluster;
use cyxcloud_sdk::object_store_013::CyxStore;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use object_store::ObjectStore;
use url::Url;

/// Orders in the table.
const ORDERS: i64 = 60_000;

/// A file for each country and writer below a folder of its own.
const WRITE: &str =
    "COPY (SELECT i AS id, i % 1000 * 0.25 AS amount, 'country-' || CAST(i % 5 AS varchar) AS country FROM generate_series(1, {ORDERS}) AS t(i))
    TO 'cyx://sales/orders/' STORED AS PARQUET PARTITIONED BY (country)";

const TABLE: &str = "CREATE EXTERNAL TABLE orders STORED AS PARQUET PARTITIONED BY (country) LOCATION 'cyx://sales/orders/'";

const QUESTION: &str =
    "SELECT country, count(*) AS orders, sum(amount) AS amount FROM orders WHERE id > 1000 GROUP BY country ORDER BY country";

/// What the question is answered with: for each country its orders and their amount.
pub type Answer = BTreeMap<String, (i64, f64)>;

/// Writes and asks, in a cluster of 14 nodes in `directory`, of which 4 stop in between.
pub async fn run(directory: &Path) -> Result<Answer> {
    let cluster = Cluster::open(directory).await?;
    let store: Arc<dyn ObjectStore> = Arc::new(CyxStore::new(cluster.ensure_bucket("sales").await?));
    let context = SessionContext::new();
    context.register_object_store(&Url::parse("cyx://sales")?, store.clone());
    context.sql(&WRITE.replace("{ORDERS}", &ORDERS.to_string())).await?.collect().await.context("writing")?;

    let files: Vec<_> = store.list(Some(&"orders".into())).try_collect().await?;
    for country in 0..5 {
        let folder = format!("orders/country=country-{country}/");
        ensure!(files.iter().any(|file| file.location.as_ref().starts_with(&folder)), "nothing is in {folder}: {files:?}");
    }

    let nodes = cluster.local_nodes();
    for node in nodes.nodes().into_iter().take(4) {
        nodes.set_running(node.record.id, false)?;
    }
    context.sql(TABLE).await?.collect().await.context("finding the table")?;
    let mut answer = Answer::new();
    for batch in context.sql(QUESTION).await?.collect().await.context("reading")? {
        // Whether text comes as views, plain or from a dictionary is DataFusion's business.
        let countries = cast(batch.column(0), &DataType::Utf8)?;
        let (orders, amounts) = (batch.column(1).as_primitive::<Int64Type>(), batch.column(2).as_primitive::<Float64Type>());
        for (row, country) in countries.as_string::<i32>().iter().enumerate() {
            answer.insert(country.unwrap_or_default().to_owned(), (orders.value(row), amounts.value(row)));
        }
    }
    Ok(answer)
}

/// The answer, computed without a database.
pub fn model() -> Answer {
    let mut answer = Answer::new();
    for id in 1001..=ORDERS {
        let (orders, amount) = answer.entry(format!("country-{}", id % 5)).or_default();
        *orders += 1;
        // Quarters, and few enough that their sum is exact.
        *amount += (id % 1000) as f64 * 0.25;
    }
    answer
}
