//! What a placement survives: proved by trying every combination of lost domains.

use std::collections::BTreeMap;

use crate::data::erasure::Scheme;

/// Above this many combinations the answer becomes a safe lower bound.
const MAX_COMBINATIONS: u64 = 100_000;

/// How many domains may be lost, whichever they are, before fewer than `k` shards are left. `copies` pairs each surviving copy's
/// shard with its domain. None when even now fewer than `k` shards are there.
///
/// Exact for up to 64 domains and 100,000 combinations of losses, otherwise a lower bound that counts a shard as lost with any one of its copies.
///
/// ```
/// use cyxcloud_core::data::{erasure::Scheme, placement::tolerance};
/// let one_each = |n: u8| (0..14).map(|shard| (shard, shard % n)).collect::<Vec<_>>();
/// assert_eq!(tolerance(Scheme::DEFAULT, &one_each(14)), Some(4));
/// assert_eq!(tolerance(Scheme::DEFAULT, &one_each(7)), Some(2));
/// assert_eq!(tolerance(Scheme::DEFAULT, &one_each(3)), Some(0));
/// assert_eq!(tolerance(Scheme::DEFAULT, &one_each(14)[..9]), None);
/// ```
pub fn tolerance<D: Ord + Clone>(scheme: Scheme, copies: &[(u8, D)]) -> Option<usize> {
    let holders = Holders::new(copies);
    let present = holders.shards.len();
    let spare = present.checked_sub(scheme.data())?;
    let survives = |lost: &usize| holders.worst_loss(*lost) <= spare;
    Some((1..holders.domains).take_while(survives).last().unwrap_or(0))
}

/// For each shard that has a copy, the domains that hold one.
pub(super) struct Holders {
    /// Number of distinct domains.
    pub(super) domains: usize,
    /// Domain numbers by shard.
    pub(super) shards: BTreeMap<u8, Vec<usize>>,
}

impl Holders {
    fn new<D: Ord + Clone>(copies: &[(u8, D)]) -> Self {
        let mut names: Vec<D> = copies.iter().map(|(_, d)| d.clone()).collect();
        names.sort();
        names.dedup();
        let mut shards: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
        for (shard, domain) in copies {
            let number = names.binary_search(domain).expect("every domain was collected above");
            let holders = shards.entry(*shard).or_default();
            if !holders.contains(&number) {
                holders.push(number);
            }
        }
        Self { domains: names.len(), shards }
    }

    /// The most shards that losing `lost` domains can take away.
    pub(super) fn worst_loss(&self, lost: usize) -> usize {
        if lost >= self.domains {
            return self.shards.len();
        }
        let single = self.shards.values().all(|holders| holders.len() == 1);
        if single || self.domains > 64 || combinations(self.domains, lost) > MAX_COMBINATIONS {
            return self.heaviest(lost);
        }
        let masks: Vec<u64> = self.shards.values().map(|holders| holders.iter().fold(0, |mask, d| mask | 1 << d)).collect();
        let taken = |gone: u64| masks.iter().filter(|mask| **mask & !gone == 0).count();
        subsets(self.domains, lost).map(taken).max().unwrap_or(0)
    }

    /// Shards in the `lost` fullest domains: exact when each shard has one copy, too high otherwise.
    fn heaviest(&self, lost: usize) -> usize {
        let mut loads = vec![0; self.domains];
        self.shards.values().flatten().for_each(|domain| loads[*domain] += 1);
        loads.sort_unstable_by(|a, b| b.cmp(a));
        loads.iter().take(lost).sum::<usize>().min(self.shards.len())
    }
}

/// `n` over `k`, saturating.
pub(super) fn combinations(n: usize, k: usize) -> u64 {
    (0..k as u64).fold(1, |c: u64, i| c.saturating_mul(n as u64 - i) / (i + 1))
}

/// Every set of `size` among `n` numbers (n <= 64), as bit masks.
pub(super) fn subsets(n: usize, size: usize) -> impl Iterator<Item = u64> {
    let end: u128 = 1 << n;
    let first: u128 = (1 << size) - 1;
    // Gosper's hack: the next number with as many bits set (HAKMEM item 175).
    std::iter::successors((first < end).then_some(first), move |&set| {
        let low = set & set.wrapping_neg();
        if low == 0 {
            return None;
        }
        let ripple = set + low;
        Some(ripple | (((set ^ ripple) >> 2) / low)).filter(|next| *next < end)
    })
    .map(|set| set as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_all_there() {
        for n in 0..10 {
            for size in 0..=n {
                let sets: Vec<u64> = subsets(n, size).collect();
                assert_eq!(sets.len() as u64, combinations(n, size), "{size} of {n}");
                assert!(sets.iter().all(|s| s.count_ones() as usize == size && *s < 1 << n));
            }
        }
        assert_eq!(subsets(64, 1).count(), 64);
    }

    #[test]
    fn extra_copies_count() {
        // 14 shards on 3 nodes as 5/5/4; shard 0 and shard 1 again elsewhere: any one node may go.
        let mut copies: Vec<(u8, u8)> = (0..14).map(|s| (s, s % 3)).collect();
        assert_eq!(tolerance(Scheme::DEFAULT, &copies), Some(0));
        copies.extend([(0, 1), (1, 2)]);
        assert_eq!(tolerance(Scheme::DEFAULT, &copies), Some(1));
    }

    #[test]
    fn the_bound_never_promises_too_much() {
        let copies: Vec<(u8, u32)> = (0..100u32).flat_map(|s| [(s as u8, s), (s as u8, (s + 1) % 100)]).collect();
        let scheme = Scheme::new(90, 10).unwrap();
        // True answer: a run of 12 neighbours takes 11 shards, so 11. The bound counts two shards per domain: 5.
        assert_eq!(tolerance(scheme, &copies), Some(5));
    }
}
