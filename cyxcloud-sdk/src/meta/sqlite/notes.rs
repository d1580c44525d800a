//! Notes and counters. One that is over is nobody's any more, whether its row is still there or not.

use bytes::Bytes;
use cyxcloud_core::Timestamp;
use cyxcloud_core::port::NoteName;
use rusqlite::{Connection, Row, params};

use super::fail::Outcome;
use super::query::{execute, first, int, limit, uint};
use super::sql;

fn value(row: &Row<'_>) -> Outcome<Bytes> {
    Ok(row.get::<_, Vec<u8>>(0)?.into())
}

pub(super) fn once(c: &Connection, name: NoteName, new: &[u8], ttl_ms: u64, now: Timestamp) -> Outcome<Option<Bytes>> {
    NoteName::check_value(new)?;
    let there = get(c, name, now)?;
    if there.is_none() {
        put(c, name, new, ttl_ms, now)?;
    }
    Ok(there)
}

pub(super) fn put(c: &Connection, name: NoteName, new: &[u8], ttl_ms: u64, now: Timestamp) -> Outcome<()> {
    NoteName::check_value(new)?;
    execute(c, sql::PUT_NOTE, params![name.as_bytes(), new, int(now.plus_ms(ttl_ms).0)])?;
    Ok(())
}

pub(super) fn get(c: &Connection, name: NoteName, now: Timestamp) -> Outcome<Option<Bytes>> {
    first(c, sql::NOTE, params![name.as_bytes(), int(now.0)], value)
}

pub(super) fn take(c: &Connection, name: NoteName, now: Timestamp) -> Outcome<Option<Bytes>> {
    first(c, sql::TAKE_NOTE, params![name.as_bytes(), int(now.0)], value)
}

pub(super) fn count(c: &Connection, name: NoteName, amount: u32, window_ms: u64, now: Timestamp) -> Outcome<u64> {
    // Longer than the name of a note, so that no note has it.
    let counter = [name.as_bytes(), b"+"].concat();
    let row = params![counter, amount, int(now.plus_ms(window_ms).0), int(now.0)];
    Ok(first(c, sql::COUNT, row, |row| uint(row, 0))?.expect("an upsert without a condition returns its row"))
}

pub(super) fn prune(c: &Connection, max: usize, now: Timestamp) -> Outcome<u64> {
    Ok(execute(c, sql::DELETE_OLD_NOTES, params![int(now.0), limit(max)])? as u64)
}
