//! How the database is set up, and how it gives space back.

use std::path::Path;

use rocksdb::{
    BottommostLevelCompaction, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB, DBCompressionType, DBRecoveryMode, Error,
    LogLevel, Options,
};

/// The column family of the frames.
pub(super) const FRAMES: &str = "frames";

/// Limits of a [`super::RocksDbStore`].
#[derive(Clone, Copy, Debug)]
pub struct RocksDbOptions {
    /// What the frames may occupy in all. The log, and dead frames until they are collected, come on top.
    pub capacity_bytes: u64,
    /// What puts leave free on the file system whatever the capacity. Collecting may use it, and needs it on a full disk.
    pub reserve_bytes: u64,
    /// What is held in memory and in the log before it is written to a blob file.
    pub write_buffer_bytes: usize,
    /// Length of a blob file.
    pub blob_file_bytes: u64,
    /// Less than this that is dead is not collected unasked, nor is less than half of what is alive.
    pub collect_bytes: u64,
}

impl Default for RocksDbOptions {
    fn default() -> Self {
        Self {
            capacity_bytes: u64::MAX,
            reserve_bytes: 1 << 30,
            write_buffer_bytes: 64 << 20,
            blob_file_bytes: 256 << 20,
            collect_bytes: 32 << 20,
        }
    }
}

impl RocksDbOptions {
    /// Opens the database in `path`.
    pub(super) fn open(&self, path: &Path) -> Result<DB, Error> {
        let mut database = Options::default();
        database.create_if_missing(true);
        database.create_missing_column_families(true);
        // Both column families leave the log together, so that neither keeps it for the other.
        database.set_atomic_flush(true);
        // A torn tail was acknowledged to nobody. Where a stricter mode would refuse to open, repair refills what is missing.
        database.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        // What RocksDB reserves for its own files would fill a small disk.
        database.set_manifest_preallocation_size(64 << 10);
        database.set_max_open_files(512);
        database.set_log_level(LogLevel::Warn);
        database.set_max_log_file_size(1 << 20);
        database.set_keep_log_file_num(2);
        let mut infos = Options::default();
        infos.set_compression_type(DBCompressionType::None);
        // Of both, as the log is reserved by it.
        infos.set_write_buffer_size(self.write_buffer_bytes);
        infos.set_target_file_size_base(self.write_buffer_bytes as u64);
        let mut frames = infos.clone();
        frames.set_max_write_buffer_number(4);
        frames.set_enable_blob_files(true);
        frames.set_min_blob_size(4096);
        frames.set_blob_file_size(self.blob_file_bytes);
        let families = [ColumnFamilyDescriptor::new("default", infos), ColumnFamilyDescriptor::new(FRAMES, frames)];
        DB::open_cf_descriptors(&database, path, families)
    }
}

/// Compacts everything, copying what is alive out of the oldest `part` of the blob files. Compactions that RocksDB begins by itself copy
/// nothing: keys are random, so each of them would copy all frames.
pub(super) fn collect(db: &DB, frames: &ColumnFamily, part: f64) -> Result<(), Error> {
    let cutoff = part.to_string();
    db.set_options_cf(frames, &[("enable_blob_garbage_collection", "true"), ("blob_garbage_collection_age_cutoff", &cutoff)])?;
    let mut all = CompactOptions::default();
    all.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    db.compact_range_cf_opt(frames, None::<&[u8]>, None::<&[u8]>, &all);
    db.compact_range(None::<&[u8]>, None::<&[u8]>);
    db.set_options_cf(frames, &[("enable_blob_garbage_collection", "false")])
}
