//! The tables, how they came to be, and connections to them.
//!
//! `PRAGMA user_version` counts the migrations that were applied. A migration, once released, is never changed; a new one is added.

use std::path::Path;
use std::time::Duration;

use cyxcloud_core::Error;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::fail::Outcome;

/// Marks the file as ours (`PRAGMA application_id`): "cyxm".
const APPLICATION_ID: i32 = 0x6379_786d;

/// How long to wait for another process (a gateway, a rebalancer, a backup) that holds the file.
const BUSY_TIME: Duration = Duration::from_secs(30);
/// How often to look meanwhile. A gateway under load lets go of the file for moments only, between the sync of one group of writes and the next: who
/// looks seldom, as SQLite's own timeout does in the end, waits very long.
const BUSY_LOOK: Duration = Duration::from_millis(1);

/// Every statement stays prepared.
const CACHED_STATEMENTS: usize = 128;

/// Applied in order, each once.
const MIGRATIONS: &[&str] = &[V1, V2, V3, V4, V5, V6];

/// Keys are BLOBs, so that they compare by bytes. `objects` keeps the manifest last: a long one goes to overflow pages, which a scan
/// does not read. `chunks` keeps rows in order of arrival, because records are too large to be moved about by random ids.
const V1: &str = "
CREATE TABLE cluster (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    last_epoch INTEGER NOT NULL
) STRICT;
INSERT INTO cluster (only, last_epoch) VALUES (1, 0);

CREATE TABLE buckets (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    owner BLOB NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX buckets_by_owner ON buckets (owner, name);

CREATE TABLE objects (
    bucket BLOB NOT NULL,
    key BLOB NOT NULL,
    version BLOB NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,
    metadata BLOB NOT NULL,
    manifest BLOB NOT NULL,
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE chunks (
    id BLOB NOT NULL UNIQUE,
    refs INTEGER NOT NULL CHECK (refs >= 0),
    size INTEGER NOT NULL,
    dead_since INTEGER,
    fence INTEGER,
    record BLOB NOT NULL
) STRICT;
CREATE INDEX chunks_dead ON chunks (id) WHERE refs = 0;

CREATE TABLE uploads (
    id BLOB NOT NULL PRIMARY KEY,
    bucket BLOB NOT NULL,
    key BLOB NOT NULL,
    created INTEGER NOT NULL,
    metadata BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_by_key ON uploads (bucket, key, id);

CREATE TABLE parts (
    upload BLOB NOT NULL,
    number INTEGER NOT NULL,
    version BLOB NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,
    system BLOB NOT NULL,
    chunks BLOB NOT NULL,
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    epoch INTEGER PRIMARY KEY,
    expires INTEGER NOT NULL
) STRICT;

CREATE TABLE access_keys (
    id TEXT NOT NULL PRIMARY KEY,
    account BLOB NOT NULL,
    name TEXT NOT NULL,
    sealed_secret BLOB NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE nodes (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    record BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// `usage` has a row for each bucket, counted here for those that are there already. Open jobs have an index in the order of their claiming
/// that holds all a claim looks at; `jobs` keeps row numbers so that a job it passes over is not read.
const V2: &str = "
CREATE TABLE usage (
    bucket BLOB NOT NULL PRIMARY KEY,
    objects INTEGER NOT NULL CHECK (objects >= 0),
    object_bytes INTEGER NOT NULL CHECK (object_bytes >= 0),
    part_bytes INTEGER NOT NULL CHECK (part_bytes >= 0),
    trash_bytes INTEGER NOT NULL CHECK (trash_bytes >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO usage (bucket, objects, object_bytes, part_bytes, trash_bytes)
SELECT id,
    (SELECT count(*) FROM objects WHERE objects.bucket = buckets.id),
    (SELECT coalesce(sum(objects.size), 0) FROM objects WHERE objects.bucket = buckets.id),
    (SELECT coalesce(sum(parts.size), 0) FROM uploads JOIN parts ON parts.upload = uploads.id WHERE uploads.bucket = buckets.id),
    0
FROM buckets;

CREATE TABLE trash (
    bucket BLOB NOT NULL,
    key BLOB NOT NULL,
    version BLOB NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    metadata BLOB NOT NULL,
    manifest BLOB NOT NULL,
    PRIMARY KEY (bucket, key, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX trash_by_deletion ON trash (deleted);

CREATE TABLE jobs (
    chunk BLOB NOT NULL UNIQUE,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'in_progress', 'completed', 'failed')),
    epoch INTEGER CHECK ((epoch IS NOT NULL) = (state = 'in_progress')),
    attempts INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    failure TEXT NOT NULL
) STRICT;
CREATE INDEX jobs_open ON jobs (priority, chunk, epoch, not_before) WHERE state IN ('pending', 'in_progress');
CREATE INDEX jobs_ended ON jobs (updated) WHERE state IN ('completed', 'failed');

CREATE TABLE node_statuses (
    node BLOB NOT NULL PRIMARY KEY,
    status BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Counters are among the notes, under names of their own: each table takes pages, in every file.
const V3: &str = "
CREATE TABLE notes (
    name BLOB NOT NULL PRIMARY KEY,
    expires INTEGER NOT NULL,
    sum INTEGER,
    value BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX notes_by_expiry ON notes (expires);
";

/// `byte_ms` is every byte times the milliseconds it was held, up to `since`: 16 bytes in big endian, as no integer holds it. Metering begins with this.
const V4: &str = "
CREATE TABLE accounts (
    id BLOB NOT NULL PRIMARY KEY,
    quota INTEGER CHECK (quota >= 0),
    byte_ms BLOB NOT NULL DEFAULT x'00000000000000000000000000000000'
) STRICT, WITHOUT ROWID;

ALTER TABLE usage ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage ADD COLUMN byte_ms BLOB NOT NULL DEFAULT x'00000000000000000000000000000000';
UPDATE usage SET since = unixepoch() * 1000;

ALTER TABLE leases ADD COLUMN account BLOB;
ALTER TABLE leases ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;
";

/// One row for each time that the file was put back from an older copy.
const V5: &str = "
CREATE TABLE restores (
    first INTEGER NOT NULL,
    next INTEGER PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;
";

/// What a bucket has of its own; those that are there follow the policy, as they did.
const V6: &str = "
ALTER TABLE buckets ADD COLUMN data INTEGER;
ALTER TABLE buckets ADD COLUMN parity INTEGER;
ALTER TABLE buckets ADD COLUMN chunk_size INTEGER;
ALTER TABLE buckets ADD COLUMN write_quorum INTEGER;
";

/// The one connection that writes, its tables up to date.
pub(super) fn open_writer(path: &Path) -> Outcome<Connection> {
    let mut c = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    prepare(&mut c)?;
    recognise(&c)?;
    let mode: String = c.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(Error::unavailable("the file system of the metadata file cannot share memory, which the write-ahead log needs").into());
    }
    // FULL syncs every commit; fullfsync makes macOS really do it.
    c.pragma_update(None, "synchronous", "FULL")?;
    c.pragma_update(None, "fullfsync", true)?;
    // A log that grew under a long read is cut back to this.
    c.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    migrate(&mut c)?;
    Ok(c)
}

/// A connection that reads beside the writer.
pub(super) fn open_reader(path: &Path) -> Outcome<Connection> {
    let mut c = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    prepare(&mut c)?;
    Ok(c)
}

fn prepare(c: &mut Connection) -> Outcome<()> {
    c.busy_handler(Some(wait_for_others))?;
    c.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    c.pragma_update(None, "trusted_schema", false)?;
    Ok(())
}

/// Waits a moment; false when that was often enough.
fn wait_for_others(times: i32) -> bool {
    std::thread::sleep(BUSY_LOOK);
    (times.max(0) as u128) < BUSY_TIME.as_millis() / BUSY_LOOK.as_millis()
}

/// Refuses the file of another program, before anything is changed in it.
fn recognise(c: &Connection) -> Outcome<()> {
    let application: i32 = c.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = c.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == APPLICATION_ID || (application == 0 && tables == 0) {
        return Ok(());
    }
    Err(Error::invalid("the metadata file belongs to another program").into())
}

fn migrate(c: &mut Connection) -> Outcome<()> {
    let tx = c.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let applied: usize = tx.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).map(|v| v.max(0) as usize)?;
    let Some(missing) = MIGRATIONS.get(applied..) else {
        let known = MIGRATIONS.len();
        return Err(
            Error::invalid(format!("the metadata file has version {applied}, this program knows {known}: use a newer program")).into()
        );
    };
    if missing.is_empty() {
        return Ok(());
    }
    for migration in missing {
        tx.execute_batch(migration)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    Ok(tx.commit()?)
}
