//! Copies of the metadata file, made while others write to it, and put back.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cyxcloud_core::port::{Environment, Restore};
use cyxcloud_core::{Error, Result};
use rusqlite::Connection;

use super::fail::{Fail, Outcome};
use super::query::{first, uint};
use super::{restores, schema, sql};

/// What there is to say of a copy of the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The last epoch that it has given.
    pub last_epoch: u64,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// Copies the metadata file at `from`, as it is at one moment, to `to`, which must not be there. Others may write to it meanwhile.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::NotFound`] when there is no file, and those of [`super::SqliteMeta::open`].
pub async fn copy_file(from: &Path, to: &Path) -> Result<Copied> {
    let (from, to) = (from.to_owned(), to.to_owned());
    blocking(move || {
        if !from.exists() {
            return Err(Error::not_found(format!("there is no metadata file {}", from.display())).into());
        }
        let target = to.to_str().ok_or_else(|| Error::invalid(format!("{} is not UTF-8", to.display())))?;
        // One read transaction: writers go on beside it, and their log grows as long as it lasts.
        schema::open_reader(&from)?.execute("VACUUM INTO ?1", [target])?;
        sync(&to)?;
        describe(&to)
    })
    .await
}

/// Puts a copy at `from` back as `to`, which must not be there, with the restore marked in it. `to` appears whole or not at all.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::AlreadyExists`] when `to` is there, or a log of the file that was; those of [`super::SqliteMeta::open`] and
/// [`cyxcloud_core::port::Meta::mark_restored`].
pub async fn put_back(from: &Path, to: &Path, seen: u64, clock: &dyn Environment) -> Result<Restore> {
    let (from, to, now) = (from.to_owned(), to.to_owned(), clock.now());
    blocking(move || {
        if to.exists() {
            return Err(Error::already_exists(format!("{} is there already", to.display())).into());
        }
        refuse_logs(&to)?;
        let unfinished = beside(&to, ".restoring");
        for leftover in std::iter::once(unfinished.clone()).chain(LOGS.map(|suffix| beside(&unfinished, suffix))) {
            match std::fs::remove_file(leftover) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(&unfinished, e)),
                _ => {}
            }
        }
        copy_bytes(&from, &unfinished).map_err(|e| failed(&unfinished, e))?;
        let restore = {
            let mut c = schema::open_writer(&unfinished)?;
            let tx = c.transaction()?;
            let restore = restores::mark(&tx, seen, now)?;
            tx.commit()?;
            // So that the file is everything, without a log beside it.
            c.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get::<_, String>(0))?;
            restore
        };
        sync(&unfinished)?;
        refuse_logs(&to)?;
        std::fs::rename(&unfinished, &to).map_err(|e| failed(&to, e))?;
        let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync(directory)?;
        Ok(restore)
    })
    .await
}

/// What SQLite keeps beside a file, and writes into whatever file it finds there the next time.
const LOGS: [&str; 3] = ["-wal", "-shm", "-journal"];

fn refuse_logs(of: &Path) -> Outcome<()> {
    let there: Vec<String> =
        LOGS.map(|suffix| beside(of, suffix)).iter().filter(|log| log.exists()).map(|log| log.display().to_string()).collect();
    if there.is_empty() {
        return Ok(());
    }
    let logs = there.join(", ");
    Err(Error::already_exists(format!(
        "{logs} would be written into the restored file: move what is left away, with the old {}",
        of.display()
    ))
    .into())
}

/// Readable and writable by the owner only, whatever the copy is.
fn copy_bytes(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut new = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    std::io::copy(&mut File::open(from)?, &mut new).map(drop)
}

fn describe(path: &Path) -> Outcome<Copied> {
    let c: Connection = schema::open_reader(path)?;
    let last_epoch = first(&c, sql::COUNTER, [], |row| uint(row, 0))?.ok_or_else(super::leases::no_counter)?;
    let size_bytes = std::fs::metadata(path).map_err(|e| failed(path, e))?.len();
    Ok(Copied { last_epoch, size_bytes })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn sync(path: &Path) -> Outcome<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| failed(path, e))
}

fn failed(path: &Path, e: std::io::Error) -> Fail {
    Error::unavailable(format!("cannot use {}: {e}", path.display())).with_source(e).into()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Outcome<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(move || work().map_err(Fail::into_error)).await;
    done.map_err(|e| Error::internal("copying the metadata file was cut short").with_source(e))?
}
