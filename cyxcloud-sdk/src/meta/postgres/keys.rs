//! Access keys.

use cyxcloud_core::Error;
use cyxcloud_core::id::AccountId;
use cyxcloud_core::port::AccessKey;
use tokio_postgres::Row;

use super::fail::Outcome;
use super::row::{id, int, text, time};
use super::session::Session;
use super::sql;

pub(super) async fn put(c: &Session, key: &AccessKey) -> Outcome<()> {
    let (id, name) = (text("an access key", &key.id)?, text("an account's name", &key.name)?);
    c.execute(sql::PUT_ACCESS_KEY, &[&id, &key.account.0.as_slice(), &name, &key.sealed_secret, &int(key.created.0)]).await?;
    Ok(())
}

fn key(row: &Row) -> Outcome<AccessKey> {
    Ok(AccessKey {
        id: row.try_get(0)?,
        account: AccountId(id(row, 1)?),
        name: row.try_get(2)?,
        sealed_secret: row.try_get(3)?,
        created: time(row, 4)?,
    })
}

pub(super) async fn get(c: &Session, wanted: &str) -> Outcome<AccessKey> {
    let missing = || Error::not_found(format!("no access key {wanted}"));
    // What cannot be stored is not there.
    let wanted = text("an access key", wanted).map_err(|_| missing())?;
    key(&c.first(sql::ACCESS_KEY, &[&wanted]).await?.ok_or_else(missing)?)
}

pub(super) async fn list(c: &Session) -> Outcome<Vec<AccessKey>> {
    c.query(sql::ALL_ACCESS_KEYS, &[]).await?.iter().map(key).collect()
}
