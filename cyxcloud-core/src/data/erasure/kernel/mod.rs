//! The loops that multiply shards by a matrix over GF(2^8), one for each kind of processor, chosen at run time.
//!
//! All of them compute every output in one pass over the inputs, for any length and alignment. `portable` is plain Rust and the specification;
//! the others are `vector` with the vectors of `x86` or `neon`, and the tests hold each to `reed-solomon-erasure`.

#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::matrix::Matrix;

/// A way to multiply bytes in GF(2^8).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kernel {
    /// GF2P8AFFINEQB on 64 bytes at a time.
    GfniAvx512,
    /// GF2P8AFFINEQB on 32 bytes.
    GfniAvx2,
    /// Products of nibbles looked up 64 at a time.
    Avx512,
    /// Products of nibbles looked up 32 at a time.
    Avx2,
    /// Products of nibbles looked up 16 at a time, on ARM.
    Neon,
    /// Products looked up byte by byte, anywhere.
    Portable,
}

impl Kernel {
    /// All there are, the fastest first.
    pub const ALL: [Self; 6] = [Self::GfniAvx512, Self::GfniAvx2, Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];

    /// Those this machine has, the fastest first; never empty.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kernel| kernel.is_available())
    }

    /// The fastest this machine has.
    pub fn best() -> Self {
        Self::available().next().unwrap_or(Self::Portable)
    }

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::GfniAvx512 | Self::GfniAvx2 | Self::Avx512 | Self::Avx2 => x86::has(self),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Self::Portable => true,
            #[allow(unreachable_patterns, reason = "which kernels are left depends on the architecture")]
            _ => false,
        }
    }

    /// A short name, as `cargo xtask bench-report` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::GfniAvx512 => "gfni-avx512",
            Self::GfniAvx2 => "gfni-avx2",
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }

    /// Overwrites `outputs` with `matrix` times `inputs`.
    pub(super) fn multiply(self, matrix: &Matrix, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        let len = one_shape(matrix, inputs, outputs);
        if len < self.vector_bytes() {
            return portable::multiply(matrix, inputs, outputs);
        }
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::GfniAvx512 | Self::GfniAvx2 | Self::Avx512 | Self::Avx2 => x86::multiply(self, matrix, inputs, outputs),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => neon::multiply(matrix, inputs, outputs),
            _ => portable::multiply(matrix, inputs, outputs),
        }
    }

    /// Whether `outputs` are `matrix` times `inputs`.
    pub(super) fn matches(self, matrix: &Matrix, inputs: &[&[u8]], outputs: &[&[u8]]) -> bool {
        let len = one_shape(matrix, inputs, outputs);
        if len < self.vector_bytes() {
            return portable::matches(matrix, inputs, outputs);
        }
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::GfniAvx512 | Self::GfniAvx2 | Self::Avx512 | Self::Avx2 => x86::matches(self, matrix, inputs, outputs),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => neon::matches(matrix, inputs, outputs),
            _ => portable::matches(matrix, inputs, outputs),
        }
    }

    /// Shorter slices are left to `portable`.
    fn vector_bytes(self) -> usize {
        match self {
            Self::GfniAvx512 | Self::Avx512 => 64,
            Self::GfniAvx2 | Self::Avx2 => 32,
            Self::Neon => 16,
            Self::Portable => 0,
        }
    }
}

impl std::fmt::Display for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// The length all slices share. The kernels rely on it for memory safety, so it is checked here, once, in every build.
fn one_shape(matrix: &Matrix, inputs: &[&[u8]], outputs: &[impl AsRef<[u8]>]) -> usize {
    assert!(matrix.inputs == inputs.len() && matrix.outputs == outputs.len(), "the coder counts its shards");
    let len = inputs.first().map_or(0, |input| input.len());
    assert!(inputs.iter().all(|input| input.len() == len), "the coder checks the lengths of its inputs");
    assert!(outputs.iter().all(|output| output.as_ref().len() == len), "the coder checks the lengths of its outputs");
    len
}
