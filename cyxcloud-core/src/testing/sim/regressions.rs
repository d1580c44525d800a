//! Seeds that once found something. They are played with every test run. A seed means what [`super::Plan::draw`] makes of it: whoever changes
//! that finds the seeds anew (`docs/decisions/0006-what-the-simulator-found.md` says what they found).

/// A seed and what it found.
pub const SEEDS: &[(u64, &str)] = &[
    (5_025, "scans that queued the same healthy chunks for ever"),
    (5_028, "the same, with hosts of unequal size"),
    (5_062, "the same, while disks fill up"),
    (36_776, "a removed node whose shards were not read although it answered"),
    (36_897, "a wipe forgotten when another writer stored the same shard under a lower epoch"),
];
