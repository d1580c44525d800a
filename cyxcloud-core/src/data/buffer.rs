//! Memory for chunks, used again and again, so that no upload waits for fresh pages or for clearing them.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Where buffers begin: a cache line, and the widest vector.
pub const ALIGN_BYTES: usize = 64;

/// Buffers that nobody uses at the moment, up to a number of bytes.
pub struct Pool {
    max_idle_bytes: usize,
    idle: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    /// A pool that keeps up to `max_idle_bytes` for reuse; what is in use is not counted.
    pub fn new(max_idle_bytes: usize) -> Arc<Self> {
        Arc::new(Self { max_idle_bytes, idle: Mutex::default() })
    }

    /// A buffer of `len` bytes. **They hold whatever was there before**: overwrite all that is given away.
    ///
    /// ```
    /// use cyxcloud_core::data::buffer::Pool;
    ///
    /// let pool = Pool::new(1 << 20);
    /// let mut buffer = pool.take(5);
    /// buffer.copy_from_slice(b"bytes");
    /// let bytes = buffer.freeze();
    /// assert_eq!(bytes.slice(1..3), "yt");
    /// ```
    pub fn take(self: &Arc<Self>, len: usize) -> Buffer {
        let wanted = len + ALIGN_BYTES;
        let mut idle = self.idle();
        // Not one that is much too large: then what is in use would not be bounded by what was asked for.
        let fitting = idle.iter().enumerate().rev().filter(|(_, memory)| (wanted..=2 * wanted).contains(&memory.len()));
        // Of several the one used last: it may still be in the cache.
        let smallest = fitting.min_by_key(|(_, memory)| memory.len()).map(|(at, _)| at);
        let found = smallest.map(|at| idle.remove(at));
        drop(idle);
        let memory = found.unwrap_or_else(|| vec![0; wanted]);
        let start = memory.as_ptr().align_offset(ALIGN_BYTES).min(ALIGN_BYTES);
        Buffer { memory, start, len, pool: self.clone() }
    }

    fn give(&self, memory: Vec<u8>) {
        if memory.len() > self.max_idle_bytes {
            return;
        }
        let mut idle = self.idle();
        idle.push(memory);
        // What was not wanted for longest is of a size that nobody wants any more.
        while idle.iter().map(Vec::len).sum::<usize>() > self.max_idle_bytes {
            idle.remove(0);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let idle = self.idle();
        write!(f, "{} idle buffers of {} bytes together", idle.len(), idle.iter().map(Vec::len).sum::<usize>())
    }
}

/// Memory of a [`Pool`], aligned to [`ALIGN_BYTES`]; it goes back when this, or the last [`Bytes`] made of it, is dropped.
pub struct Buffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
    pool: Arc<Pool>,
}

impl Buffer {
    /// The buffer as bytes that can be shared, without a copy.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// Forgets what lies behind the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a buffer of {} bytes", self.len)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_with_the_last_reader_and_is_bounded() {
        let pool = Pool::new(3000);
        let bytes = pool.take(1000).freeze();
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert!(pool.idle().is_empty(), "a slice still reads it");
        drop(slice);
        assert_eq!(pool.idle().len(), 1);
        let held: Vec<_> = (0..5).map(|_| pool.take(900)).collect();
        assert!(pool.idle().is_empty() && held.iter().all(|buffer| buffer.len() == 900 && buffer.as_ptr().align_offset(ALIGN_BYTES) == 0));
        drop(held);
        let kept: usize = pool.idle().iter().map(Vec::len).sum();
        assert!((1000..=3000).contains(&kept), "{kept} bytes are kept");
    }

    #[test]
    fn of_equals_the_one_used_last_is_taken() {
        let pool = Pool::new(1 << 20);
        let (first, last) = (pool.take(500), pool.take(500));
        let warm = last.as_ptr();
        drop((first, last));
        assert_eq!(pool.take(500).as_ptr(), warm);
    }

    #[test]
    fn the_smallest_that_suffices_is_taken() {
        let pool = Pool::new(1 << 20);
        drop((pool.take(5000), pool.take(500), pool.take(50_000)));
        assert_eq!(pool.take(400).memory.len(), 500 + ALIGN_BYTES);
        assert_eq!(pool.take(4000).memory.len(), 5000 + ALIGN_BYTES);
        assert_eq!(pool.take(1000).memory.len(), 1000 + ALIGN_BYTES, "50,000 are too many for it");
    }
}
