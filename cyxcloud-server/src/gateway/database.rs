//! Which database holds the metadata, and who else may use it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use cyxcloud_sdk::core::port::{Environment, Meta};
use cyxcloud_sdk::credential::write_secret;
use cyxcloud_sdk::meta::{PostgresMeta, PostgresOptions, RedisMeta, RedisOptions, SqliteMeta, share_directory};

use super::copies::seen;

/// Options that say where the metadata are.
#[derive(Args, Clone, Debug, Default)]
pub struct DatabaseArgs {
    /// Where the metadata are: sqlite:///path/meta.db, or just the path, for the processes of one machine [default: meta.db in the data
    /// directory]; postgres://user:password@host:port/database for those of many.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    database_url: Option<String>,
    /// Connections to PostgreSQL at most; those of all processes together must stay below its max_connections.
    #[arg(long, env = "CYX_DATABASE_CONNECTIONS", default_value_t = PostgresOptions::default().connections)]
    database_connections: usize,
    /// PEM file with the authorities that may have issued the certificate of PostgreSQL. With it TLS is demanded, without it there is none.
    #[arg(long, env = "DATABASE_CA", value_name = "PATH")]
    database_ca: Option<PathBuf>,
    /// Redis in front of it, which several gateways share: redis://user:password@host:port/database. It holds nonces, counters and long manifests, for
    /// minutes. Without it they are in the database, or read from it.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,
}

/// An open database.
pub struct Database {
    /// The metadata.
    pub meta: Arc<dyn Meta>,
    /// Redis, where it is in front of them.
    pub redis: Option<Arc<RedisMeta>>,
    /// Says that this process uses the directory of the file, as long as it does.
    _shared: Option<cyxcloud_sdk::DirectoryLock>,
}

/// Where the metadata are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    File(PathBuf),
    Postgres(String),
}

/// In the data directory of a cluster whose metadata are in PostgreSQL: the id of that database.
pub(super) const DATABASE_ID: &str = "database.id";

impl DatabaseArgs {
    /// The metadata in the file of that name in the data directory.
    pub fn in_data_dir() -> Self {
        Self { database_url: None, database_connections: 1, database_ca: None, redis_url: None }
    }

    /// Opens it, making what is missing.
    ///
    /// # Errors
    /// When it cannot be used; the message says which it is.
    pub async fn open(&self, data_dir: Option<&Path>, env: Arc<dyn Environment>) -> Result<Database> {
        let redis_url = self.redis_url()?;
        let database = match self.place(data_dir)? {
            Place::File(path) => open_file(&path, data_dir, env).await?,
            Place::Postgres(url) => self.open_postgres(&url, data_dir).await?,
        };
        if let Some(data_dir) = data_dir {
            seen::check(data_dir, &*database.meta).await?;
        }
        let Some(url) = redis_url else { return Ok(database) };
        let redis = Arc::new(RedisMeta::open(database.meta, url, RedisOptions::default()).await?);
        greet(&redis).await;
        Ok(Database { meta: redis.clone(), redis: Some(redis), ..database })
    }

    /// Where Redis is, if anywhere.
    pub(crate) fn redis_url(&self) -> Result<Option<&str>> {
        let Some(url) = self.redis_url.as_deref().filter(|url| !url.is_empty()) else { return Ok(None) };
        ensure!(!url.starts_with("rediss://"), "TLS to Redis is not there yet; use a private network or a tunnel, and redis://");
        ensure!(url.starts_with("redis://"), "the URL of Redis must begin with redis://");
        Ok(Some(url))
    }

    /// How PostgreSQL is used.
    pub(super) fn postgres_options(&self) -> Result<PostgresOptions> {
        let read =
            |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}, which --database-ca names", path.display()));
        let authorities_pem = self.database_ca.as_ref().map(read).transpose()?;
        Ok(PostgresOptions { connections: self.database_connections, authorities_pem, ..PostgresOptions::default() })
    }

    /// The file with the authorities to trust, in which case there is TLS.
    pub(super) fn authorities(&self) -> Option<&Path> {
        self.database_ca.as_deref()
    }

    async fn open_postgres(&self, url: &str, data_dir: Option<&Path>) -> Result<Database> {
        let options = self.postgres_options()?;
        let meta = PostgresMeta::open(url, options).await.context("cannot use the database of --database-url (and --database-ca)")?;
        if meta.is_exposed() {
            tracing::warn!(
                "the connection to PostgreSQL is not encrypted: who is on the way can read and change the metadata; see --database-ca"
            );
        }
        if let Some(data_dir) = data_dir {
            check_same(data_dir, &meta.database_id().await?)?;
        }
        Ok(Database { meta: Arc::new(meta), redis: None, _shared: None })
    }

    /// Where it is.
    pub(crate) fn place(&self, data_dir: Option<&Path>) -> Result<Place> {
        let Some(url) = self.database_url.as_deref().filter(|url| !url.is_empty()) else {
            let data_dir = data_dir.context("say where the metadata are: DATABASE_URL or --database-url, a file or postgres://")?;
            return Ok(Place::File(data_dir.join("meta.db")));
        };
        match url.split_once("://") {
            None => Ok(Place::File(url.strip_prefix("sqlite:").unwrap_or(url).into())),
            Some(("sqlite", path)) if path.starts_with('/') => Ok(Place::File(path.into())),
            Some(("sqlite", _)) => bail!("{url:?} has a host; a file is sqlite:///path/meta.db, with three slashes"),
            Some(("postgres" | "postgresql", _)) => Ok(Place::Postgres(url.to_owned())),
            Some((other, _)) => bail!("a database of kind {other:?} is not known; use sqlite:///path/meta.db or postgres://"),
        }
    }
}

/// Looks whether Redis is there and right. Neither keeps a gateway from serving.
async fn greet(redis: &RedisMeta) {
    // The first to ask has it begin to say since when it remembers: a request that is signed from now on may come.
    let known = async {
        redis.notes_since().await?;
        redis.eviction_policy().await
    };
    match known.await {
        Ok(policy) if policy == "noeviction" => {}
        Ok(policy) => tracing::warn!(
            policy,
            "Redis may throw nonces away when its memory is full, after which a request could be sent a second time; set maxmemory-policy noeviction"
        ),
        Err(error) => {
            tracing::warn!(%error, "Redis does not answer; objects are served without it, calls of accounts over gRPC are refused until it does")
        }
    }
}

async fn open_file(path: &Path, data_dir: Option<&Path>, env: Arc<dyn Environment>) -> Result<Database> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let shared = share_directory(directory)?;
    if let Some(data_dir) = data_dir.filter(|_| !path.exists()) {
        // With empty metadata every shard of the nodes would look like an orphan, and be collected.
        ensure!(
            seen::recall(data_dir)? == 0,
            "{} is missing, but this data directory was used with metadata already; put a backup back with cyxcloud-gateway restore DIR, or name another \
             --data-dir to begin anew",
            path.display()
        );
        let keys = data_dir.join("seal.key");
        ensure!(
            !keys.exists(),
            "{} is missing, but {} says that there is a cluster already; restore the metadata, or name another --data-dir to begin anew",
            path.display(),
            keys.display()
        );
    }
    let meta = SqliteMeta::open(path, env).await.with_context(|| format!("cannot use the metadata file {}", path.display()))?;
    Ok(Database { meta: Arc::new(meta), redis: None, _shared: Some(shared) })
}

/// Refuses a database that is not the one this data directory was used with: with the metadata of others, or with none, every shard of the nodes
/// would look like an orphan, and be collected.
fn check_same(data_dir: &Path, id: &str) -> Result<()> {
    let path = data_dir.join(DATABASE_ID);
    match std::fs::read_to_string(&path) {
        Ok(known) if known.trim() == id => Ok(()),
        Ok(known) => bail!(
            "{} says that the metadata of this cluster are in the database {}, and this one is {id}; name the right one, or another --data-dir",
            path.display(),
            known.trim()
        ),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let file = data_dir.join("meta.db");
            ensure!(!file.exists(), "the metadata of this cluster are in {}; PostgreSQL needs another --data-dir", file.display());
            // They are made after this file, so they come from somewhere else.
            let secret = ["seal.key", "cluster.key"].map(|name| data_dir.join(name)).into_iter().find(|path| path.exists());
            if let Some(secret) = secret {
                bail!("{} was copied here without {DATABASE_ID}: copy that from the same place", secret.display());
            }
            Ok(write_secret(&path, format!("{id}\n").as_bytes())?)
        }
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_files_or_servers_or_are_refused_with_the_reason() {
        let place =
            |url: &str| DatabaseArgs { database_url: Some(url.to_owned()), ..DatabaseArgs::in_data_dir() }.place(Some(Path::new("/data")));
        for (url, file) in
            [("sqlite:///a/b.db", "/a/b.db"), ("/a/b.db", "/a/b.db"), ("b.db", "b.db"), ("sqlite:b.db", "b.db"), ("", "/data/meta.db")]
        {
            assert_eq!(place(url).unwrap(), Place::File(file.into()), "{url}");
        }
        for url in ["postgres://u@h/d", "postgresql://u:p@h:1/d?application_name=x"] {
            assert_eq!(place(url).unwrap(), Place::Postgres(url.into()));
        }
        for (url, says) in [("sqlite://b.db", "three slashes"), ("mysql://x", "not known")] {
            assert!(place(url).unwrap_err().to_string().contains(says), "{url}");
        }
        assert!(DatabaseArgs::in_data_dir().place(None).is_err());
    }

    #[test]
    fn a_redis_that_cannot_be_reached_as_asked_is_refused() {
        let args = |url: &str| DatabaseArgs { redis_url: Some(url.to_owned()), ..DatabaseArgs::in_data_dir() };
        assert_eq!(args("").redis_url().unwrap(), None);
        assert_eq!(args("redis://h:1/2").redis_url().unwrap(), Some("redis://h:1/2"));
        for (url, says) in [("rediss://u:hidden@h", "TLS"), ("http://u:hidden@h", "must begin")] {
            let error = args(url).redis_url().unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn a_data_directory_belongs_to_one_database() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("new");
        check_same(&data_dir, "a1").unwrap();
        check_same(&data_dir, "a1").unwrap();
        assert!(check_same(&data_dir, "b2").unwrap_err().to_string().contains("a1"));
        std::fs::write(directory.path().join("meta.db"), "").unwrap();
        assert!(check_same(directory.path(), "a1").unwrap_err().to_string().contains("meta.db"));
        std::fs::write(directory.path().join("seal.key"), "").unwrap();
        std::fs::remove_file(directory.path().join("meta.db")).unwrap();
        assert!(check_same(directory.path(), "a1").unwrap_err().to_string().contains("copy that"));
    }
}
