//! The loop of all SIMD kernels: a block of columns of up to four outputs is summed in registers over all inputs, then stored once.
#![allow(unsafe_code, reason = "SIMD kernels work on pointers; every block argues its bounds")]
#![allow(clippy::needless_range_loop, reason = "several arrays are walked at once; constant bounds unroll into registers")]

use super::super::matrix::Matrix;

/// Columns of one pass when the outputs need several: all inputs of 10+4 in this many columns fit the first-level cache.
const BLOCK_BYTES: usize = 4 << 10;

/// A vector register, and how it is multiplied in GF(2^8).
pub(super) trait Vector: Copy {
    /// Its width.
    const BYTES: usize;

    /// Whether two products are added at once: where an instruction adds three operands, and registers for two inputs are there.
    const PAIRS: bool = false;

    /// A vector of data prepared for multiplication by several coefficients.
    type Factor: Copy;

    /// A coefficient in the form multiplication wants.
    type Coefficient;

    /// The coefficients of a matrix, input by input.
    fn coefficients(matrix: &Matrix) -> &[Self::Coefficient];

    /// All bits clear.
    ///
    /// # Safety
    /// The processor must have the features of the kernel this vector belongs to.
    unsafe fn zero() -> Self;

    /// Reads `Self::BYTES` bytes at any alignment.
    ///
    /// # Safety
    /// As [`Vector::zero`], and `from` must be valid for reading [`Vector::BYTES`].
    unsafe fn load(from: *const u8) -> Self;

    /// Writes `Self::BYTES` bytes at any alignment.
    ///
    /// # Safety
    /// As [`Vector::zero`], and `to` must be valid for writing [`Vector::BYTES`].
    unsafe fn store(self, to: *mut u8);

    /// Prepares data.
    ///
    /// # Safety
    /// As [`Vector::zero`].
    unsafe fn factor(self) -> Self::Factor;

    /// `self + coefficient * factor`.
    ///
    /// # Safety
    /// As [`Vector::zero`].
    unsafe fn add_product(self, coefficient: &Self::Coefficient, factor: Self::Factor) -> Self;

    /// `self + coefficients[0] * factors[0] + coefficients[1] * factors[1]`; not used unless [`Vector::PAIRS`].
    ///
    /// # Safety
    /// As [`Vector::zero`].
    #[inline(always)]
    unsafe fn add_products(self, coefficients: [&Self::Coefficient; 2], factors: [Self::Factor; 2]) -> Self {
        // SAFETY: the caller's promise is that of both calls.
        unsafe { self.add_product(coefficients[0], factors[0]).add_product(coefficients[1], factors[1]) }
    }

    /// The bits set in either.
    ///
    /// # Safety
    /// As [`Vector::zero`].
    unsafe fn or(self, other: Self) -> Self;

    /// Whether no bit is set.
    ///
    /// # Safety
    /// As [`Vector::zero`].
    unsafe fn is_zero(self) -> bool;
}

/// What a kernel works on: a matrix, as many slices as it has inputs, and as many pointers as it has outputs.
pub(super) struct Job<'a> {
    pub(super) matrix: &'a Matrix,
    pub(super) inputs: &'a [&'a [u8]],
    pub(super) outputs: &'a [*mut u8],
    /// Length of all slices.
    pub(super) len: usize,
}

/// Multiplies (`CHECK` false: outputs are overwritten) or compares (`CHECK` true: outputs are only read, and the answer is whether they are right).
///
/// # Safety
/// The processor must have the features of `V`. `job.len` must be at least `V::BYTES`; `job.inputs` and `job.outputs` must be as many as the matrix says,
/// each input `job.len` bytes long, each output for reading and, unless `CHECK`, for writing them; outputs must not overlap anything else.
#[inline(always)]
pub(super) unsafe fn run<V: Vector, const CHECK: bool>(job: &Job<'_>) -> bool {
    let rows = job.matrix.outputs;
    // Up to four rows are done in one pass anyway.
    let block = if rows <= 4 { job.len } else { BLOCK_BYTES };
    let mut from = 0;
    while from < job.len {
        let to = job.len.min(from + block);
        for row in (0..rows).step_by(4) {
            // SAFETY: the caller's promises; `from < to <= len`, and `row` with as many rows as the arm names lies within the matrix. Wider
            // blocks for few rows keep the multipliers busy; four rows of two vectors are what 16 registers hold.
            let right = unsafe {
                match rows - row {
                    1 if V::BYTES == 64 => columns::<V, 1, 8, CHECK>(job, row, from, to),
                    1 => columns::<V, 1, 4, CHECK>(job, row, from, to),
                    2 => columns::<V, 2, 4, CHECK>(job, row, from, to),
                    3 => columns::<V, 3, 2, CHECK>(job, row, from, to),
                    _ => columns::<V, 4, 2, CHECK>(job, row, from, to),
                }
            };
            if CHECK && !right {
                return false;
            }
        }
        from = to;
    }
    true
}

/// The columns `from..to` of `R` outputs, `U` vectors at a time.
///
/// # Safety
/// Those of [`run`]; `to <= job.len`, and `row + R` must not exceed the outputs.
#[inline(always)]
unsafe fn columns<V: Vector, const R: usize, const U: usize, const CHECK: bool>(job: &Job<'_>, row: usize, from: usize, to: usize) -> bool {
    let mut at = from;
    // SAFETY: every step reads and writes `at .. at + U * V::BYTES` with `at + U * V::BYTES <= to <= job.len`. The last vectors begin at
    // `to - V::BYTES` at the latest, and `job.len >= V::BYTES` makes that no less than 0 for the only block or any later one.
    unsafe {
        let mut wrong = V::zero();
        while at + U * V::BYTES <= to {
            wrong = wrong.or(step::<V, R, U, CHECK>(job, row, at));
            at += U * V::BYTES;
        }
        while at < to {
            // The last vector may overlap the one before: what it writes there is the same again.
            let last = at.min(to - V::BYTES);
            wrong = wrong.or(step::<V, R, 1, CHECK>(job, row, last));
            at = last + V::BYTES;
        }
        wrong.is_zero()
    }
}

/// `U` vectors of `R` outputs: returns, with `CHECK`, the bits in which they are wrong.
///
/// # Safety
/// Those of [`columns`], and `at + U * V::BYTES <= job.len`.
#[inline(always)]
unsafe fn step<V: Vector, const R: usize, const U: usize, const CHECK: bool>(job: &Job<'_>, row: usize, at: usize) -> V {
    let coefficients = V::coefficients(job.matrix);
    // SAFETY: `at` plus `U` vectors lies within every slice, which the caller promises to be valid; `row + r` is below the number of outputs; and
    // a coefficient's index is below inputs * outputs, the length of the table by construction of `Matrix`.
    unsafe {
        let mut sums = [[V::zero(); U]; R];
        if CHECK {
            for r in 0..R {
                for u in 0..U {
                    sums[r][u] = V::load(job.outputs.get_unchecked(row + r).add(at + u * V::BYTES));
                }
            }
        }
        let (mut next, rows) = (row, job.matrix.outputs);
        let (pairs, single) = if V::PAIRS { job.inputs.as_chunks::<2>() } else { (&[][..], job.inputs) };
        for [one, two] in pairs {
            let (one, two) = (factors::<V, U>(one, at), factors::<V, U>(two, at));
            for r in 0..R {
                let pair = [coefficients.get_unchecked(next + r), coefficients.get_unchecked(next + rows + r)];
                for u in 0..U {
                    sums[r][u] = sums[r][u].add_products(pair, [one[u], two[u]]);
                }
            }
            next += 2 * rows;
        }
        for one in single {
            let one = factors::<V, U>(one, at);
            for r in 0..R {
                let coefficient = coefficients.get_unchecked(next + r);
                for u in 0..U {
                    sums[r][u] = sums[r][u].add_product(coefficient, one[u]);
                }
            }
            next += rows;
        }
        let mut wrong = V::zero();
        for r in 0..R {
            for u in 0..U {
                if CHECK {
                    wrong = wrong.or(sums[r][u]);
                } else {
                    sums[r][u].store(job.outputs.get_unchecked(row + r).add(at + u * V::BYTES));
                }
            }
        }
        wrong
    }
}

/// `U` vectors of an input, from `at` on.
///
/// # Safety
/// The processor must have the features of `V`, and `at + U * V::BYTES` must not exceed the input.
#[inline(always)]
unsafe fn factors<V: Vector, const U: usize>(input: &[u8], at: usize) -> [V::Factor; U] {
    debug_assert!(at + U * V::BYTES <= input.len(), "a step stays within its slices");
    // SAFETY: the caller promises that the vectors lie within the input.
    unsafe {
        let mut factors = [V::zero().factor(); U];
        for (u, factor) in factors.iter_mut().enumerate() {
            *factor = V::load(input.as_ptr().add(at + u * V::BYTES)).factor();
        }
        factors
    }
}

/// Calls `kernel` with the pointers of the slices.
pub(super) fn with_outputs(matrix: &Matrix, inputs: &[&[u8]], outputs: &mut [&mut [u8]], kernel: impl FnOnce(&Job<'_>)) {
    let len = inputs.first().map_or(0, |input| input.len());
    let outputs: Vec<*mut u8> = outputs.iter_mut().map(|output| output.as_mut_ptr()).collect();
    kernel(&Job { matrix, inputs, outputs: &outputs, len });
}

/// Calls `kernel` with the pointers of the slices; it must only read the outputs.
pub(super) fn with_expected(matrix: &Matrix, inputs: &[&[u8]], outputs: &[&[u8]], kernel: impl FnOnce(&Job<'_>) -> bool) -> bool {
    let len = inputs.first().map_or(0, |input| input.len());
    let outputs: Vec<*mut u8> = outputs.iter().map(|output| output.as_ptr().cast_mut()).collect();
    kernel(&Job { matrix, inputs, outputs: &outputs, len })
}
