//! A copy is made under a temporary name, synced, and only then given its own.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cyxcloud_sdk::credential::write_secret;
use cyxcloud_sdk::meta::copy_file;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::files::{FORMAT, FileEntry, Kind, MANIFEST, Manifest, SECRETS, parent, sync};
use super::{BackupArgs, postgres};
use crate::gateway::GatewayArgs;
use crate::gateway::database::{DATABASE_ID, Place};

pub(super) async fn run(args: &GatewayArgs, backup: &BackupArgs) -> Result<()> {
    let target = &backup.directory;
    ensure!(!target.exists(), "{} is there already; a backup goes to a new directory", target.display());
    let beside = parent(target);
    std::fs::create_dir_all(&beside).with_context(|| format!("cannot make {}", beside.display()))?;
    // Readable by nobody else, and removed when something goes wrong.
    let private = Permissions::from_mode(0o700);
    let unfinished = tempfile::Builder::new().prefix(".unfinished-backup-").permissions(private).tempdir_in(&beside);
    let unfinished = unfinished.with_context(|| format!("cannot make a directory in {}", beside.display()))?;
    let taken = OffsetDateTime::now_utc().format(&Rfc3339).context("the clock shows a year that cannot be written")?;
    if !args.json {
        eprintln!("copying the metadata to {}", target.display());
    }
    let (kind, database_id, last_epoch) = copy(args, unfinished.path()).await?;
    if !backup.without_keys {
        secrets(args, unfinished.path())?;
    }
    let metadata = unfinished.path().join(kind.file());
    std::fs::set_permissions(&metadata, Permissions::from_mode(0o600)).with_context(|| format!("cannot use {}", metadata.display()))?;
    let mut files = BTreeMap::new();
    for name in SECRETS.into_iter().chain([kind.file()]) {
        let path = unfinished.path().join(name);
        if path.exists() {
            files.insert(name.to_owned(), FileEntry::of(&path)?);
        }
    }
    let bytes: u64 = files.values().map(|file| file.bytes).sum();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let manifest = Manifest { format: FORMAT, kind, database_id, taken, last_epoch, version, files };
    std::fs::write(unfinished.path().join(MANIFEST), serde_json::to_string_pretty(&manifest)? + "\n").context("cannot write the backup")?;
    sync(unfinished.path())?;
    // Over an empty directory this would succeed; over anything else it fails.
    ensure!(!target.exists(), "{} was made by somebody else meanwhile", target.display());
    std::fs::rename(unfinished.path(), target).with_context(|| format!("cannot rename the backup to {}", target.display()))?;
    let _ = unfinished.keep();
    std::fs::File::open(&beside).and_then(|beside| beside.sync_all()).with_context(|| format!("cannot sync {}", beside.display()))?;
    let names: Vec<&str> = manifest.files.keys().map(String::as_str).collect();
    if args.json {
        println!(
            "{}",
            json!({ "directory": target, "kind": kind, "bytes": bytes, "files": names, "last_epoch": last_epoch, "taken": manifest.taken })
        );
    } else {
        println!("{}: {}, {bytes} bytes, as of {}", target.display(), names.join(", "), manifest.taken);
    }
    Ok(())
}

async fn copy(args: &GatewayArgs, to: &Path) -> Result<(Kind, Option<String>, u64)> {
    match args.database.place(Some(&args.data_dir))? {
        Place::File(path) => {
            let target = to.join(Kind::Sqlite.file());
            let copied = copy_file(&path, &target).await.with_context(|| format!("cannot copy {}", path.display()))?;
            Ok((Kind::Sqlite, None, copied.last_epoch))
        }
        Place::Postgres(url) => {
            let Some(there) = postgres::look(&args.database, &url).await? else {
                bail!("the database of --database-url has no metadata in it")
            };
            // A backup of one cluster's metadata with another's keys is of no use.
            let known = args.data_dir.join(DATABASE_ID);
            match std::fs::read_to_string(&known) {
                Ok(id) => ensure!(id.trim() == there.id, "{} names another database than that of --database-url", known.display()),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e).with_context(|| format!("cannot read {}", known.display())),
            }
            postgres::dump(&args.database, &url, &to.join(Kind::Postgres.file()))?;
            Ok((Kind::Postgres, Some(there.id), there.last_epoch))
        }
    }
}

fn secrets(args: &GatewayArgs, to: &Path) -> Result<()> {
    for name in SECRETS {
        let named = args.nodes.cluster_key.clone().filter(|_| name == "cluster.key");
        let path = named.unwrap_or_else(|| args.data_dir.join(name));
        match std::fs::read(&path) {
            Ok(secret) => write_secret(&to.join(name), &secret)?,
            // The token and the first key may come from the environment.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !matches!(name, "seal.key" | "cluster.key") => {}
            Err(e) => {
                return Err(e).with_context(|| {
                    format!("cannot read {}; name the data directory with --data-dir, or say --without-keys", path.display())
                });
            }
        }
    }
    Ok(())
}
