//! Two writers of delta-rs append to one table in a CyxCloud bucket. Each creates the next version of the log on the condition that nobody has, so
//! of two that try the same version one is refused and tries the next.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cyxcloud_sdk::Cluster;
use cyxcloud_sdk::object_store_013::CyxStore;
use deltalake::arrow::array::{Int64Array, RecordBatch, StringArray};
use deltalake::arrow::datatypes::{DataType, Field, Schema};
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, DataType as DeltaType, PrimitiveType, StructField};
use deltalake::logstore::{
    LogStoreFactory, LogStoreRef, ObjectStoreFactory, StorageConfig, default_logstore, logstore_factories, object_store_factories,
};
use deltalake::operations::create::CreateBuilder;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::writer::{DeltaWriter, RecordBatchWriter};
use deltalake::{DeltaResult, DeltaTable, TableProperty};
use futures::TryStreamExt;
use futures::future::try_join_all;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::sync::Barrier;
use url::Url;

/// The table.
const TABLE: &str = "cyx://lake/events";

/// Versions between checkpoints, so that a run writes and reads some.
const CHECKPOINT_INTERVAL: &str = "10";

/// A commit that its writer was told is in the table.
#[derive(Debug)]
struct Acked {
    version: u64,
    files: BTreeSet<String>,
    rows: usize,
}

/// What a run left.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Commits that were acked.
    pub commits: usize,
    /// How often a writer found the version it wanted taken.
    pub refused: u64,
    /// Rows of the table.
    pub rows: usize,
    /// Checkpoints in the log.
    pub checkpoints: usize,
}

/// Lets `writers` append `commits` times each to one table, in a cluster in `directory`, and checks what they leave.
pub async fn run(directory: &Path, writers: usize, commits: usize) -> Result<Report> {
    let cluster = Cluster::open(directory).await?;
    let store: Arc<dyn ObjectStore> = Arc::new(CyxStore::new(cluster.ensure_bucket("lake").await?));
    register(&store);
    create().await.context("the table cannot be made")?;

    let start = Arc::new(Barrier::new(writers));
    let append = |writer| {
        let task = tokio::spawn(append(writer, commits, start.clone()));
        async move { task.await? }
    };
    let (mut acked, mut refused) = (Vec::new(), 0);
    for (commits, retries) in try_join_all((0..writers).map(append)).await? {
        acked.extend(commits);
        refused += retries;
    }
    let checkpoints = check_log(&*store, &acked).await?;
    let rows = check_table(&*store, &acked).await?;
    Ok(Report { commits: acked.len(), refused, rows, checkpoints })
}

/// Makes delta-rs know `cyx://`.
fn register(store: &Arc<dyn ObjectStore>) {
    let scheme = Url::parse("cyx://").expect("a URL");
    object_store_factories().insert(scheme.clone(), Arc::new(Factory(store.clone())));
    logstore_factories().insert(scheme, Arc::new(Factory(store.clone())));
}

/// Gives delta-rs the bucket, and its own log over stores that create on a condition.
struct Factory(Arc<dyn ObjectStore>);

impl ObjectStoreFactory for Factory {
    fn parse_url_opts(&self, url: &Url, _: &StorageConfig) -> DeltaResult<(Arc<dyn ObjectStore>, object_store::path::Path)> {
        Ok((self.0.clone(), object_store::path::Path::from_url_path(url.path())?))
    }
}

impl LogStoreFactory for Factory {
    fn with_options(
        &self,
        prefixed: Arc<dyn ObjectStore>,
        root: Arc<dyn ObjectStore>,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<LogStoreRef> {
        Ok(default_logstore(prefixed, root, location, options))
    }
}

async fn create() -> Result<()> {
    let columns = [("writer", PrimitiveType::Long), ("number", PrimitiveType::Long), ("text", PrimitiveType::String)];
    CreateBuilder::new()
        .with_location(TABLE)
        .with_columns(columns.map(|(name, kind)| StructField::new(name, DeltaType::Primitive(kind), false)))
        .with_configuration_property(TableProperty::CheckpointInterval, Some(CHECKPOINT_INTERVAL))
        .await?;
    Ok(())
}

/// One writer: a table and a log of its own. Returns what it was told is committed, and how often it had to try again.
async fn append(writer: usize, commits: usize, start: Arc<Barrier>) -> Result<(Vec<Acked>, u64)> {
    let mut table = deltalake::open_table(Url::parse(TABLE)?).await?;
    let (mut acked, mut retries) = (Vec::new(), 0);
    for number in 0..commits {
        let rows = 1 + (writer * 31 + number * 17) % 500;
        let mut batches = RecordBatchWriter::for_table(&table)?;
        batches.write(batch(writer, number, rows)?).await?;
        let adds = batches.flush().await?;
        let files = adds.iter().map(|add| add.path.clone()).collect();
        // All are ready, then all know the same version: each wants to make the next one.
        start.wait().await;
        table.update_state().await?;
        start.wait().await;
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        let committed = CommitBuilder::from(CommitProperties::default().with_max_retries(1000))
            .with_actions(adds.into_iter().map(Action::Add).collect())
            .build(Some(table.snapshot()?), table.log_store(), operation)
            .await
            .with_context(|| format!("writer {writer}, commit {number}"))?;
        retries += committed.metrics.num_retries;
        acked.push(Acked { version: committed.version, files, rows });
    }
    Ok((acked, retries))
}

fn batch(writer: usize, number: usize, rows: usize) -> Result<RecordBatch> {
    let field = |name, kind| Field::new(name, kind, false);
    let schema = Schema::new(vec![field("writer", DataType::Int64), field("number", DataType::Int64), field("text", DataType::Utf8)]);
    let texts = (0..rows).map(|row| format!("{writer}/{number}/{row}"));
    let columns: Vec<deltalake::arrow::array::ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![writer as i64; rows])),
        Arc::new(Int64Array::from(vec![number as i64; rows])),
        Arc::new(StringArray::from_iter_values(texts)),
    ];
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

/// Every acked commit is in the log once, in the version that its writer was told, and no version is missing or nobody's.
async fn check_log(store: &dyn ObjectStore, acked: &[Acked]) -> Result<usize> {
    let listed: Vec<_> = store.list(Some(&"events/_delta_log".into())).try_collect().await?;
    let names: Vec<&str> = listed.iter().filter_map(|object| object.location.filename()).collect();
    let mut log: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for version in names.iter().filter_map(|name| name.strip_suffix(".json")) {
        let text = store.get(&format!("events/_delta_log/{version}.json").into()).await?.bytes().await?;
        let entries = serde_json::Deserializer::from_slice(&text).into_iter::<serde_json::Value>();
        let mut added = BTreeSet::new();
        for entry in entries {
            if let Some(path) = entry?["add"]["path"].as_str() {
                added.insert(path.to_owned());
            }
        }
        log.insert(version.parse()?, added);
    }
    ensure!(log.keys().copied().eq(0..=acked.len() as u64), "{} commits left the versions {:?}", acked.len(), log.keys());
    for commit in acked {
        let added = log.remove(&commit.version).with_context(|| format!("version {} has two writers", commit.version))?;
        ensure!(added == commit.files, "version {} holds {added:?} instead of {:?}", commit.version, commit.files);
    }
    ensure!(log.keys().copied().eq([0]), "versions that nobody was told of: {:?}", log.keys());
    Ok(names.iter().filter(|name| name.ends_with(".checkpoint.parquet")).count())
}

/// A reader that comes later finds the acked rows, no more and no less, in files that are whole.
async fn check_table(store: &dyn ObjectStore, acked: &[Acked]) -> Result<usize> {
    let table: DeltaTable = deltalake::open_table(Url::parse(TABLE)?).await?;
    ensure!(table.version() == Some(acked.len() as u64), "the table is at version {:?}", table.version());
    let mut rows = 0;
    for uri in table.get_file_uris()? {
        let path = Url::parse(&uri)?.path().trim_start_matches('/').to_owned();
        let file = store.get(&path.into()).await?.bytes().await?;
        for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
            rows += batch?.num_rows();
        }
    }
    let told: usize = acked.iter().map(|commit| commit.rows).sum();
    ensure!(rows == told, "the table has {rows} rows, and its writers were told of {told}");
    Ok(rows)
}
