//! Copies that lie beside those a record names: spare ones go, and where the record's own copy is missing the other one is adopted.
//!
//! They are left by repairs, drains and rewrites. After an older copy of the metadata was restored they may be all there is: the record then names where
//! a shard lay when the copy was taken. So none is deleted before the copies that the record names have proven themselves, and a missing one is
//! nobody's failure (`docs/decisions/0012-restoring-an-older-copy.md`).

use futures::future::{FutureExt, join_all};
use futures::stream::{self, StreamExt};

use super::get::is_lost;
use super::{Collected, Engine};
use crate::Result;
use crate::control::health::{CopyState, Fleet};
use crate::data::manifest::{ChunkRecord, Copy};
use crate::data::shard::Frame;
use crate::id::ShardKey;
use crate::port::{ReplaceCopies, Restore};

/// Copies judged at the same time.
const PARALLEL: usize = 32;
/// Copies adopted at the same time: each is read twice and written once.
const PARALLEL_ADOPTIONS: usize = 4;

/// A copy that lies on a node and that the record of its chunk does not name.
pub(super) struct Surplus {
    /// The record.
    pub(super) record: ChunkRecord,
    /// Which shard, and where.
    pub(super) copy: Copy,
}

/// What is to become of a surplus copy.
enum Verdict {
    /// The copies that the record names are there, and stay.
    Spare,
    /// Some of them are certainly not there, or it names none.
    Missing(Vec<Copy>),
    /// Nobody knows: a node does not answer, or those that do are to leave.
    Unknown,
}

/// Restores of an older copy that may have been the wrong one, for the time being.
pub(super) struct Recent(Vec<Restore>);

impl Recent {
    /// Whether there is one.
    pub(super) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether a shard of this epoch may belong to metadata that another copy still knows.
    pub(super) fn covers(&self, epoch: u64) -> bool {
        self.0.iter().any(|restore| restore.covers(epoch))
    }
}

impl Engine {
    /// The restores for whose sake shards are kept.
    pub(super) async fn recent_restores(&self) -> Result<Recent> {
        let mut restores = self.meta().restores().await?;
        if !restores.is_empty() {
            let now = self.meta().now().await?;
            restores.retain(|restore| now < restore.at.plus_ms(self.policy.restore_keep_ms));
        }
        Ok(Recent(restores))
    }

    /// Adopts what the records lack; the others whose named copies are there may be deleted.
    pub(super) async fn settle_surplus(&self, surplus: Vec<Surplus>, done: &mut Collected) -> Result<Vec<ShardKey>> {
        let mut spare = Vec::new();
        let mut wanted = Vec::new();
        let fleet = &self.fleet();
        let judge = |one: Surplus| async move { (self.judge(&one, fleet).await, one) };
        let judged: Vec<_> = surplus.into_iter().map(|one| judge(one).boxed()).collect();
        let judged: Vec<_> = stream::iter(judged).buffer_unordered(PARALLEL).collect().await;
        for (verdict, one) in judged {
            match verdict {
                Verdict::Spare => spare.push(ShardKey { chunk: one.record.id, index: one.copy.shard }),
                Verdict::Missing(missing) => wanted.push((one, missing)),
                Verdict::Unknown => done.unconfirmed += 1,
            }
        }
        if !wanted.is_empty() {
            self.adopt_all(wanted, done).await?;
        }
        Ok(spare)
    }

    async fn judge(&self, surplus: &Surplus, fleet: &Fleet) -> Verdict {
        let Surplus { record, copy } = surplus;
        // A node may make up indexes; no record ever names these.
        if !self.confirms_copies || usize::from(copy.shard) >= record.scheme.total() {
            return Verdict::Spare;
        }
        let named: Vec<Copy> = record.holders(copy.shard).map(|node| Copy { shard: copy.shard, node }).collect();
        if named.is_empty() {
            // Written with fewer shards than there are; what came late is as good as what repair would compute.
            return Verdict::Missing(vec![]);
        }
        let ask = |named: Copy| async move { (named, self.prove_copy(record, named).await) };
        let there = named.iter().copied().filter(|named| fleet.expected(named.node) <= CopyState::Leaving);
        let answers = join_all(there.map(|named| ask(named).boxed())).await;
        let is_missing = |answer: &Result<()>| answer.as_ref().is_err_and(is_lost);
        let missing: Vec<Copy> = answers.iter().filter(|(_, answer)| is_missing(answer)).map(|(named, _)| *named).collect();
        // One that leaves has to be read from somewhere else soon, and this may be where.
        let stays = |named: &Copy| fleet.expected(named.node) == CopyState::Live;
        let proven = answers.iter().filter(|(named, answer)| answer.is_ok() && stays(named)).count();
        match () {
            () if proven == named.len() => Verdict::Spare,
            () if missing.is_empty() => Verdict::Unknown,
            () => Verdict::Missing(missing),
        }
    }

    async fn adopt_all(&self, wanted: Vec<(Surplus, Vec<Copy>)>, done: &mut Collected) -> Result<()> {
        let lease = self.meta().begin_lease(self.policy.lease_ttl_ms).await?;
        let count = wanted.len() as u64;
        let work: Vec<_> = wanted.iter().map(|(one, missing)| self.adopt(lease.epoch, one, missing).boxed()).collect();
        let work = async { Ok(stream::iter(work).buffer_unordered(PARALLEL_ADOPTIONS).collect::<Vec<_>>().await) };
        let outcomes = self.under_lease(lease.epoch, work).await;
        self.end_lease(lease.epoch).await;
        // Whatever went wrong, the copy stays where it is for the next round.
        let adopted = outcomes.map_or(0, |outcomes| outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64);
        done.adopted += adopted;
        done.unconfirmed += count - adopted;
        Ok(())
    }

    /// Stores the shard again where it lies, so that no collector that saw it unnamed can take it, reads it back, and has the record name it instead
    /// of the missing ones.
    async fn adopt(&self, epoch: u64, surplus: &Surplus, missing: &[Copy]) -> Result<()> {
        let Surplus { record, copy } = surplus;
        let payload = self.fetch_from(record, copy.shard, copy.node).await?;
        let (key, scheme, root) = (ShardKey { chunk: record.id, index: copy.shard }, record.scheme, record.roots[usize::from(copy.shard)]);
        let frame = self.compute(move || Frame::checked(key, scheme, root, payload)).await??;
        self.store_shard(epoch, copy.node, frame).await?;
        self.fetch_from(record, copy.shard, copy.node).await?;
        let stays = record.copies.iter().copied().filter(|named| !missing.contains(named));
        let copies = stays.chain([*copy]).collect();
        let replace = ReplaceCopies { epoch, chunk: record.id, expected: record.copies.clone(), copies };
        self.meta().replace_copies(replace).await
    }
}
