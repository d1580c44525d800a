//! Root and tree of a payload in one pass, group by group.

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use bytes::Bytes;

use super::GROUP_BYTES;
use crate::id::ShardRoot;

/// What is known of a payload after hashing it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// BLAKE3 of the payload.
    pub root: ShardRoot,
    /// The inner nodes of its tree above groups of [`GROUP_BYTES`], in pre-order, 64 bytes each: a bao outboard.
    pub tree: Bytes,
}

impl Hashed {
    /// Hashes `payload`.
    pub fn new(payload: &[u8]) -> Self {
        let mut hasher = GroupHasher::new(payload.len() as u64);
        payload.chunks(GROUP_BYTES as usize).for_each(|group| hasher.push(group));
        hasher.finish()
    }
}

/// Hashes a payload of known length while its groups are made.
///
/// Each group is a subtree of BLAKE3 (section 2.4 of its paper: 16 chunks of 1 KiB), so its chaining value is the same here as inside `blake3::hash`.
#[derive(Debug)]
pub(in crate::data) struct GroupHasher {
    payload_bytes: u64,
    at: u64,
    groups: Vec<[u8; 32]>,
    /// The root where one group is all there is: it is finished differently.
    whole: Option<blake3::Hash>,
}

impl GroupHasher {
    /// For a payload of `payload_bytes`.
    pub(in crate::data) fn new(payload_bytes: u64) -> Self {
        let groups = Vec::with_capacity(payload_bytes.div_ceil(GROUP_BYTES) as usize);
        Self { payload_bytes, at: 0, groups, whole: None }
    }

    /// The next group: [`GROUP_BYTES`] bytes, fewer only at the end of the payload.
    pub(in crate::data) fn push(&mut self, group: &[u8]) {
        let due = GROUP_BYTES.min(self.payload_bytes - self.at);
        assert!(group.len() as u64 == due, "a group of {} bytes came where {due} are due", group.len());
        if self.payload_bytes <= GROUP_BYTES {
            self.whole = Some(blake3::hash(group));
        } else {
            let mut hasher = blake3::Hasher::new();
            hasher.set_input_offset(self.at);
            self.groups.push(hasher.update(group).finalize_non_root());
        }
        self.at += due;
    }

    /// Root and tree, once every group was pushed.
    pub(in crate::data) fn finish(self) -> Hashed {
        assert!(self.at == self.payload_bytes, "{} of {} bytes were hashed", self.at, self.payload_bytes);
        let mut tree = Vec::with_capacity(self.groups.len().saturating_sub(1) * 64);
        let root = match self.whole {
            Some(whole) => whole,
            None if self.groups.is_empty() => blake3::hash(&[]),
            None => {
                let [left, right] = push_pair(&self.groups, &mut tree);
                merge_subtrees_root(&left, &right, Mode::Hash)
            }
        };
        Hashed { root: ShardRoot(*root.as_bytes()), tree: tree.into() }
    }
}

/// Appends the tree above at least two groups and returns the pair at its top. The left side is the largest full tree that leaves something to the right.
fn push_pair(groups: &[[u8; 32]], tree: &mut Vec<u8>) -> [[u8; 32]; 2] {
    let (left, right) = groups.split_at(groups.len().next_power_of_two() / 2);
    let at = tree.len();
    tree.resize(at + 64, 0);
    let pair = [left, right].map(|side| match side {
        [group] => *group,
        _ => {
            let [left, right] = push_pair(side, tree);
            merge_subtrees_non_root(&left, &right, Mode::Hash)
        }
    });
    tree[at..at + 64].copy_from_slice(pair.as_flattened());
    pair
}

#[cfg(test)]
mod tests {
    use super::super::GROUP;
    use super::*;
    use bao_tree::io::outboard::PreOrderMemOutboard;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn root_and_tree_are_those_of_bao(len in prop_oneof![0usize..40_000, 0usize..600_000], seed: u64) {
            let payload = crate::testing::SplitMix64(seed).bytes(len);
            let hashed = Hashed::new(&payload);
            let bao = PreOrderMemOutboard::create(&payload, GROUP);
            prop_assert_eq!(hashed.root.0, *bao.root.as_bytes());
            prop_assert_eq!(hashed.root.0, *blake3::hash(&payload).as_bytes());
            prop_assert_eq!(&hashed.tree[..], &bao.data[..]);
        }
    }

    #[test]
    fn every_number_of_groups_has_its_tree() {
        for len in (0..40).flat_map(|groups| [groups * GROUP_BYTES as usize, groups * GROUP_BYTES as usize + 1]) {
            let payload = vec![5; len];
            assert_eq!(Hashed::new(&payload).tree[..], PreOrderMemOutboard::create(&payload, GROUP).data[..], "{len} bytes");
        }
    }
}
