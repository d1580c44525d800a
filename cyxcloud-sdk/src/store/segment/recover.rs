//! Opening a store: whose it is, what its segments hold, which of the records of a key is the truth.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cyxcloud_core::Result;
use cyxcloud_core::id::ShardKey;

use super::SegmentOptions;
use super::disk::Disk;
use super::file::{OpenSegment, path};
use super::index::{Index, Place, Segment, Tomb};
use super::layout::{DATA_START, Entry};
use super::record::{BLOCK_BYTES, Home, Kind};
use super::scan::{self, Content};
use super::shared::Shared;
use crate::directory_lock::DirectoryLock;
use crate::store::directory;
use crate::store::identity::SEGMENT;
use crate::store::media::{broken, lock};

/// A segment file and what is in it.
struct Found {
    number: u32,
    bytes: u64,
    /// Whether it is allocated throughout.
    whole: bool,
    content: Content,
}

/// Opens the store in `root`: with the segment to go on writing, and what holds the lock of the directory.
pub(super) fn open(root: PathBuf, options: SegmentOptions) -> Result<(Shared, Option<OpenSegment>, DirectoryLock)> {
    let (store, lock_file) = directory::open(&root, SEGMENT)?;
    let found = read_segments(&root, store)?;
    let shared = Shared::new(root, options, store);
    set_counters(&shared, &found);
    build_index(&mut shared.index_mut(), &found);
    let active = open_unsealed(&shared, found).map_err(|e| broken(&shared.root, e))?;
    Ok((shared, active, lock_file))
}

fn read_segments(root: &Path, store: [u8; 16]) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("segments")).map_err(|e| broken(root, e))? {
        let name = entry.map_err(|e| broken(root, e))?.file_name();
        // What has another name is not ours and harms nothing.
        let Some(number) = name.to_str().and_then(parse_name) else { continue };
        found.extend(read_segment(root, number, Home { store, segment: number })?);
    }
    Ok(found)
}

fn parse_name(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 8)?;
    u32::from_str_radix(digits, 16).ok().filter(|number| name == format!("{number:08x}.seg"))
}

/// What is in a file. One that never had a life is removed.
fn read_segment(root: &Path, number: u32, home: Home) -> Result<Option<Found>> {
    let failed = |e: io::Error| broken(root, e);
    let path = path(root, number);
    let file = File::open(&path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let bytes = metadata.len() / BLOCK_BYTES * BLOCK_BYTES;
    let Some(content) = scan::read(&file, bytes, &home)? else {
        fs::remove_file(&path).map_err(failed)?;
        return Ok(None);
    };
    Ok(Some(Found { number, bytes, whole: allocated_bytes(&metadata) >= bytes, content }))
}

fn allocated_bytes(metadata: &fs::Metadata) -> u64 {
    #[cfg(unix)]
    {
        std::os::unix::fs::MetadataExt::blocks(metadata).saturating_mul(512)
    }
    #[cfg(not(unix))]
    {
        metadata.len()
    }
}

/// Numbers, lives and sequences go on behind the highest that were used.
fn set_counters(shared: &Shared, found: &[Found]) {
    let next = |highest: Option<u64>| highest.map_or(1, |highest| highest.saturating_add(1));
    let number = next(found.iter().map(|found| u64::from(found.number)).max());
    shared.next_number.store(number.try_into().unwrap_or(u32::MAX), std::sync::atomic::Ordering::Relaxed);
    shared.next_life.store(next(found.iter().map(|found| found.content.life).max()), std::sync::atomic::Ordering::Relaxed);
    let used = found.iter().flat_map(|found| found.content.entries.iter().map(|entry| entry.sequence));
    let floor = found.iter().map(|found| found.content.sequence).max().unwrap_or(1);
    shared.next_sequence.store(next(used.max()).max(floor), std::sync::atomic::Ordering::Relaxed);
}

fn build_index(index: &mut Index, found: &[Found]) {
    let now = Instant::now();
    let mut truth: BTreeMap<ShardKey, (u64, Place)> = BTreeMap::new();
    let mut tombs: HashMap<ShardKey, (u64, Tomb)> = HashMap::new();
    let mut others: Vec<(ShardKey, Place)> = Vec::new();
    for Found { number, bytes, whole, content } in found {
        if content.entries.is_empty() && !content.sealed {
            continue;
        }
        let Content { life, slot, .. } = *content;
        let punched = !whole || content.doubtful;
        index.add_segment(*number, Segment { life, slot, bytes: *bytes, live_bytes: 0, tombs: 0, sealed: true, punched });
        for entry in &content.entries {
            let Entry { key, offset, size_bytes, epoch, sequence, .. } = *entry;
            if entry.kind == Kind::Tombstones {
                let tomb = (life, Tomb { segment: *number, sequence });
                let known = tombs.entry(key).or_insert(tomb);
                // Of equal ones, copies, the younger: the older segment was about to go.
                if (known.1.sequence, known.0) < (sequence, life) {
                    *known = tomb;
                }
                continue;
            }
            let place = Place { segment: *number, offset, size_bytes, epoch, sequence };
            match truth.get(&key) {
                Some((known_life, known)) if (known.sequence, *known_life) >= (sequence, life) => others.push((key, place)),
                _ => others.extend(truth.insert(key, (life, place)).map(|(_, old)| (key, old))),
            }
        }
    }
    for (key, (_, place)) in truth {
        match tombs.get(&key) {
            Some((_, tomb)) if tomb.sequence > place.sequence => others.push((key, place)),
            _ => index.put(key, place, now),
        }
    }
    for (key, place) in &others {
        index.add_shadow(*key, *place, now);
    }
    for (key, (_, tomb)) in tombs {
        if index.get(key).is_none() && index.has_shadow(key) {
            index.add_tomb(key, tomb);
        }
    }
}

/// Opens what was not sealed: the youngest with records to go on writing, the others to be sealed; one without records is a spare.
fn open_unsealed(shared: &Shared, found: Vec<Found>) -> io::Result<Option<OpenSegment>> {
    let mut unsealed: Vec<Found> = found.into_iter().filter(|found| !found.content.sealed).collect();
    unsealed.sort_unstable_by_key(|found| found.content.life);
    let mut active: Option<OpenSegment> = None;
    for Found { number, bytes, whole, content } in unsealed {
        if content.entries.is_empty() {
            let usable = whole && !content.doubtful && bytes > DATA_START && shared.keeps_spare(bytes);
            if !usable {
                fs::remove_file(shared.path(number))?;
                continue;
            }
        }
        let disk = Disk::open(&shared.path(number))?;
        // What was found may be in caches only, and from now on it counts.
        disk.sync()?;
        let Content { life, slot, tail, entries, doubtful, .. } = content;
        let segment = OpenSegment { number, life, slot, bytes, disk, tail, entries };
        if segment.entries.is_empty() {
            lock(&shared.spares).add(segment);
        } else if !doubtful && segment.fits(0, 0) {
            // The one before it had been full.
            if let Some(full) = active.replace(segment) {
                full.seal(&shared.home(full.number))?;
            }
        }
    }
    if let Some(active) = &active {
        shared.index_mut().unseal_segment(active.number);
    }
    Ok(active)
}
