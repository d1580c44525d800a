//! Segment files: aligned writes past the page cache where the file system has them, room reserved before it is needed.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::path::Path;

use super::memory::Blocks;
use super::record::BLOCK_BYTES;

/// At most so many pieces in one system call.
const MAX_SLICES: usize = 512;

/// A segment's file, open for writing.
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
}

impl Disk {
    /// Opens `path`, made if it is missing, for direct writes where there are such.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::fs::OpenOptionsExt;
            let direct = options.clone().custom_flags(rustix::fs::OFlags::DIRECT.bits() as i32).open(path);
            // EINVAL says that the file system has no direct writes. Whether this one takes ours, a write of one block tells.
            match direct {
                Ok(file) if takes_blocks(&file) => return Ok(Self { file }),
                Err(e) if e.raw_os_error() != Some(rustix::io::Errno::INVAL.raw_os_error()) => return Err(e),
                _ => {}
            }
        }
        Ok(Self { file: options.open(path)? })
    }

    /// Reserves all of the first `len` bytes, so that no later write can run out of space. The file is exactly that long then.
    pub(super) fn reserve(&self, len: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        match rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), 0, len) {
            // File systems without it find out when they write.
            Err(rustix::io::Errno::OPNOTSUPP) => {}
            other => other?,
        }
        self.file.set_len(len)
    }

    /// Writes pieces of whole blocks behind each other from `offset`.
    pub(super) fn write(&self, pieces: &[Blocks], offset: u64) -> io::Result<()> {
        let total: u64 = pieces.iter().map(|piece| piece.bytes().len() as u64).sum();
        let mut done = 0;
        while done < total {
            let n = match rustix::io::pwritev(&self.file, &slices(pieces, done), offset + done) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other? as u64,
            };
            let before = done;
            // A direct write goes on at a block, even if the last one took less.
            done += n;
            done -= if done < total { done % BLOCK_BYTES } else { 0 };
            if done == before {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Makes what was written durable, and with it what is needed to find it.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The same with all metadata.
    pub(super) fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// The pieces without their first `skip` bytes.
fn slices(pieces: &[Blocks], skip: u64) -> Vec<IoSlice<'_>> {
    let mut skip = skip as usize;
    let rest = pieces.iter().filter_map(|piece| {
        let bytes = piece.bytes().get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(piece.bytes().len());
        (!bytes.is_empty()).then(|| IoSlice::new(bytes))
    });
    rest.take(MAX_SLICES).collect()
}

/// Reading is enough of a test: both want the same alignment, and a file that is empty answers too.
#[cfg(target_os = "linux")]
fn takes_blocks(file: &File) -> bool {
    let mut one = Blocks::take(BLOCK_BYTES as usize);
    rustix::io::pread(file, one.bytes_mut(), 0).is_ok()
}

/// Gives the space of a range back to the file system; the range reads as zeros then. Where that is impossible it stays.
pub(super) fn punch(path: &Path, offset: u64, len: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::FallocateFlags;
        let file = OpenOptions::new().write(true).open(path)?;
        match rustix::fs::fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (path, offset, len);
        Ok(())
    }
}
