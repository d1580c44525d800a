//! The vectors of x86-64.
#![allow(unsafe_code, reason = "intrinsics; the features each kernel needs are checked before it is entered")]

use std::arch::x86_64::*;

use super::super::matrix::Matrix;
use super::Kernel;
use super::vector::{Job, Vector, run, with_expected, with_outputs};

/// Whether the processor has what `kernel` needs.
pub(super) fn has(kernel: Kernel) -> bool {
    match kernel {
        Kernel::GfniAvx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("gfni"),
        Kernel::GfniAvx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("gfni"),
        Kernel::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw"),
        Kernel::Avx2 => is_x86_feature_detected!("avx2"),
        Kernel::Neon | Kernel::Portable => false,
    }
}

/// [`Kernel::multiply`] for slices of one length, at least a vector.
pub(super) fn multiply(kernel: Kernel, matrix: &Matrix, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
    with_outputs(matrix, inputs, outputs, |job| {
        dispatch::<false>(kernel, job);
    });
}

/// [`Kernel::matches`] for slices of one length, at least a vector.
pub(super) fn matches(kernel: Kernel, matrix: &Matrix, inputs: &[&[u8]], outputs: &[&[u8]]) -> bool {
    with_expected(matrix, inputs, outputs, |job| dispatch::<true>(kernel, job))
}

fn dispatch<const CHECK: bool>(kernel: Kernel, job: &Job<'_>) -> bool {
    assert!(has(kernel), "a coder takes only kernels this machine has");
    // SAFETY: the processor has the features of the kernel, as just checked. The job is made from slices of one length, of at least one vector, as
    // many as the matrix says; `outputs` are mutable slices unless CHECK, so they overlap nothing.
    unsafe {
        match kernel {
            Kernel::GfniAvx512 => gfni_avx512::<CHECK>(job),
            Kernel::GfniAvx2 => gfni_avx2::<CHECK>(job),
            Kernel::Avx512 => avx512::<CHECK>(job),
            Kernel::Avx2 => avx2::<CHECK>(job),
            Kernel::Neon | Kernel::Portable => unreachable!("has() is false for kernels of other machines"),
        }
    }
}

/// Defines the function in which a vector's intrinsics are compiled to single instructions.
macro_rules! kernel {
    ($name:ident, $vector:ty, $features:literal) => {
        /// # Safety
        /// The processor must have these features; otherwise as [`run`].
        #[target_feature(enable = $features)]
        unsafe fn $name<const CHECK: bool>(job: &Job<'_>) -> bool {
            // SAFETY: the caller's promise is that of `run`, and the features of the vector are enabled here.
            unsafe { run::<$vector, CHECK>(job) }
        }
    };
}

kernel!(gfni_avx512, Affine512, "avx512f,gfni");
kernel!(gfni_avx2, Affine256, "avx2,gfni");
kernel!(avx512, Nibbles512, "avx512f,avx512bw");
kernel!(avx2, Nibbles256, "avx2");

/// 64 bytes, multiplied by a bit matrix.
#[derive(Clone, Copy)]
struct Affine512(__m512i);

/// 32 bytes, multiplied by a bit matrix.
#[derive(Clone, Copy)]
struct Affine256(__m256i);

/// 64 bytes, multiplied by looking up their nibbles.
#[derive(Clone, Copy)]
struct Nibbles512(__m512i);

/// 32 bytes, multiplied by looking up their nibbles.
#[derive(Clone, Copy)]
struct Nibbles256(__m256i);

/// The exclusive or of three, in one instruction: 0x96 is its truth table.
///
/// # Safety
/// The processor must have AVX-512F.
#[inline(always)]
unsafe fn xor3_512(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    // SAFETY: the caller has checked the features.
    unsafe { _mm512_ternarylogic_epi64::<0x96>(a, b, c) }
}

/// The exclusive or of three.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn xor3_256(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
    // SAFETY: the caller has checked the features.
    unsafe { _mm256_xor_si256(a, _mm256_xor_si256(b, c)) }
}

/// The methods that depend on the width only.
macro_rules! of_width {
    (512) => {
        const BYTES: usize = 64;

        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller has checked the features.
            Self(unsafe { _mm512_setzero_si512() })
        }

        #[inline(always)]
        unsafe fn load(from: *const u8) -> Self {
            // SAFETY: the caller promises 64 readable bytes; the load takes any alignment.
            Self(unsafe { _mm512_loadu_si512(from.cast()) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut u8) {
            // SAFETY: the caller promises 64 writable bytes; the store takes any alignment.
            unsafe { _mm512_storeu_si512(to.cast(), self.0) }
        }

        #[inline(always)]
        unsafe fn or(self, other: Self) -> Self {
            // SAFETY: the caller has checked the features.
            Self(unsafe { _mm512_or_si512(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn is_zero(self) -> bool {
            // SAFETY: the caller has checked the features.
            unsafe { _mm512_test_epi64_mask(self.0, self.0) == 0 }
        }
    };
    (256) => {
        const BYTES: usize = 32;

        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller has checked the features.
            Self(unsafe { _mm256_setzero_si256() })
        }

        #[inline(always)]
        unsafe fn load(from: *const u8) -> Self {
            // SAFETY: the caller promises 32 readable bytes; the load takes any alignment.
            Self(unsafe { _mm256_loadu_si256(from.cast()) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut u8) {
            // SAFETY: the caller promises 32 writable bytes; the store takes any alignment.
            unsafe { _mm256_storeu_si256(to.cast(), self.0) }
        }

        #[inline(always)]
        unsafe fn or(self, other: Self) -> Self {
            // SAFETY: the caller has checked the features.
            Self(unsafe { _mm256_or_si256(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn is_zero(self) -> bool {
            // SAFETY: the caller has checked the features.
            unsafe { _mm256_testz_si256(self.0, self.0) == 1 }
        }
    };
}

/// The methods of multiplication by a bit matrix.
macro_rules! by_affine {
    ($broadcast:ident, $affine:ident, $xor:ident) => {
        type Factor = Self;
        type Coefficient = u64;

        fn coefficients(matrix: &Matrix) -> &[u64] {
            &matrix.affine
        }

        #[inline(always)]
        unsafe fn factor(self) -> Self {
            self
        }

        #[inline(always)]
        unsafe fn add_product(self, coefficient: &u64, factor: Self) -> Self {
            // SAFETY: the caller has checked the features.
            unsafe { Self($xor(self.0, $affine::<0>(factor.0, $broadcast(*coefficient as i64)))) }
        }
    };
}

/// The methods of multiplication by looking up nibbles.
macro_rules! by_nibbles {
    ($register:ty, $broadcast:ident, $mask:ident, $and:ident, $shift:ident, $shuffle:ident, $xor3:ident) => {
        /// Low nibbles and high nibbles.
        type Factor = ($register, $register);
        type Coefficient = [u8; 32];

        fn coefficients(matrix: &Matrix) -> &[[u8; 32]] {
            &matrix.nibbles
        }

        #[inline(always)]
        unsafe fn factor(self) -> Self::Factor {
            // SAFETY: the caller has checked the features.
            unsafe {
                let mask = $mask(15);
                ($and(self.0, mask), $and($shift::<4>(self.0), mask))
            }
        }

        #[inline(always)]
        unsafe fn add_product(self, coefficient: &[u8; 32], (low, high): Self::Factor) -> Self {
            // SAFETY: the caller has checked the features; the loads read the two halves of the coefficient's 32 bytes.
            unsafe {
                let of_low = $broadcast(_mm_loadu_si128(coefficient.as_ptr().cast()));
                let of_high = $broadcast(_mm_loadu_si128(coefficient.as_ptr().add(16).cast()));
                Self($xor3(self.0, $shuffle(of_low, low), $shuffle(of_high, high)))
            }
        }
    };
}

impl Vector for Affine512 {
    of_width!(512);
    by_affine!(_mm512_set1_epi64, _mm512_gf2p8affine_epi64_epi8, _mm512_xor_si512);

    const PAIRS: bool = true;

    #[inline(always)]
    unsafe fn add_products(self, [a, b]: [&u64; 2], [x, y]: [Self; 2]) -> Self {
        // SAFETY: the caller has checked the features.
        unsafe {
            let ax = _mm512_gf2p8affine_epi64_epi8::<0>(x.0, _mm512_set1_epi64(*a as i64));
            let by = _mm512_gf2p8affine_epi64_epi8::<0>(y.0, _mm512_set1_epi64(*b as i64));
            Self(xor3_512(self.0, ax, by))
        }
    }
}

impl Vector for Affine256 {
    of_width!(256);
    by_affine!(_mm256_set1_epi64x, _mm256_gf2p8affine_epi64_epi8, _mm256_xor_si256);
}

impl Vector for Nibbles512 {
    of_width!(512);
    by_nibbles!(__m512i, _mm512_broadcast_i32x4, _mm512_set1_epi8, _mm512_and_si512, _mm512_srli_epi16, _mm512_shuffle_epi8, xor3_512);
}

impl Vector for Nibbles256 {
    of_width!(256);
    by_nibbles!(__m256i, _mm256_broadcastsi128_si256, _mm256_set1_epi8, _mm256_and_si256, _mm256_srli_epi16, _mm256_shuffle_epi8, xor3_256);
}
