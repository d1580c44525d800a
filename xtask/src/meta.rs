//! The tests of the metadata stores, and the servers they start.

use anyhow::Result;
use cyxcloud_test_servers::{Postgres, Redis};

use crate::sh;

/// The suite of the port for every driver, and what is a driver's own. The driver stands in each test's name.
pub fn test() -> Result<()> {
    install()?;
    // Of the whole workspace, so that nothing is built twice with other features.
    sh::run("cargo", &["test", "--workspace", "--test", "meta_sqlite", "--test", "meta_postgres", "--test", "meta_redis"])?;
    sh::run("cargo", &["test", "--workspace", "--lib", "meta"])
}

/// Installs the servers that tests start, where they are missing.
pub fn install() -> Result<()> {
    if !Postgres::is_installed() {
        sh::install("the tests of metadata in PostgreSQL", &["postgresql", "util-linux"])?;
    }
    if !Redis::is_installed() {
        sh::install("the tests of metadata behind Redis", &["redis-server"])?;
    }
    Ok(())
}
