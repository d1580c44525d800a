//! The vectors of 64-bit ARM.
#![allow(unsafe_code, reason = "intrinsics; every aarch64 processor that runs this has NEON, which is checked")]

use std::arch::aarch64::*;

use super::super::matrix::Matrix;
use super::vector::{Job, Vector, run, with_expected, with_outputs};

/// [`super::Kernel::multiply`] for slices of one length, at least a vector.
pub(super) fn multiply(matrix: &Matrix, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
    with_outputs(matrix, inputs, outputs, |job| {
        enter::<false>(job);
    });
}

/// [`super::Kernel::matches`] for slices of one length, at least a vector.
pub(super) fn matches(matrix: &Matrix, inputs: &[&[u8]], outputs: &[&[u8]]) -> bool {
    with_expected(matrix, inputs, outputs, enter::<true>)
}

fn enter<const CHECK: bool>(job: &Job<'_>) -> bool {
    assert!(std::arch::is_aarch64_feature_detected!("neon"), "a coder takes only kernels this machine has");
    // SAFETY: the processor has NEON, as just checked. The job is made from slices of one length, of at least one vector, as many as the matrix
    // says; `outputs` are mutable slices unless CHECK, so they overlap nothing.
    unsafe { neon::<CHECK>(job) }
}

/// # Safety
/// The processor must have NEON; otherwise as [`run`].
#[target_feature(enable = "neon")]
unsafe fn neon<const CHECK: bool>(job: &Job<'_>) -> bool {
    // SAFETY: the caller's promise is that of `run`, and NEON is enabled here.
    unsafe { run::<Nibbles128, CHECK>(job) }
}

/// 16 bytes, multiplied by looking up their nibbles.
#[derive(Clone, Copy)]
struct Nibbles128(uint8x16_t);

impl Vector for Nibbles128 {
    const BYTES: usize = 16;
    /// Low nibbles and high nibbles.
    type Factor = (uint8x16_t, uint8x16_t);
    type Coefficient = [u8; 32];

    fn coefficients(matrix: &Matrix) -> &[[u8; 32]] {
        &matrix.nibbles
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller has checked for NEON.
        Self(unsafe { vdupq_n_u8(0) })
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: the caller promises 16 readable bytes; the load takes any alignment.
        Self(unsafe { vld1q_u8(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the caller promises 16 writable bytes; the store takes any alignment.
        unsafe { vst1q_u8(to, self.0) }
    }

    #[inline(always)]
    unsafe fn factor(self) -> Self::Factor {
        // SAFETY: the caller has checked for NEON.
        unsafe { (vandq_u8(self.0, vdupq_n_u8(15)), vshrq_n_u8::<4>(self.0)) }
    }

    #[inline(always)]
    unsafe fn add_product(self, coefficient: &[u8; 32], (low, high): Self::Factor) -> Self {
        // SAFETY: the caller has checked for NEON; the loads read the two halves of the coefficient's 32 bytes.
        unsafe {
            let of_low = vqtbl1q_u8(vld1q_u8(coefficient.as_ptr()), low);
            let of_high = vqtbl1q_u8(vld1q_u8(coefficient.as_ptr().add(16)), high);
            Self(veorq_u8(self.0, veorq_u8(of_low, of_high)))
        }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: the caller has checked for NEON.
        Self(unsafe { vorrq_u8(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn is_zero(self) -> bool {
        // SAFETY: the caller has checked for NEON.
        unsafe { vmaxvq_u8(self.0) == 0 }
    }
}
