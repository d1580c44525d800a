//! DataFusion writes partitioned Parquet and answers from it with 4 of 14 nodes stopped.
#![allow(clippy::unwrap_used, reason = "a test")]

#[tokio::test(flavor = "multi_thread")]
async fn a_group_by_over_partitioned_parquet_agrees_with_the_model() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    assert_eq!(datafusion_sql::run(directory.path()).await.unwrap(), datafusion_sql::model());
}
