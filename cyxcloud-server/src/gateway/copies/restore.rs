//! A backup is put back where nothing is, in an order in which no gateway can begin before it is marked as an older copy.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use cyxcloud_sdk::core::port::{Environment, Meta, Restore};
use cyxcloud_sdk::credential::write_secret;
use cyxcloud_sdk::environment::TokioEnvironment;
use cyxcloud_sdk::meta::{PostgresMeta, SqliteMeta, put_back, take_directory};
use serde_json::json;

use super::files::{Kind, Manifest, SECRETS, parent};
use super::{RestoreArgs, postgres, seen};
use crate::gateway::GatewayArgs;
use crate::gateway::database::{DATABASE_ID, Place};

pub(super) async fn run(args: &GatewayArgs, restore: &RestoreArgs) -> Result<()> {
    let place = args.database.place(Some(&args.data_dir))?;
    let (restored, keys) = match &restore.directory {
        Some(directory) => {
            let manifest = Manifest::verified(directory)?;
            (put(args, &place, directory, &manifest).await?, manifest.files.contains_key("seal.key"))
        }
        None => (mark(args, &place).await?, true),
    };
    // Whoever has seen more than this has seen another copy.
    seen::remember(&args.data_dir, restored.to - 1)?;
    if args.json {
        println!("{}", json!({ "data_dir": args.data_dir, "from": restored.from, "to": restored.to, "keys": keys }));
        return Ok(());
    }
    println!("restored; what was written since the copy has epochs {} to {}", restored.from, restored.to - 1);
    if !keys {
        println!(
            "the backup has no secrets: copy seal.key and cluster.key to {} before a gateway starts, or it makes new ones",
            args.data_dir.display()
        );
    }
    println!("start the gateways, then the rebalancers");
    Ok(())
}

async fn put(args: &GatewayArgs, place: &Place, from: &Path, manifest: &Manifest) -> Result<Restore> {
    let data_dir = &args.data_dir;
    match (place, manifest.kind) {
        (Place::File(_), Kind::Sqlite) | (Place::Postgres(_), Kind::Postgres) => {}
        (Place::File(_), Kind::Postgres) => bail!("the backup is that of a PostgreSQL database; name an empty one with --database-url"),
        (Place::Postgres(_), Kind::Sqlite) => bail!("the backup is that of a metadata file, which PostgreSQL cannot read; name no server"),
    }
    // Nobody else uses the directory meanwhile.
    let _alone = match place {
        Place::File(path) => {
            ensure!(
                !path.exists(),
                "{} holds metadata already; restore to another --data-dir, or stop everything and move that file (with its -wal and -shm) away",
                path.display()
            );
            Some(take_directory(&parent(path))?)
        }
        Place::Postgres(url) => {
            ensure!(
                postgres::look(&args.database, url).await?.is_none(),
                "the database of --database-url holds metadata already; make an empty one and name that, or where they are the restored ones already, say \
                 restore --in-place"
            );
            None
        }
    };
    let floor = manifest.last_epoch.saturating_add(Restore::GAP).max(seen::recall(data_dir)?);
    // Whether epochs are left, before anything remembers a number that leaves none.
    Restore::of(manifest.last_epoch, manifest.last_epoch, floor, TokioEnvironment::default().now())?;
    keys(data_dir, from, manifest)?;
    // Until the restore is marked, whoever finds the metadata takes them for an older copy, which they are.
    seen::remember(data_dir, floor)?;
    let file = from.join(manifest.kind.file());
    match place {
        Place::File(path) => Ok(put_back(&file, path, floor, &TokioEnvironment::default()).await?),
        Place::Postgres(url) => {
            postgres::restore(&args.database, url, &file)?;
            let meta = PostgresMeta::open(url, args.database.postgres_options()?).await?;
            Ok(meta.mark_restored(floor).await?)
        }
    }
}

/// Puts the secrets in place; those that are there must be the same.
fn keys(data_dir: &Path, from: &Path, manifest: &Manifest) -> Result<()> {
    let mut wanted = Vec::new();
    for name in SECRETS.into_iter().filter(|name| manifest.files.contains_key(*name)) {
        wanted.push((name, std::fs::read(from.join(name)).with_context(|| format!("cannot read {name} of the backup"))?));
    }
    if let Some(id) = manifest.database_id.as_ref().filter(|_| !manifest.files.contains_key(DATABASE_ID)) {
        wanted.push((DATABASE_ID, format!("{id}\n").into_bytes()));
    }
    let mut missing = Vec::new();
    for (name, secret) in wanted {
        let path = data_dir.join(name);
        match std::fs::read(&path) {
            Ok(there) if there.trim_ascii() == secret.trim_ascii() => {}
            Ok(_) => bail!("{} is another than that of the backup, so this is the data directory of another cluster", path.display()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => missing.push((path, secret)),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }
    for (path, secret) in missing {
        write_secret(&path, &secret)?;
    }
    Ok(())
}

/// Marks metadata that were put back by other means.
async fn mark(args: &GatewayArgs, place: &Place) -> Result<Restore> {
    let floor = seen::recall(&args.data_dir)?;
    match place {
        Place::File(path) => {
            ensure!(path.exists(), "there is no metadata file {}", path.display());
            let _alone = take_directory(&parent(path))?;
            let clock: Arc<dyn Environment> = Arc::new(TokioEnvironment::default());
            Ok(SqliteMeta::open(path, clock).await?.mark_restored(floor).await?)
        }
        Place::Postgres(url) => {
            let Some(there) = postgres::look(&args.database, url).await? else {
                bail!("the database of --database-url has no metadata in it")
            };
            ensure!(
                there.users == 0,
                "{} other connections use the database; stop every gateway and rebalancer, and whatever else is connected, first",
                there.users
            );
            let meta = PostgresMeta::open(url, args.database.postgres_options()?).await?;
            Ok(meta.mark_restored(floor).await?)
        }
    }
}
