//! What is needed to copy a database with the programs of the server.

use std::str::FromStr;

use cyxcloud_core::{Error, Result};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::fail::{Fail, Outcome};
use super::{PostgresOptions, pool};

pub(super) fn environment(url: &str) -> Result<Vec<(&'static str, String)>> {
    let config = Config::from_str(url).map_err(|e| Error::invalid(format!("DATABASE_URL is not the URL of a database: {e}")))?;
    let host = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(directory) => directory.display().to_string(),
    };
    let list = |items: Vec<String>| (!items.is_empty()).then(|| items.join(","));
    let user = config.get_user().map(str::to_owned);
    let found = [
        ("PGHOST", list(config.get_hosts().iter().map(host).collect())),
        ("PGPORT", list(config.get_ports().iter().map(u16::to_string).collect())),
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

pub(super) async fn is_empty(url: &str) -> Result<bool> {
    let pool = pool(url, &PostgresOptions { connections: 1, ..PostgresOptions::default() })?;
    let look = async {
        let c = pool.get().await?;
        let row = c.query_one("SELECT to_regnamespace('cyx') IS NULL", &[]).await?;
        Ok(row.try_get(0)?)
    };
    let looked: Outcome<bool> = look.await;
    looked.map_err(Fail::into_error)
}
