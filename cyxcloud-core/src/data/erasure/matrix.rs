//! The coefficients: which linear combination of which shards gives which shard.

use super::Scheme;
use super::field::{affine, divide, multiply, nibbles};

/// A matrix over GF(2^8) that makes `outputs` shards out of `inputs` shards, in the forms the kernels read.
///
/// Coefficients lie input by input (`input * outputs + output`), the order in which a kernel meets them.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Plain elements.
    pub(super) elements: Vec<u8>,
    /// [`affine`] of each.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only x86-64 multiplies by bit matrices"))]
    pub(super) affine: Vec<u64>,
    /// [`nibbles`] of each.
    pub(super) nibbles: Vec<[u8; 32]>,
}

impl Matrix {
    /// A matrix from its elements, `at(output, input)`.
    pub(super) fn new(outputs: usize, inputs: usize, at: impl Fn(usize, usize) -> u8) -> Self {
        let elements: Vec<u8> =
            (0..inputs).flat_map(|input| (0..outputs).map(move |output| (output, input))).map(|(o, i)| at(o, i)).collect();
        let affine = elements.iter().map(|a| affine(*a)).collect();
        let nibbles = elements.iter().map(|a| nibbles(*a)).collect();
        Self { inputs, outputs, elements, affine, nibbles }
    }

    /// The coefficient of `input` in `output`.
    pub(super) fn at(&self, output: usize, input: usize) -> u8 {
        self.elements[input * self.outputs + output]
    }

    /// Memory it occupies.
    pub(super) fn size_bytes(&self) -> usize {
        self.elements.len() * (1 + size_of::<u64>() + size_of::<[u8; 32]>())
    }
}

/// The parity rows of `scheme`.
///
/// The code is the Vandermonde matrix `V[r][c] = r^c` multiplied by the inverse of its upper `k` rows. That product is interpolation: row `r`
/// takes the values of a polynomial at 0, 1, .. k-1 to its value at `r`, so its elements are the Lagrange coefficients
/// `prod(r - j) / prod(c - j)` over `j != c`, and no matrix need be inverted.
pub(super) fn parity_matrix(scheme: Scheme) -> Matrix {
    let k = scheme.data();
    let difference = |a: usize, b: usize| (a ^ b) as u8;
    let product_without =
        |point: usize, without: usize| (0..k).filter(|j| *j != without).fold(1, |product, j| multiply(product, difference(point, j)));
    let denominators: Vec<u8> = (0..k).map(|column| product_without(column, column)).collect();
    let whole: Vec<u8> = (k..scheme.total()).map(|row| product_without(row, k)).collect();
    Matrix::new(scheme.parity(), k, |row, column| divide(divide(whole[row], difference(k + row, column)), denominators[column]))
}

/// The inverse of a square matrix (rows of one length), by Gauss and Jordan. None when it has none.
pub(super) fn inverse(mut rows: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    let n = rows.len();
    let mut inverse: Vec<Vec<u8>> = (0..n).map(|i| (0..n).map(|j| u8::from(i == j)).collect()).collect();
    for column in 0..n {
        let pivot = (column..n).find(|row| rows[*row][column] != 0)?;
        rows.swap(column, pivot);
        inverse.swap(column, pivot);
        let scale = divide(1, rows[column][column]);
        for side in [&mut rows, &mut inverse] {
            side[column].iter_mut().for_each(|x| *x = multiply(*x, scale));
        }
        let factors: Vec<u8> = (0..n).map(|row| if row == column { 0 } else { rows[row][column] }).collect();
        for side in [&mut rows, &mut inverse] {
            let pivot = side[column].clone();
            for (row, factor) in side.iter_mut().zip(&factors).filter(|(_, factor)| **factor != 0) {
                row.iter_mut().zip(&pivot).for_each(|(x, p)| *x ^= multiply(*p, *factor));
            }
        }
    }
    Some(inverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_parity_row_is_the_one_on_disk() {
        let matrix = parity_matrix(Scheme::DEFAULT);
        let row: Vec<u8> = (0..10).map(|column| matrix.at(0, column)).collect();
        assert_eq!(row, [129, 150, 175, 184, 210, 196, 254, 232, 3, 2]);
    }

    #[test]
    fn an_inverse_times_its_matrix_is_one() {
        let rows: Vec<Vec<u8>> = (0..5u8).map(|r| (0..5u8).map(|c| divide(1, (r + 5) ^ c)).collect()).collect();
        let inverse = inverse(rows.clone()).unwrap();
        for (i, left) in inverse.iter().enumerate() {
            for j in 0..5 {
                let sum = left.iter().zip(&rows).fold(0, |sum, (a, row)| sum ^ multiply(*a, row[j]));
                assert_eq!(sum, u8::from(i == j));
            }
        }
        assert_eq!(super::inverse(vec![vec![1, 2], vec![1, 2]]), None);
    }
}
