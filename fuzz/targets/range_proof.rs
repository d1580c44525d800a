//! Proofs of ranges, damaged and invented: whatever is accepted is what the root commits to.
#![no_main]

use cyxcloud_core::data::erasure::Scheme;
use cyxcloud_core::data::shard::{ByteRange, Frame, HEADER_BYTES, encode_range, group_range, verify_range};
use cyxcloud_core::id::{ChunkId, ShardKey, ShardRoot};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Case<'a> {
    payload_bytes: u32,
    range: (u64, u64),
    /// Where the true proof is damaged, and by what.
    damage: Vec<(u16, u8)>,
    cut_to: Option<u32>,
    /// An invented length, root and proof.
    claimed_bytes: u64,
    root: [u8; 32],
    proof: &'a [u8],
}

fuzz_target!(|case: Case<'_>| {
    let payload: Vec<u8> = (0..case.payload_bytes % 150_000).map(|i| ((i * 31) >> 3) as u8).collect();
    let len = payload.len() as u64;
    let (a, b) = (case.range.0 % (len + 1), case.range.1 % (len + 1));
    let range = ByteRange { start: a.min(b), end: a.max(b) };

    let key = ShardKey { chunk: ChunkId([9; 32]), index: 0 };
    let frame = Frame::new(key, Scheme::DEFAULT, payload.clone().into()).expect("index 0 is one of the scheme");
    let (root, whole) = (frame.header().root, frame.to_bytes());
    let groups = group_range(len, range);
    let window = &payload[groups.start as usize..groups.end as usize];
    let mut proof =
        encode_range(frame.header(), groups, window, &whole[HEADER_BYTES + payload.len()..]).expect("the frame is whole").to_vec();
    let true_proof = proof.clone();
    for (at, bits) in &case.damage {
        if let Some(byte) = proof.get_mut(usize::from(*at)) {
            *byte ^= bits;
        }
    }
    proof.truncate(case.cut_to.map_or(usize::MAX, |len| len as usize));
    match verify_range(root, len, range, &proof) {
        Ok(bytes) => assert_eq!(bytes, payload[range.start as usize..range.end as usize]),
        Err(_) => assert_ne!(proof, true_proof, "a true proof was refused"),
    }

    // Nothing of this can be right, ranges the wrong way round and beyond the end included; it must not panic either.
    let range = ByteRange { start: case.range.0, end: case.range.1 };
    let claimed = case.claimed_bytes % (1 << 24);
    let _ = verify_range(ShardRoot(case.root), claimed, range, case.proof);
    let _ = verify_range(root, claimed, range, &true_proof);
});
