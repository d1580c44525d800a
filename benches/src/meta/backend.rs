//! The stores that are measured, each fresh.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use cyxcloud_core::memory::MemoryMeta;
use cyxcloud_core::port::Meta;
use cyxcloud_sdk::environment::TokioEnvironment;
use cyxcloud_sdk::meta::{PostgresMeta, PostgresOptions, SqliteMeta};
use cyxcloud_test_servers::{Postgres, PostgresSettings};
use serde::Serialize;

/// A store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The reference in memory, which is as slow as a lock and as fast as memory.
    Memory,
    /// One file.
    Sqlite,
    /// A server on this machine that waits for the disk with every commit.
    Postgres,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Sqlite, Self::Postgres];
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// An open store and what it keeps its data in.
pub struct Backend {
    pub meta: Arc<dyn Meta>,
    place: Place,
}

enum Place {
    Nowhere,
    File(PathBuf),
    Server(Box<Postgres>),
}

impl Backend {
    /// An empty one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn open(kind: Kind, data_dir: &Path) -> Result<Self> {
        let clock = Arc::new(TokioEnvironment::default());
        Ok(match kind {
            Kind::Memory => Self { meta: Arc::new(MemoryMeta::new(clock)), place: Place::Nowhere },
            Kind::Sqlite => {
                let _ = std::fs::remove_dir_all(data_dir);
                std::fs::create_dir_all(data_dir)?;
                let path = data_dir.join("meta.db");
                Self { meta: Arc::new(SqliteMeta::open(&path, clock).await?), place: Place::File(path) }
            }
            Kind::Postgres => {
                let server = Postgres::start(PostgresSettings::default())?;
                let options = PostgresOptions { connections: 64, ..PostgresOptions::default() };
                let meta = PostgresMeta::open(&server.url("postgres"), options).await?;
                Self { meta: Arc::new(meta), place: Place::Server(Box::new(server)) }
            }
        })
    }

    /// Brings what is known of its contents up to date, as the server does by itself after a while.
    ///
    /// # Errors
    /// The server's.
    pub fn settle(&self) -> Result<()> {
        if let Place::Server(server) = &self.place {
            server.psql("postgres", "VACUUM ANALYZE").context("VACUUM ANALYZE")?;
        }
        Ok(())
    }

    /// What it takes on the disk, indexes included; None in memory.
    ///
    /// # Errors
    /// Where that cannot be seen.
    pub fn bytes(&self) -> Result<Option<u64>> {
        const SIZE: &str = "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE nspname = 'cyx' AND relkind = 'r'";
        Ok(match &self.place {
            Place::Nowhere => None,
            Place::File(path) => Some(std::fs::metadata(path)?.len()),
            Place::Server(server) => Some(server.psql("postgres", SIZE)?.trim().parse()?),
        })
    }
}
