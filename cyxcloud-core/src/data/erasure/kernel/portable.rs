//! The specification of the kernels, and the kernel where there is no better: safe Rust, a table look-up for each byte.

use super::super::field::products;
use super::super::matrix::Matrix;

/// Columns done at a time, so that outputs stay in the first-level cache while the inputs pass.
const BLOCK_BYTES: usize = 4 << 10;

/// Overwrites `outputs` with `matrix` times `inputs`.
pub(super) fn multiply(matrix: &Matrix, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
    let len = inputs.first().map_or(0, |input| input.len());
    for start in (0..len).step_by(BLOCK_BYTES) {
        let columns = start..len.min(start + BLOCK_BYTES);
        for (row, output) in outputs.iter_mut().enumerate() {
            combine(matrix, row, inputs, columns.clone(), &mut output[columns.clone()]);
        }
    }
}

/// Whether `outputs` are `matrix` times `inputs`.
pub(super) fn matches(matrix: &Matrix, inputs: &[&[u8]], outputs: &[&[u8]]) -> bool {
    let len = inputs.first().map_or(0, |input| input.len());
    let mut expected = [0; BLOCK_BYTES];
    (0..len).step_by(BLOCK_BYTES).all(|start| {
        let columns = start..len.min(start + BLOCK_BYTES);
        outputs.iter().enumerate().all(|(row, output)| {
            let expected = &mut expected[..columns.len()];
            combine(matrix, row, inputs, columns.clone(), expected);
            *expected == output[columns.clone()]
        })
    })
}

fn combine(matrix: &Matrix, row: usize, inputs: &[&[u8]], columns: std::ops::Range<usize>, output: &mut [u8]) {
    output.fill(0);
    for (at, input) in inputs.iter().enumerate() {
        let table = products(matrix.at(row, at));
        let (sums, last_sums) = output.as_chunks_mut::<8>();
        let (words, last_words) = input[columns.clone()].as_chunks::<8>();
        for (sum, word) in sums.iter_mut().zip(words) {
            // Eight look-ups, then one addition: shorter chains than byte by byte.
            let products = word.map(|byte| table[usize::from(byte)]);
            *sum = (u64::from_ne_bytes(*sum) ^ u64::from_ne_bytes(products)).to_ne_bytes();
        }
        last_sums.iter_mut().zip(last_words).for_each(|(sum, byte)| *sum ^= table[usize::from(*byte)]);
    }
}
