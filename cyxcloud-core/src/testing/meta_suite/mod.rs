//! The conformance suite of [`Meta`]: every rule of the trait as a case. [`crate::meta_conformance`] makes each case a test.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::data::chunk::chunk_id;
use crate::data::erasure::Scheme;
use crate::data::manifest::{ChunkRecord, ChunkRef, Content, Copy, Manifest};
use crate::id::{AccountId, BucketId, BucketName, ChunkId, NodeId, ObjectKey, ShardRoot, UploadId, VersionId};
use crate::port::{
    Bucket, BucketSettings, CommitObject, CommitPart, CompleteUpload, CopyObject, Environment, Fate, Meta, Metadata, NewVersion, Object,
    Part, PartChoice, Precondition, Upload,
};
use crate::testing::VirtualTime;
use crate::{ErrorKind, Result, Timestamp};

pub mod buckets;
pub mod chunks;
pub mod copies;
pub mod jobs;
pub mod keys;
pub mod leases;
pub mod listing;
pub mod multipart;
pub mod notes;
pub mod objects;
pub mod quota;
pub mod references;
pub mod renames;
pub mod restores;
pub mod trash;
pub mod usage;

/// Makes every case of the suite a `#[test]`.
///
/// The argument is the path of a function that runs one case against a fresh, empty store:
/// `fn run<F: Future<Output = ()>>(case: impl FnOnce(Fixture) -> F)`.
#[macro_export]
macro_rules! meta_conformance {
    ($run:path) => {
        $crate::meta_conformance! { @cases $run;
            buckets:
                a_created_bucket_is_found, a_taken_name_is_refused, an_unknown_bucket_is_not_found, buckets_are_listed_by_owner_and_name,
                only_an_empty_bucket_is_deleted, a_bucket_keeps_its_settings, bucket_settings_are_changed,
                impossible_settings_are_refused, a_name_made_again_is_another_bucket, deleting_a_bucket_aborts_its_uploads;
            leases:
                epochs_only_grow, a_lease_lives_until_it_expires, a_lease_is_renewed, a_lease_may_live_forever, an_ended_lease_is_gone,
                the_fence_is_the_lowest_live_epoch_or_the_next, a_fence_drops_what_is_expired, all_leases_are_dropped,
                the_clock_of_the_store_decides, a_commit_ends_its_lease, a_refused_commit_leaves_the_lease,
                a_dead_lease_changes_nothing;
            objects:
                an_object_reads_back, an_object_of_no_bytes_reads_back, an_unknown_object_is_not_found, an_overwrite_replaces,
                buckets_do_not_mix, every_precondition_on_commit, every_precondition_on_delete, every_precondition_on_copy,
                a_deleted_object_is_gone, one_of_many_absent_commits_wins, a_copy_shares_the_bytes, a_copy_onto_itself_changes_metadata,
                a_copy_needs_its_source_and_target, wrong_chunk_lists_are_refused, a_long_manifest_reads_back,
                an_object_is_not_sent_to_who_knows_it;
            references:
                an_overwrite_releases_old_chunks, a_delete_releases_chunks, a_chunk_named_twice_counts_twice, objects_share_chunks,
                equal_content_over_itself_stays, parts_and_objects_share_chunks, copies_share_chunks, a_part_is_replaced,
                completion_keeps_what_it_takes, completion_over_an_object_releases_it, an_aborted_upload_releases_its_parts;
            renames:
                a_rename_moves_the_object, a_rename_takes_the_references_along, a_rename_over_an_object_releases_it,
                a_rename_onto_itself_loses_nothing, a_rename_needs_its_source_and_target, every_precondition_on_rename,
                a_rename_stays_with_the_owner, a_refused_rename_changes_nothing, usage_follows_renames, a_rename_needs_no_quota,
                crossed_renames_lose_nothing, one_of_many_renames_wins;
            listing:
                a_scan_is_in_byte_order, a_scan_starts_where_told, a_scan_keeps_to_its_prefix, wildcards_are_plain_text,
                prefixes_at_the_edge_of_their_characters, a_scan_is_limited, a_scan_shows_whole_heads, a_scan_pages_through_everything;
            multipart:
                an_upload_is_found, an_upload_needs_its_bucket, uploads_are_listed_by_key_and_id, uploads_are_listed_by_prefix,
                parts_are_listed_by_number, part_numbers_and_sizes_are_checked, a_part_needs_lease_and_upload, parts_become_an_object,
                completion_checks_the_request, completion_checks_the_parts, completion_checks_the_condition, a_gone_upload_is_gone,
                completion_races_have_one_winner;
            chunks:
                chunks_are_answered_in_order, referenced_chunks_are_scanned_by_id, the_newest_copies_replace,
                a_record_that_lacks_shards_joins_what_is_there,
                dead_chunks_wait_for_their_grace, a_claimed_chunk_is_finished, a_claim_takes_the_fence, a_commit_revives_a_dead_chunk,
                a_commit_revives_a_claimed_chunk, a_revived_chunk_waits_again, a_chunk_claimed_again_has_another_fence,
                claims_are_limited_and_paged, a_dead_chunk_is_not_referenced_without_its_record;
            keys:
                an_access_key_is_found_and_replaced, access_keys_are_listed_by_id, nodes_are_listed_by_name_and_replaced,
                a_node_name_is_unique, a_node_status_is_compared_and_set, node_statuses_are_listed_by_id;
            usage:
                usage_needs_its_bucket, usage_follows_objects, usage_follows_copies, usage_follows_parts, usage_follows_the_trash,
                a_refused_call_leaves_usage, writers_at_once_are_counted_exactly;
            quota:
                an_account_s_usage_is_that_of_its_buckets, a_commit_keeps_to_the_quota, a_part_keeps_to_the_quota, a_copy_keeps_to_the_quota,
                what_adds_nothing_needs_no_quota, a_quota_below_what_is_held_refuses_growth, a_reservation_counts_until_its_lease_ends,
                a_reservation_is_replaced, a_reservation_needs_lease_and_bucket, a_reserved_commit_is_not_refused,
                writers_at_once_keep_to_the_quota, reservations_at_once_keep_to_the_quota, bytes_are_metered_over_time,
                a_meter_outlives_its_bucket, a_clock_set_back_takes_nothing_from_the_meter;
            trash:
                a_trashed_object_keeps_its_chunks, a_version_is_in_the_trash_once, only_deleted_objects_are_in_the_trash,
                trash_is_listed_by_key_and_version, trash_is_listed_by_prefix, a_restored_object_reads_back, any_version_is_restored,
                only_what_is_in_the_trash_is_restored, every_precondition_on_restore, a_restore_over_an_object_releases_it,
                trash_is_purged_after_its_window, a_purge_is_limited, deleting_a_bucket_empties_its_trash,
                restore_and_purge_have_one_winner;
            copies:
                copies_are_replaced, a_replacement_leaves_references, a_replacement_leaves_the_lease, a_replacement_needs_a_live_lease,
                a_replacement_needs_the_expected_copies, a_replacement_needs_a_referenced_chunk, a_replacement_names_every_shard,
                one_of_many_replacements_wins, the_chunks_of_a_node_are_found;
            restores:
                a_restore_leaves_out_epochs, a_restore_begins_at_the_lowest_lease, a_restore_forgets_notes, restores_are_listed,
                a_restore_knows_what_was_seen;
            jobs:
                a_job_is_opened_once, jobs_are_claimed_by_priority_and_chunk, a_claim_of_jobs_needs_a_live_lease,
                a_job_is_completed_by_its_holder, a_dead_holder_loses_its_jobs, a_late_finish_counts_until_the_job_is_taken,
                a_failing_job_backs_off_and_ends, a_completed_job_has_no_failure, a_failed_job_is_opened_again,
                a_completed_job_is_opened_again, old_jobs_are_pruned, jobs_are_listed_by_chunk, claims_at_once_share_nothing;
            notes:
                a_note_is_put_once, a_note_is_replaced, a_note_is_taken_once, a_note_is_gone_when_its_time_is_over,
                a_note_may_live_forever, a_note_without_time_is_no_note, values_are_bounded, kinds_do_not_collide,
                of_many_who_note_at_once_one_is_first, of_many_who_take_at_once_one_gets_it, a_counter_counts_and_begins_anew,
                counters_are_no_notes, counts_at_once_are_exact, what_is_over_is_pruned, notes_are_remembered_since;
        }
    };
    (@cases $run:path; $($module:ident: $($case:ident),+;)+) => {
        $(mod $module {
            $(#[test]
            fn $case() {
                $run($crate::testing::meta_suite::$module::$case)
            })+
        })+
    };
}

/// A fresh, empty store and the clock it goes by, which the cases move.
pub struct Fixture {
    meta: Arc<dyn Meta>,
    clock: VirtualTime,
}

impl Fixture {
    /// A store that was made with `clock` as its environment.
    pub fn new(meta: Arc<dyn Meta>, clock: VirtualTime) -> Self {
        Self { meta, clock }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn advance(&self, ms: u64) {
        self.clock.advance(ms);
    }

    fn set_back(&self, ms: u64) {
        self.clock.set_back(ms);
    }
}

impl Deref for Fixture {
    type Target = dyn Meta;

    fn deref(&self) -> &Self::Target {
        &*self.meta
    }
}

/// When things were made as their callers show it, far from what the store's clock says.
const NOW: Timestamp = Timestamp(1_000_000);
/// A life long enough for a case.
const TTL_MS: u64 = 60_000;

/// A number never given before.
fn unique() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

fn unique_id() -> [u8; 16] {
    u128::from(unique()).to_be_bytes()
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) {
    assert_eq!(result.expect_err("must be refused").kind(), kind);
}

fn new_bucket(name: &str) -> Bucket {
    let name = BucketName::new(name).unwrap();
    Bucket { id: BucketId(unique_id()), name, owner: AccountId([1; 16]), created: NOW, settings: BucketSettings::default() }
}

async fn make_bucket(meta: &Fixture, name: &str) -> BucketId {
    let bucket = new_bucket(name);
    meta.create_bucket(bucket.clone()).await.unwrap();
    bucket.id
}

/// A 2+1 chunk of `content`, its shards on three nodes named after `place`.
fn record(content: u8, place: u8) -> ChunkRecord {
    let scheme = Scheme::new(2, 1).unwrap();
    let roots: Vec<_> = (0..3).map(|i| ShardRoot([content ^ i << 6; 32])).collect();
    let copies = (0..3).map(|shard| Copy { shard, node: NodeId([place + shard; 16]) }).collect();
    let size_bytes = 100 + u32::from(content);
    ChunkRecord { id: chunk_id(scheme, size_bytes, &roots), scheme, size_bytes, roots, copies }
}

fn refs(records: &[ChunkRecord]) -> Vec<ChunkRef> {
    records.iter().map(|r| ChunkRef { id: r.id, size_bytes: r.size_bytes }).collect()
}

fn of_chunks(chunks: Vec<ChunkRef>) -> Manifest {
    Manifest { content: Content::Chunks(chunks) }
}

/// A version that nothing stands in the way of, with metadata of its own.
fn version(bucket: BucketId, at: &str) -> NewVersion {
    let id = unique_id();
    let pairs = |name: &str| [(name.to_owned(), format!("{id:?} ü"))].into();
    NewVersion {
        bucket,
        key: key(at),
        version: VersionId(id),
        etag: format!("etag-{}", VersionId(id)),
        modified: NOW,
        metadata: Metadata { headers: pairs("content-type"), user: pairs("colour"), system: pairs("crc32") },
        precondition: Precondition::None,
    }
}

/// A commit of `chunks` under a fresh lease; `records` are all brought along.
async fn commit_of(meta: &Fixture, object: NewVersion, chunks: &[ChunkRecord]) -> CommitObject {
    let epoch = meta.begin_lease(TTL_MS).await.unwrap().epoch;
    let distinct: BTreeSet<_> = chunks.iter().map(|r| r.id).collect();
    let records = distinct.iter().map(|id| chunks.iter().find(|r| r.id == *id).unwrap().clone()).collect();
    CommitObject { epoch, object, manifest: of_chunks(refs(chunks)), chunks: records }
}

async fn put(meta: &Fixture, bucket: BucketId, at: &str, chunks: &[ChunkRecord]) -> Object {
    meta.commit_object(commit_of(meta, version(bucket, at), chunks).await).await.unwrap()
}

/// Puts an object whose bytes stand in the metadata.
async fn put_inline(meta: &Fixture, bucket: BucketId, at: &str) -> Object {
    let commit = commit_of(meta, version(bucket, at), &[]).await;
    let manifest = Manifest { content: Content::Inline(at.as_bytes().to_vec()) };
    meta.commit_object(CommitObject { manifest, ..commit }).await.unwrap()
}

async fn delete(meta: &Fixture, bucket: BucketId, at: &str, fate: Fate) -> bool {
    meta.delete_object(bucket, &key(at), Precondition::None, fate).await.unwrap()
}

async fn copy(meta: &Fixture, source: (BucketId, &Object), to: BucketId, at: &str) -> Result<Object> {
    let (source_bucket, source) = source;
    let (source_key, source_version) = (source.head.key.clone(), source.head.version);
    meta.copy_object(CopyObject { source_bucket, source_key, source_version, object: version(to, at) }).await
}

fn completion(upload: &Upload, parts: &[&Part]) -> CompleteUpload {
    let parts = parts.iter().map(|p| PartChoice { number: p.number, version: p.version }).collect();
    CompleteUpload { upload: upload.id, parts, object: version(upload.bucket, upload.key.as_str()) }
}

async fn begin_upload(meta: &Fixture, bucket: BucketId, at: &str) -> Upload {
    let upload = Upload { id: UploadId(unique_id()), bucket, key: key(at), created: NOW, metadata: version(bucket, at).metadata };
    meta.create_upload(upload.clone()).await.unwrap();
    upload
}

/// A commit of part `number` under a fresh lease.
async fn part_of(meta: &Fixture, upload: UploadId, number: u32, chunks: &[ChunkRecord]) -> CommitPart {
    let commit = commit_of(meta, version(BucketId([0; 16]), "part"), chunks).await;
    let part = Part {
        number,
        version: commit.object.version,
        size_bytes: commit.manifest.size_bytes(),
        etag: commit.object.etag,
        modified: NOW,
        system: commit.object.metadata.system,
        chunks: commit.manifest.chunks().to_vec(),
    };
    CommitPart { epoch: commit.epoch, upload, part, chunks: commit.chunks }
}

async fn put_part(meta: &Fixture, upload: UploadId, number: u32, chunks: &[ChunkRecord]) -> Part {
    let commit = part_of(meta, upload, number, chunks).await;
    meta.commit_part(commit.clone()).await.unwrap();
    commit.part
}

/// Asserts that these chunks are referenced and no others.
async fn assert_live(meta: &Fixture, live: &[&ChunkRecord]) {
    let found: BTreeSet<ChunkId> = meta.scan_chunks(None, 1000).await.unwrap().iter().map(|r| r.id).collect();
    assert_eq!(found, live.iter().map(|r| r.id).collect());
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_the_list() {
        let list = include_str!("mod.rs").split("@cases $run;").nth(1).unwrap();
        let listed = |name: &str| list.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
        let files = [
            include_str!("buckets.rs"),
            include_str!("chunks.rs"),
            include_str!("copies.rs"),
            include_str!("jobs.rs"),
            include_str!("keys.rs"),
            include_str!("leases.rs"),
            include_str!("listing.rs"),
            include_str!("multipart.rs"),
            include_str!("notes.rs"),
            include_str!("objects.rs"),
            include_str!("quota.rs"),
            include_str!("references.rs"),
            include_str!("renames.rs"),
            include_str!("restores.rs"),
            include_str!("trash.rs"),
            include_str!("usage.rs"),
        ];
        for rest in files.iter().flat_map(|text| text.split("pub async fn ").skip(1)) {
            let name = rest.split('(').next().unwrap();
            assert!(listed(name), "{name} is not in the list of meta_conformance");
        }
    }
}
