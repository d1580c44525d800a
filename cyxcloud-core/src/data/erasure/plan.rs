//! How to make lost shards out of those that are there, worked out once for each pattern of losses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Scheme;
use super::field::multiply;
use super::matrix::{Matrix, inverse};
use crate::{Error, Result};

/// Memory the plans of one coder may occupy: all of 10+4 twice over, or some dozen of the widest schemes.
const MAX_CACHED_BYTES: usize = 8 << 20;

/// Which of up to 256 shards.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Set([u64; 4]);

impl Set {
    fn of(indexes: impl IntoIterator<Item = usize>) -> Self {
        let mut set = Self::default();
        indexes.into_iter().for_each(|index| set.0[index / 64] |= 1 << (index % 64));
        set
    }
}

/// Makes shards out of `k` others.
#[derive(Debug)]
pub(super) struct Plan {
    /// Indexes of the shards it reads, ascending.
    pub(super) inputs: Vec<usize>,
    /// What it does with them, one row for each shard that is wanted, in ascending order.
    pub(super) matrix: Matrix,
}

impl Plan {
    /// A plan for the shards `wanted` (ascending) from the first `k` of `present` (ascending): all data there is, filled up with parity.
    ///
    /// With `e` data shards missing, `e` parity shards are read, and only the `e x e` part of the parity rows that belongs to the missing ones is inverted.
    fn new(scheme: Scheme, parity: &Matrix, present: &[usize], wanted: &[usize]) -> Result<Self> {
        let k = scheme.data();
        if present.len() < k {
            return Err(Error::invalid(format!("{} shards are not enough: {scheme} needs {k} to make others", present.len())));
        }
        let inputs = present[..k].to_vec();
        let missing: Vec<usize> = (0..k).filter(|index| !inputs.contains(index)).collect();
        let rows: Vec<usize> = inputs.iter().filter(|index| **index >= k).map(|index| index - k).collect();
        let square = rows.iter().map(|row| missing.iter().map(|column| parity.at(*row, *column)).collect()).collect();
        let solved = inverse(square).ok_or_else(|| Error::internal(format!("the code {scheme} has a singular part")))?;
        // missing[i] = sum over the parity read of solved[i][j] * (parity j - its share of the data that is there)
        let of_missing = |i: usize, input: usize| {
            if input >= k {
                return rows.iter().position(|row| row + k == input).map_or(0, |j| solved[i][j]);
            }
            rows.iter().enumerate().fold(0, |sum, (j, row)| sum ^ multiply(solved[i][j], parity.at(*row, input)))
        };
        let restored: Vec<Vec<u8>> = (0..missing.len()).map(|i| inputs.iter().map(|input| of_missing(i, *input)).collect()).collect();
        let element = |output: usize, at: usize| {
            let (shard, input) = (wanted[output], inputs[at]);
            if let Some(i) = missing.iter().position(|index| *index == shard) {
                return restored[i][at];
            }
            if shard == input || shard < k {
                return u8::from(shard == input);
            }
            let direct = if input < k { parity.at(shard - k, input) } else { 0 };
            missing.iter().enumerate().fold(direct, |sum, (i, column)| sum ^ multiply(parity.at(shard - k, *column), restored[i][at]))
        };
        let matrix = Matrix::new(wanted.len(), k, element);
        Ok(Self { inputs, matrix })
    }
}

/// The plans made so far.
#[derive(Default)]
pub(super) struct Plans {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    plans: BTreeMap<(Set, Set), Arc<Plan>>,
    size_bytes: usize,
}

impl Plans {
    /// The plan for `wanted` from `present`, both ascending.
    pub(super) fn get(&self, scheme: Scheme, parity: &Matrix, present: &[usize], wanted: &[usize]) -> Result<Arc<Plan>> {
        let read = present.iter().copied().take(scheme.data());
        let pattern = (Set::of(read), Set::of(wanted.iter().copied()));
        if let Some(plan) = self.known().plans.get(&pattern) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(Plan::new(scheme, parity, present, wanted)?);
        let mut known = self.known();
        let size_bytes = plan.matrix.size_bytes();
        if known.size_bytes + size_bytes > MAX_CACHED_BYTES {
            // Patterns come from lost nodes, so they are few; whoever has more than fit begins anew.
            *known = Known::default();
        }
        if known.plans.insert(pattern, plan.clone()).is_none() {
            known.size_bytes += size_bytes;
        }
        Ok(plan)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Plans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} plans", self.known().plans.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::matrix::parity_matrix;
    use super::*;

    #[test]
    fn plans_are_kept_and_bounded() {
        let scheme = Scheme::new(100, 50).unwrap();
        let parity = parity_matrix(scheme);
        let plans = Plans::default();
        let present: Vec<usize> = (50..150).collect();
        let wanted: Vec<usize> = (0..50).collect();
        let first = plans.get(scheme, &parity, &present, &wanted).unwrap();
        assert!(Arc::ptr_eq(&first, &plans.get(scheme, &parity, &present, &wanted).unwrap()));
        for skipped in 50..150 {
            let present: Vec<usize> = (49..150).filter(|index| *index != skipped).collect();
            plans.get(scheme, &parity, &present, &wanted[..49]).unwrap();
            assert!(plans.known().size_bytes <= MAX_CACHED_BYTES);
        }
    }
}
