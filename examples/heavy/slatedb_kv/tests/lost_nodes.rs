//! SlateDB writes, reads and compacts through the loss of 4 of 14 nodes, and finds everything when it is opened again.
#![allow(clippy::unwrap_used, reason = "a test")]

async fn seed(seed: u64) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let report = slatedb_kv::run(directory.path(), seed).await.unwrap();
    assert!(report.keys > 1000, "{report:?}");
    assert!(report.compacted.0 > 0 && report.compacted.1 > 0, "{report:?}");
    // Else nothing that matters was on them.
    assert!(report.lost_bytes > 1_000_000, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_1() {
    seed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_2() {
    seed(2).await;
}
