//! Writers of delta-rs that race leave a valid table.
#![allow(clippy::unwrap_used, reason = "a test")]

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_leave_every_acked_commit_in_one_version() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let report = delta_writers::run(directory.path(), 2, 25).await.unwrap();
    assert_eq!(report.commits, 50);
    assert!(report.checkpoints > 0, "{report:?}");
    // Else they did not race.
    assert!(report.refused > 0, "{report:?}");
}
