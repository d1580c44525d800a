//! The disk alone: the bytes that a PUT has to make durable, written by plain threads that compute nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use cyxcloud_core::data::chunk::shard_len;
use cyxcloud_core::policy::Policy;

use super::processes::own_directory;

/// How shards are made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A file for each shard: written, synced, renamed, its directory synced.
    Files,
    /// One growing file for each thread, synced once for all shards of a chunk.
    Sequential,
}

/// Lengths of the shards of an object of `object_bytes`, by chunk.
fn shards(object_bytes: usize) -> Vec<Vec<usize>> {
    let policy = Policy::default();
    let chunk_bytes = policy.chunk_size_bytes as usize;
    let lengths = (0..object_bytes).step_by(chunk_bytes).map(|at| (object_bytes - at).min(chunk_bytes) as u32);
    lengths.map(|len| vec![shard_len(policy.scheme, len); policy.scheme.total()]).collect()
}

/// Directories to write into, removed with everything in them when this is dropped.
pub struct Disk {
    root: PathBuf,
    layout: Layout,
    next: AtomicUsize,
}

impl Disk {
    /// Makes the directories below `parent`, one for each node of the default scheme.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn prepare(parent: &Path, layout: Layout) -> Result<Self> {
        let disk = Self { root: own_directory(parent, "raw")?, layout, next: AtomicUsize::new(0) };
        for node in 0..Policy::default().scheme.total() {
            fs::create_dir_all(disk.node(node).join("tmp"))?;
            fs::create_dir_all(disk.node(node).join("shards"))?;
        }
        Ok(disk)
    }

    /// Writes what the default policy makes of `objects`, `threads` objects at once; how long each took.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, objects: &[Bytes], threads: usize) -> Result<Vec<Duration>> {
        self.write_all(objects, threads).with_context(|| format!("cannot write below {}; has the disk room?", self.root.display()))
    }

    fn write_all(&self, objects: &[Bytes], threads: usize) -> Result<Vec<Duration>> {
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || self.thread(thread, objects))).collect();
            let mut latencies = Vec::new();
            for thread in running {
                latencies.extend(thread.join().map_err(|_| anyhow!("a writer panicked"))??);
            }
            Ok(latencies)
        })
    }

    fn thread(&self, thread: usize, objects: &[Bytes]) -> Result<Vec<Duration>> {
        let mut sequential = match self.layout {
            Layout::Files => None,
            Layout::Sequential => Some(File::create_new(self.root.join(format!("sequential-{thread}")))?),
        };
        let mut latencies = Vec::new();
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(object) = objects.get(index) else { return Ok(latencies) };
            let started = Instant::now();
            for (chunk, shards) in shards(object.len()).into_iter().enumerate() {
                // Parity is as long as data and as little compressible, so bytes of the object stand for it.
                let payload = |shard: usize, len: usize| &object[(shard * len) % (object.len() - len + 1)..][..len];
                for (shard, len) in shards.into_iter().enumerate() {
                    match &mut sequential {
                        Some(file) => file.write_all(payload(shard, len))?,
                        None => self.write_file(shard, &format!("{index}.{chunk}"), payload(shard, len))?,
                    }
                }
                sequential.as_ref().map_or(Ok(()), File::sync_all)?;
            }
            latencies.push(started.elapsed());
        }
    }

    fn node(&self, node: usize) -> PathBuf {
        self.root.join(format!("node-{node}"))
    }

    fn write_file(&self, node: usize, name: &str, payload: &[u8]) -> io::Result<()> {
        let (tmp, shards) = (self.node(node).join("tmp").join(name), self.node(node).join("shards"));
        let mut file = OpenOptions::new().write(true).create_new(true).open(&tmp)?;
        file.write_all(payload)?;
        file.sync_all()?;
        fs::rename(&tmp, shards.join(name))?;
        File::open(shards)?.sync_all()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What cannot be removed is left for who runs this; the figures stand.
        let _ = fs::remove_dir_all(&self.root);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_mebibytes_are_28_shards() {
        assert_eq!(shards(8 << 20).concat(), [419_456; 28]);
        assert_eq!(shards((4 << 20) + 1).concat().iter().sum::<usize>(), 14 * (419_456 + 64));
    }

    #[test]
    fn both_layouts_write_and_clean_up() {
        let parent = std::env::temp_dir().join(format!("load-raw-test-{}", std::process::id()));
        let objects = super::super::bodies::round(1, 1, 3, 100_000);
        for layout in [Layout::Files, Layout::Sequential] {
            assert_eq!(Disk::prepare(&parent, layout).unwrap().write(&objects, 2).unwrap().len(), 3);
        }
        // Only empty directories can be removed so.
        fs::remove_dir(&parent).unwrap();
    }
}
