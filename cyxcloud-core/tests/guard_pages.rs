//! Every kernel between pages that must not be touched: one byte too far ends the process with SIGSEGV.
//!
//! What a kernel may only read is mapped read-only while it runs, so that a store into an input is caught as well.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is the report")]
#![allow(unsafe_code, reason = "guard pages are made with mmap and mprotect; each block argues what it maps")]

use std::ffi::c_void;
use std::ptr::null_mut;

use cyxcloud_core::data::erasure::{Coder, Kernel, Scheme};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// A multiple of every page size in use, and longer than any slice here.
const PAGES_BYTES: usize = 64 << 10;

/// Where in its pages a slice lies.
#[derive(Clone, Copy, Debug)]
enum At {
    /// Its first byte follows a guard page.
    Start,
    /// A guard page follows its last byte.
    End,
}

/// Memory between two guard pages, zero at first.
struct Fenced {
    mapping: *mut c_void,
    writable: bool,
}

impl Fenced {
    fn new() -> Self {
        // SAFETY: a new anonymous mapping at an address the system chooses replaces none that is there.
        let mapping = unsafe { mmap_anonymous(null_mut(), 3 * PAGES_BYTES, ProtFlags::empty(), MapFlags::PRIVATE) }.unwrap();
        let mut fenced = Self { mapping, writable: false };
        fenced.set_writable(true);
        fenced
    }

    fn many(count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::new()).collect()
    }

    fn middle(&self) -> *mut u8 {
        self.mapping.cast::<u8>().wrapping_add(PAGES_BYTES)
    }

    fn set_writable(&mut self, writable: bool) {
        let flags = if writable { MprotectFlags::READ | MprotectFlags::WRITE } else { MprotectFlags::READ };
        // SAFETY: these pages are the middle of our own mapping, and `&mut self` says that no slice of them is alive.
        unsafe { mprotect(self.middle().cast(), PAGES_BYTES, flags) }.unwrap();
        self.writable = writable;
    }

    fn offset(at: At, len: usize) -> usize {
        match at {
            At::Start => 0,
            At::End => PAGES_BYTES - len,
        }
    }

    fn slice(&self, at: At, len: usize) -> &[u8] {
        // SAFETY: the range lies within the middle pages, which are readable from `new` on, initialised to zero by the system, and live as long as
        // `self`; writing them takes `&mut self`.
        unsafe { std::slice::from_raw_parts(self.middle().add(Self::offset(at, len)), len) }
    }

    fn slice_mut(&mut self, at: At, len: usize) -> &mut [u8] {
        assert!(self.writable, "these pages are read-only now");
        // SAFETY: as in `slice`; the pages are writable, as just checked, and `&mut self` makes the slice the only one.
        unsafe { std::slice::from_raw_parts_mut(self.middle().add(Self::offset(at, len)), len) }
    }

    /// Copies `bytes` into the slice at `at` and leaves it read-only.
    fn hold(&mut self, at: At, bytes: &[u8]) {
        self.set_writable(true);
        self.slice_mut(at, bytes.len()).copy_from_slice(bytes);
        self.set_writable(false);
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, whole, and no slice of it outlives `self`.
        unsafe { munmap(self.mapping, 3 * PAGES_BYTES) }.unwrap();
    }
}

fn slices(fenced: &[Fenced], at: At, len: usize) -> Vec<&[u8]> {
    fenced.iter().map(|one| one.slice(at, len)).collect()
}

fn slices_mut(fenced: &mut [Fenced], at: At, len: usize) -> Vec<&mut [u8]> {
    fenced.iter_mut().map(|one| one.slice_mut(at, len)).collect()
}

/// Lengths around every vector, step and block of the kernels.
fn lengths() -> impl Iterator<Item = usize> {
    (1..=300).chain([511, 513, 1023, 1025]).chain(4095..=4098).chain(4159..=4161).chain([8191, 8193, 16_384, 16_385])
}

/// No pattern that a matrix would cancel.
fn bytes(len: usize, seed: u32) -> Vec<u8> {
    (0..len as u32).map(|i| ((i + seed).wrapping_mul(0x9e37_79b9 ^ seed) >> 21) as u8).collect()
}

/// Encodes, verifies and rebuilds with each of `coders`, all of one scheme.
fn exercise(coders: &[Coder], at: At) {
    let scheme = coders[0].scheme();
    let (k, m, total) = (scheme.data(), scheme.parity(), scheme.total());
    let reference = Coder::with_kernel(scheme, Kernel::Portable);
    // Spread over data and parity, so that both are rebuilt from both.
    let lost: Vec<usize> = (0..total).step_by(total / m).take(m).collect();
    let (mut data, mut parity, mut made) = (Fenced::many(k), Fenced::many(m), Fenced::many(m));
    for len in lengths() {
        data.iter_mut().zip(1..).for_each(|(shard, seed)| shard.hold(at, &bytes(len, seed)));
        let expected = reference.encode(&slices(&data, at, len)).unwrap();
        for coder in coders {
            let what = format!("{}, {scheme}, {len} bytes at the {at:?}", coder.kernel());
            parity.iter_mut().for_each(|shard| shard.set_writable(true));
            coder.encode_into(&slices(&data, at, len), &mut slices_mut(&mut parity, at, len)).unwrap();
            assert_eq!(slices(&parity, at, len), expected, "{what}");

            parity.iter_mut().for_each(|shard| shard.set_writable(false));
            assert!(coder.verify(&slices(&data, at, len), &slices(&parity, at, len)).unwrap(), "{what}");

            let all = [slices(&data, at, len), slices(&parity, at, len)].concat();
            let shards: Vec<Option<&[u8]>> = (0..total).map(|index| (!lost.contains(&index)).then_some(all[index])).collect();
            let outputs = slices_mut(&mut made, at, len);
            coder.rebuild_into(&shards, &mut lost.iter().copied().zip(outputs).collect::<Vec<_>>()).unwrap();
            assert!(lost.iter().zip(&made).all(|(index, made)| made.slice(at, len) == all[*index]), "{what}");
        }
    }
}

#[test]
fn no_kernel_touches_a_byte_outside_its_slices() {
    for (k, m) in [(10, 4), (3, 2), (1, 1), (17, 6), (2, 9)] {
        let scheme = Scheme::new(k, m).unwrap();
        let coders: Vec<Coder> = Kernel::available().map(|kernel| Coder::with_kernel(scheme, kernel)).collect();
        exercise(&coders, At::Start);
        exercise(&coders, At::End);
    }
}
