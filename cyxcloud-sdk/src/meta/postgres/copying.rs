//! What is needed to copy a database with the programs of the server.

use std::str::FromStr;

use cyxcloud_core::{Error, Result};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::fail::{Fail, Outcome};
use super::row::unsigned;
use super::{PostgresOptions, pool};

pub(super) fn environment(url: &str) -> Result<Vec<(&'static str, String)>> {
    let config = Config::from_str(url).map_err(|e| Error::invalid(format!("DATABASE_URL is not the URL of a database: {e}")))?;
    let host = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(directory) => directory.display().to_string(),
    };
    let list = |items: Vec<String>| (!items.is_empty()).then(|| items.join(","));
    // What the URL does not say must not come from the environment of whoever calls.
    let ports = list(config.get_ports().iter().map(u16::to_string).collect()).unwrap_or_else(|| "5432".to_owned());
    let user = config.get_user().map(str::to_owned);
    let found = [
        ("PGHOST", list(config.get_hosts().iter().map(host).collect())),
        ("PGHOSTADDR", list(config.get_hostaddrs().iter().map(ToString::to_string).collect())),
        ("PGPORT", Some(ports)),
        // Without a name it is that of the user, as for every program.
        ("PGDATABASE", config.get_dbname().map(str::to_owned).or_else(|| user.clone())),
        ("PGUSER", user),
        ("PGPASSWORD", config.get_password().map(|password| String::from_utf8_lossy(password).into_owned())),
        ("PGOPTIONS", config.get_options().map(str::to_owned)),
        ("PGAPPNAME", Some("cyxcloud-copy".to_owned())),
        ("PGTARGETSESSIONATTRS", Some("read-write".to_owned())),
    ];
    Ok(found.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

pub(super) async fn look(url: &str, options: &PostgresOptions) -> Result<Option<PostgresCopy>> {
    let (pool, _) = pool(url, options)?;
    let look = async {
        let c = pool.get().await?;
        let is_ours: bool = c.query_one("SELECT to_regclass('cyx.cluster') IS NOT NULL", &[]).await?.try_get(0)?;
        if !is_ours {
            return Ok(None);
        }
        let row = c.query_one(LOOK, &[]).await?;
        let (last_epoch, users): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        Ok(Some(PostgresCopy { id: row.try_get(0)?, last_epoch: unsigned(last_epoch)?, users: unsigned(users)? }))
    };
    let looked: Outcome<Option<PostgresCopy>> = look.await;
    looked.map_err(Fail::into_error)
}

/// Every other client counts as a user, whatever it calls itself: the URL can give a gateway another name.
const LOOK: &str = "SELECT replace(id::text, '-', ''), last_epoch,
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND (backend_type IS NULL OR backend_type = 'client backend') AND pid <> pg_backend_pid())
    FROM cyx.cluster WHERE singleton = 1";

/// What there is to say of a database, or of a copy of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresCopy {
    /// Its id, which a copy shares.
    pub id: String,
    /// The last epoch that it has given.
    pub last_epoch: u64,
    /// Connections of other clients to it.
    pub users: u64,
}
