//! The tables and how they came to be. A migration, once released, is never changed; a new one is added.

use cyxcloud_core::Error;
use deadpool_postgres::Object;

use super::fail::Outcome;

/// Applied in order, each once.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
];

/// Of whoever migrates this database; the number is arbitrary and ours.
const LOCK: i64 = 0x6379_786d_6574_6100;

/// Brings the tables up to date, with one process at a time.
pub(super) async fn migrate(c: &mut Object) -> Outcome<()> {
    // Kept until the transaction ends.
    let tx = c.transaction().await?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let encoding: String = tx.query_one("SHOW server_encoding", &[]).await?.try_get(0)?;
    if encoding != "UTF8" {
        return Err(Error::invalid(format!("the database has the encoding {encoding}; make one with ENCODING 'UTF8'")).into());
    }
    let commit: String = tx.query_one("SHOW synchronous_commit", &[]).await?.try_get(0)?;
    if commit == "off" {
        return Err(
            Error::invalid("synchronous_commit is off for this user or database: what was committed could be lost; set it to on").into()
        );
    }
    tx.batch_execute("CREATE SCHEMA IF NOT EXISTS cyx; CREATE TABLE IF NOT EXISTS cyx.migrations (version integer PRIMARY KEY)").await?;
    let applied: i32 = tx.query_one("SELECT coalesce(max(version), 0) FROM cyx.migrations", &[]).await?.try_get(0)?;
    let applied = usize::try_from(applied).unwrap_or(0);
    let Some(missing) = MIGRATIONS.get(applied..) else {
        let known = MIGRATIONS.len();
        return Err(Error::invalid(format!("the database has version {applied}, this program knows {known}: use a newer program")).into());
    };
    for (migration, version) in missing.iter().zip(applied as i32 + 1..) {
        tx.batch_execute(migration).await?;
        tx.execute("INSERT INTO cyx.migrations (version) VALUES ($1)", &[&version]).await?;
    }
    Ok(tx.commit().await?)
}
