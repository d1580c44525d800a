//! The highest epoch that a gateway has seen, kept in its data directory. Epochs only grow; metadata that give one that was seen before are an older copy that
//! somebody has put back without saying so.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cyxcloud_sdk::core::port::{Meta, Restore};

/// The file.
const FILE: &str = "epoch.seen";
/// How often a running gateway writes it. A copy that is put back unsaid and is older by less goes unnoticed.
const EVERY: Duration = Duration::from_secs(10);
/// A lease is begun only for its epoch.
const LEASE_MS: u64 = 1_000;

/// The highest epoch seen; 0 where none is known.
pub(in crate::gateway) fn recall(data_dir: &Path) -> Result<u64> {
    let path = data_dir.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(0),
        other => other.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let number = text.trim().parse().ok().filter(|seen| *seen <= i64::MAX as u64 - 2 * Restore::GAP);
    number.with_context(|| format!("{} holds {:?}, which is no epoch", path.display(), text.trim()))
}

/// Notes that `epoch` was seen.
pub(super) fn remember(data_dir: &Path, epoch: u64) -> Result<()> {
    if recall(data_dir)? >= epoch {
        return Ok(());
    }
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(data_dir)?;
        let unfinished = tempfile::NamedTempFile::new_in(data_dir)?;
        writeln!(unfinished.as_file(), "{epoch}")?;
        unfinished.as_file().sync_all()?;
        unfinished.persist(data_dir.join(FILE))?;
        File::open(data_dir)?.sync_all()
    };
    write().with_context(|| format!("cannot write {FILE} in {}", data_dir.display()))
}

/// Refuses metadata that are older than what was seen. That the number cannot be written is no reason to: reads need no data directory.
pub(in crate::gateway) async fn check(data_dir: &Path, meta: &dyn Meta) -> Result<()> {
    let seen = recall(data_dir)?;
    let epoch = next(meta).await?;
    if epoch > seen {
        if let Err(error) = remember(data_dir, epoch) {
            warn_unnoted(&error);
        }
        return Ok(());
    }
    bail!(
        "these metadata are an older copy of those this cluster was used with: they would give lease {epoch} next, and {} says that {seen} was seen. Stop every gateway \
         and rebalancer and say once: cyxcloud-gateway restore --in-place, with the same --data-dir and --database-url",
        data_dir.join(FILE).display()
    )
}

/// Goes on noting until the metadata turn into an older copy under this process: what that has lost must not be collected.
pub(in crate::gateway) async fn keep_noting(data_dir: &Path, meta: Arc<dyn Meta>) {
    let mut highest = recall(data_dir).unwrap_or_default();
    loop {
        tokio::time::sleep(EVERY).await;
        let noted = match next(&*meta).await {
            Ok(epoch) if epoch < highest => {
                tracing::error!(
                    epoch,
                    highest,
                    "the database was replaced by an older copy while this gateway ran; it ends now. Stop every gateway and rebalancer and say once: \
                     cyxcloud-gateway restore --in-place, with the same --data-dir and --database-url"
                );
                return;
            }
            Ok(epoch) => {
                highest = epoch;
                remember(data_dir, epoch)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            warn_unnoted(&error);
        }
    }
}

fn warn_unnoted(error: &anyhow::Error) {
    tracing::warn!(error = format!("{error:#}"), "cannot note the epoch that was seen");
}

async fn next(meta: &dyn Meta) -> Result<u64> {
    let lease = meta.begin_lease(LEASE_MS).await?;
    meta.end_lease(lease.epoch).await?;
    ensure!(lease.epoch > 0, "the metadata give no epochs");
    Ok(lease.epoch)
}

#[cfg(test)]
mod tests {
    use cyxcloud_sdk::core::memory::MemoryMeta;
    use cyxcloud_sdk::core::testing::VirtualTime;

    use super::*;

    #[tokio::test]
    async fn an_older_copy_is_noticed_until_it_is_marked() {
        let directory = tempfile::tempdir().unwrap();
        let meta = MemoryMeta::new(Arc::new(VirtualTime::new(1)));
        check(directory.path(), &meta).await.unwrap();
        let copy = meta.copy();
        check(directory.path(), &meta).await.unwrap();
        check(directory.path(), &meta).await.unwrap();
        meta.put_back(copy);
        let refused = check(directory.path(), &meta).await.unwrap_err().to_string();
        assert!(refused.contains("--in-place"), "{refused}");
        meta.mark_restored(recall(directory.path()).unwrap()).await.unwrap();
        check(directory.path(), &meta).await.unwrap();
        std::fs::write(directory.path().join(FILE), "x").unwrap();
        assert!(check(directory.path(), &meta).await.is_err());
    }
}
