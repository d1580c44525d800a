//! What a backup consists of: `backup.json` says what its other files are, and their hashes.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// The file that describes the others.
pub(super) const MANIFEST: &str = "backup.json";
/// The format of backups; another one is refused.
pub(super) const FORMAT: u32 = 1;
/// What gateways share beside the metadata, as far as it is there.
pub(super) const SECRETS: [&str; 5] = ["seal.key", "cluster.key", "database.id", "join.token", "root-key.json"];

/// Where the metadata of a backup come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// The file with the metadata.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Sqlite => "meta.db",
            Self::Postgres => "meta.dump",
        }
    }
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    pub(super) blake3: String,
    pub(super) bytes: u64,
}

/// `backup.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) kind: Kind,
    pub(super) database_id: Option<String>,
    /// RFC 3339.
    pub(super) taken: String,
    /// Epochs of leases up to this one were given when the copy was taken.
    pub(super) last_epoch: u64,
    /// Of the program that made it.
    pub(super) version: String,
    pub(super) files: BTreeMap<String, FileEntry>,
}

impl Manifest {
    /// The manifest of the backup in `directory`, whose files are all as they were when it was made.
    pub(super) fn verified(directory: &Path) -> Result<Self> {
        let path = directory.join(MANIFEST);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("{} is no backup: cannot read {MANIFEST}", directory.display()))?;
        let format = serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|value| value["format"].as_u64());
        ensure!(
            format.is_none_or(|format| format == u64::from(FORMAT)),
            "{} has the format {}, this program knows {FORMAT}: use a newer program",
            path.display(),
            format.unwrap_or_default()
        );
        let manifest: Self = serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
        ensure!(manifest.files.contains_key(manifest.kind.file()), "the backup has no {}", manifest.kind.file());
        for (name, entry) in &manifest.files {
            let known = name == manifest.kind.file() || SECRETS.contains(&name.as_str());
            ensure!(known, "{} names {name:?}, which no backup has", path.display());
            ensure!(FileEntry::of(&directory.join(name))? == *entry, "{name} of the backup is damaged: it is not what {MANIFEST} says");
        }
        Ok(manifest)
    }
}

impl FileEntry {
    /// What there is at `path`.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let hash = || -> std::io::Result<Self> {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(File::open(path)?)?;
            Ok(Self { blake3: hasher.finalize().to_hex().to_string(), bytes: hasher.count() })
        };
        hash().with_context(|| format!("cannot read {}", path.display()))
    }
}

/// Makes what is in `directory` durable: its files and their names.
pub(super) fn sync(directory: &Path) -> Result<()> {
    let all = || -> std::io::Result<()> {
        for entry in std::fs::read_dir(directory)? {
            File::open(entry?.path())?.sync_all()?;
        }
        File::open(directory)?.sync_all()
    };
    all().with_context(|| format!("cannot sync {}", directory.display()))
}

/// The directory that `path` lies in.
pub(super) fn parent(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_that_is_not_as_it_was_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path();
        std::fs::write(there.join("meta.db"), "metadata").unwrap();
        let files = BTreeMap::from([("meta.db".to_owned(), FileEntry::of(&there.join("meta.db")).unwrap())]);
        let manifest = Manifest {
            format: FORMAT,
            kind: Kind::Sqlite,
            database_id: None,
            taken: "2026-01-01T00:00:00Z".into(),
            last_epoch: 7,
            version: "0".into(),
            files,
        };
        let write = |manifest: &Manifest| std::fs::write(there.join(MANIFEST), serde_json::to_string(manifest).unwrap()).unwrap();
        let refused = || Manifest::verified(there).unwrap_err().to_string();
        assert!(refused().contains("no backup"));
        write(&manifest);
        assert_eq!(Manifest::verified(there).unwrap(), manifest);
        write(&Manifest { format: 2, ..manifest.clone() });
        assert!(refused().contains("newer program"));
        let outside = BTreeMap::from([("../meta.db".to_owned(), manifest.files["meta.db"].clone())]);
        write(&Manifest { files: manifest.files.clone().into_iter().chain(outside).collect(), ..manifest.clone() });
        assert!(refused().contains("which no backup has"));
        write(&manifest);
        std::fs::write(there.join("meta.db"), "metadatb").unwrap();
        assert!(refused().contains("damaged"));
    }
}
