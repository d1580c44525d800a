//! Which database holds the metadata, and who else may use it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use cyxcloud_sdk::core::port::{Environment, Meta};
use cyxcloud_sdk::meta::{SqliteMeta, share_directory};

/// Options that say where the metadata are.
#[derive(Args, Clone, Debug, Default)]
pub struct DatabaseArgs {
    /// Where the metadata are: sqlite:///path/meta.db, or just the path [default: meta.db in the data directory]. Several processes of one machine
    /// may share the file.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

/// An open database.
pub struct Database {
    /// The metadata.
    pub meta: Arc<dyn Meta>,
    /// Says that this process uses the directory, as long as it does.
    _shared: cyxcloud_sdk::DirectoryLock,
}

impl DatabaseArgs {
    /// Opens it, making the file when there is none.
    ///
    /// # Errors
    /// When it cannot be used; the message says which it is.
    pub async fn open(&self, data_dir: Option<&Path>, env: Arc<dyn Environment>) -> Result<Database> {
        let path = self.path(data_dir)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let shared = share_directory(directory)?;
        // With empty metadata every shard of the nodes would look like an orphan, and be collected.
        let keys = data_dir.map(|data_dir| data_dir.join("seal.key")).filter(|keys| keys.exists());
        if let Some(keys) = keys.filter(|_| !path.exists()) {
            bail!(
                "{} is missing, but {} says that there is a cluster already; restore the metadata, or name another --data-dir to begin anew",
                path.display(),
                keys.display()
            );
        }
        let meta = SqliteMeta::open(&path, env).await.with_context(|| format!("cannot use the metadata file {}", path.display()))?;
        Ok(Database { meta: Arc::new(meta), _shared: shared })
    }

    /// The file.
    pub(crate) fn path(&self, data_dir: Option<&Path>) -> Result<PathBuf> {
        let Some(url) = self.database_url.as_deref().filter(|url| !url.is_empty()) else {
            let data_dir = data_dir.context("say where the metadata are: DATABASE_URL or --database-url sqlite:///path/meta.db")?;
            return Ok(data_dir.join("meta.db"));
        };
        match url.split_once("://") {
            None => Ok(url.strip_prefix("sqlite:").unwrap_or(url).into()),
            Some(("sqlite", path)) if path.starts_with('/') => Ok(path.into()),
            Some(("sqlite", _)) => bail!("{url:?} has a host; a file is sqlite:///path/meta.db, with three slashes"),
            Some(("postgres" | "postgresql", _)) => {
                bail!("PostgreSQL cannot hold the metadata yet; use sqlite:///path/meta.db, which processes of one machine share")
            }
            Some((other, _)) => bail!("a database of kind {other:?} is not known; use sqlite:///path/meta.db"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_files_or_are_refused_with_the_reason() {
        let path = |url: &str| DatabaseArgs { database_url: Some(url.to_owned()) }.path(Some(Path::new("/data")));
        for (url, file) in
            [("sqlite:///a/b.db", "/a/b.db"), ("/a/b.db", "/a/b.db"), ("b.db", "b.db"), ("sqlite:b.db", "b.db"), ("", "/data/meta.db")]
        {
            assert_eq!(path(url).unwrap(), Path::new(file), "{url}");
        }
        for (url, says) in [("postgres://u@h/d", "yet"), ("sqlite://b.db", "three slashes"), ("mysql://x", "not known")] {
            assert!(path(url).unwrap_err().to_string().contains(says), "{url}");
        }
        assert!(DatabaseArgs { database_url: None }.path(None).is_err());
    }
}
