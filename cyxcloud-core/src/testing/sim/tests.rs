use super::*;

fn passes(seed: u64) -> Report {
    let report = run(seed, None);
    if let Some(failure) = &report.failure {
        panic!("{failure}");
    }
    report
}

#[test]
fn seeds_pass_and_repeat_exactly() {
    for seed in 0..40 {
        let (first, second) = (passes(seed), passes(seed));
        assert_eq!((first.hash, first.coverage.events), (second.hash, second.coverage.events), "seed {seed}");
    }
}

#[test]
fn seeds_that_once_failed_pass() {
    for (seed, found) in regressions::SEEDS {
        println!("seed {seed}: {found}");
        passes(*seed);
    }
}

/// The planted bug is found by one of the checkers that are there for it, within the seeds it may take.
fn finds(sabotage: Sabotage) {
    for seed in 0..sabotage.seeds() {
        if let Some(failure) = run(seed, Some(sabotage)).failure {
            println!("{sabotage} was found at seed {seed} by {:?}", failure.checker);
            assert!(sabotage.caught_by().contains(&failure.checker), "{failure}");
            return;
        }
    }
    panic!("{sabotage} was not found within {} seeds", sabotage.seeds());
}

macro_rules! planted {
    ($($name:ident $sabotage:ident;)*) => {$(
        #[test]
        fn $name() {
            finds(Sabotage::$sabotage);
        }
    )*};
}

planted! {
    a_disk_that_acknowledges_before_it_syncs_is_found AckBeforeSync;
    repair_over_a_newer_record_is_found RepairOverwrites;
    deletes_without_a_fence_are_found NoFence;
    a_quorum_that_claims_more_than_it_has_is_found QuorumTwelve;
    ignored_preconditions_are_found NoCompareAndSet;
    a_delete_that_never_arrives_is_found LostDelete;
    repair_that_does_not_read_back_is_found NoReadBack;
    readers_who_do_not_check_shards_are_found NoShardChecksum;
    a_quota_that_is_not_kept_is_found LooseQuota;
    a_collector_that_does_not_ask_is_found HastyCollector;
}
