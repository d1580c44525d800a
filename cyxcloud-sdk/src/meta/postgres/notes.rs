//! Notes and counters. One that is over is nobody's any more, whether its row is still there or not.
//!
//! Where it matters who was first there is a transaction, though of one statement: that is not carried out twice where a connection is lost, as what
//! [`look`](super::session) does may be, and then find its own note.

use bytes::Bytes;
use cyxcloud_core::port::NoteName;
use futures::try_join;

use super::fail::Outcome;
use super::row::{int, limit, uint};
use super::session::Session;
use super::{Now, sql};

pub(super) async fn once(c: &Session, now: Now, name: NoteName, new: &[u8], ttl_ms: u64) -> Outcome<Option<Bytes>> {
    NoteName::check_value(new)?;
    let put = async { c.execute(sql::NOTE_ONCE, &[&now, &name.as_bytes(), &new, &int(ttl_ms)]).await };
    if try_join!(c.begin(), put)?.1 > 0 {
        return Ok(None);
    }
    // The row that was in the way is locked by that statement, so it is here still; and it was alive then.
    let row = c.first(sql::LOCKED_NOTE, &[&name.as_bytes()]).await?;
    Ok(Some(row.map(|row| row.try_get::<_, &[u8]>(0).map(Bytes::copy_from_slice)).transpose()?.unwrap_or_default()))
}

pub(super) async fn put(c: &Session, now: Now, name: NoteName, new: &[u8], ttl_ms: u64) -> Outcome<()> {
    NoteName::check_value(new)?;
    c.execute(sql::PUT_NOTE, &[&now, &name.as_bytes(), &new, &int(ttl_ms)]).await?;
    Ok(())
}

pub(super) async fn get(c: &Session, now: Now, name: NoteName) -> Outcome<Option<Bytes>> {
    let row = c.first(sql::NOTE, &[&now, &name.as_bytes()]).await?;
    Ok(row.map(|row| row.try_get::<_, &[u8]>(0).map(Bytes::copy_from_slice)).transpose()?)
}

pub(super) async fn take(c: &Session, now: Now, name: NoteName) -> Outcome<Option<Bytes>> {
    let take = async { c.first(sql::TAKE_NOTE, &[&now, &name.as_bytes()]).await };
    let (_, row) = try_join!(c.begin(), take)?;
    Ok(row.map(|row| row.try_get::<_, &[u8]>(0).map(Bytes::copy_from_slice)).transpose()?)
}

pub(super) async fn count(c: &Session, now: Now, name: NoteName, amount: u32, window_ms: u64) -> Outcome<u64> {
    let count = async { c.first(sql::COUNT, &[&now, &name.as_bytes(), &i64::from(amount), &int(window_ms)]).await };
    let (_, row) = try_join!(c.begin(), count)?;
    uint(&row.expect("an upsert without a condition returns its row"), 0)
}

pub(super) async fn prune(c: &Session, now: Now, max: usize) -> Outcome<u64> {
    let notes = c.execute(sql::DELETE_OLD_NOTES, &[&now, &limit(max)]).await?;
    Ok(notes + c.execute(sql::DELETE_OLD_COUNTERS, &[&now, &(limit(max) - int(notes))]).await?)
}
