//! Nodes as numbers: a chunk's health takes 14 look-ups, and a scan looks at every chunk.

use crate::id::NodeId;

/// Finds a node's number, its place among all ids in order. Ids are hashes of keys as a rule, so their first bits say nearly where; among
/// ids that somebody chose to begin alike, the search is an ordinary binary one.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    ids: Vec<NodeId>,
    /// For each value of the first bits, the first number with it or a greater one; one more at the end.
    starts: Vec<u32>,
    bits: u32,
}

impl Numbers {
    /// `ids` in order, each once.
    pub(super) fn new(ids: Vec<NodeId>) -> Self {
        let bits = (ids.len() + 1).ilog2() + 1;
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        for (number, id) in (0..).zip(&ids) {
            starts.resize(starts.len().max(first(*id, bits) + 1), number);
        }
        starts.resize((1 << bits) + 1, ids.len() as u32);
        Self { ids, starts, bits }
    }

    /// The number of `id`, if it is known.
    pub(crate) fn get(&self, id: NodeId) -> Option<usize> {
        let value = first(id, self.bits);
        let (start, end) = (self.starts[value] as usize, self.starts[value + 1] as usize);
        self.ids[start..end].binary_search(&id).ok().map(|place| start + place)
    }

    /// How many nodes are known.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

/// The first `bits` of an id.
fn first(id: NodeId, bits: u32) -> usize {
    (u128::from_be_bytes(id.0) >> (u128::BITS - bits)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SplitMix64;

    #[test]
    fn every_id_is_found_and_no_other() {
        let mut random = SplitMix64(3);
        for count in [0, 1, 2, 3, 15, 16, 17, 1000] {
            for alike in [0, 4, 15] {
                let id = |random: &mut SplitMix64| {
                    let mut id = NodeId(random.bytes(16).try_into().unwrap());
                    id.0[..alike].fill(0xff);
                    id
                };
                let mut ids: Vec<NodeId> = (0..count).map(|_| id(&mut random)).collect();
                ids.sort_unstable();
                ids.dedup();
                let numbers = Numbers::new(ids.clone());
                assert_eq!(numbers.len(), ids.len());
                assert!(ids.iter().enumerate().all(|(number, id)| numbers.get(*id) == Some(number)));
                let strangers = (0..200).map(|_| id(&mut random)).chain([NodeId([0; 16]), NodeId([0xff; 16])]);
                strangers.for_each(|id| assert_eq!(numbers.get(id), ids.binary_search(&id).ok()));
            }
        }
    }
}
