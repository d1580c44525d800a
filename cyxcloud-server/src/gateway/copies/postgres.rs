//! PostgreSQL's own programs copy a database. Passwords go through their environment: command lines are seen by everybody.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use cyxcloud_sdk::meta::{PostgresCopy, PostgresMeta};

use crate::gateway::database::DatabaseArgs;

/// What is in the database of `url`; None when there are no metadata in it. Changes nothing.
pub(super) async fn look(args: &DatabaseArgs, url: &str) -> Result<Option<PostgresCopy>> {
    PostgresMeta::look(url, &args.postgres_options()?).await.context("cannot use the database of --database-url")
}

/// Writes a copy of the database of `url`, as it is at one moment.
pub(super) fn dump(args: &DatabaseArgs, url: &str, to: &Path) -> Result<()> {
    // The views beside the tables are wanted too, so all of the database goes, which is ours.
    let mut dump = program("pg_dump", args, url)?;
    dump.args(["--format=custom", "--no-owner", "--no-acl", "--file"]).arg(to);
    run(dump, "pg_dump")
}

/// Puts a copy into the empty database of `url`, whole or not at all.
pub(super) fn restore(args: &DatabaseArgs, url: &str, from: &Path) -> Result<()> {
    let environment = PostgresMeta::client_environment(url)?;
    let name = environment.iter().find(|(name, _)| *name == "PGDATABASE").map(|(_, value)| value.as_str());
    let name = name.context("the URL of the database names no database")?;
    let mut restore = program("pg_restore", args, url)?;
    restore.args(["--single-transaction", "--exit-on-error", "--no-owner", "--no-acl"]).arg(format!("--dbname={name}")).arg(from);
    run(restore, "pg_restore")
}

fn program(name: &str, args: &DatabaseArgs, url: &str) -> Result<Command> {
    let mut command = Command::new(name);
    // The URL says where the database is, and nothing else does.
    ["PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE"].into_iter().for_each(|name| {
        command.env_remove(name);
    });
    command.arg("--no-password").envs(PostgresMeta::client_environment(url)?);
    match args.authorities() {
        Some(authorities) => command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", authorities),
        None => command.env("PGSSLMODE", "disable"),
    };
    Ok(command)
}

fn run(mut command: Command, name: &str) -> Result<()> {
    let done = match command.output() {
        Err(e) if e.kind() == ErrorKind::NotFound => bail!(
            "{name} is not installed; it belongs to the client programs of PostgreSQL (Debian: apt-get install postgresql-client), in a version at \
             least that of the server"
        ),
        other => other.with_context(|| format!("cannot start {name}"))?,
    };
    ensure!(done.status.success(), "{name} failed: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}
