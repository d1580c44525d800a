//! One chunk: what nodes hold of it, the plan, and another plan after every setback.

use std::collections::BTreeSet;

use futures::future::{FutureExt, join_all};

use super::{Lanes, Repair, Repaired};
use crate::control::health::{CopyState, Fleet};
use crate::control::repair::{Case, Plan, plan};
use crate::data::chunk::shard_len;
use crate::data::manifest::{ChunkRecord, Copy};
use crate::data::shard::{ByteRange, GROUP_BYTES};
use crate::engine::Engine;
use crate::engine::get::is_lost;
use crate::engine::survey::Page;
use crate::id::{ChunkId, NodeId};
use crate::{Error, Result};

/// How often one try plans anew after a setback: a node that refused, a source that was damaged, a record that changed.
const ROUNDS: usize = 6;

impl Engine {
    /// Repairs one chunk until its record names a proven copy of every shard, or the plan has nothing to do.
    pub(super) async fn repair_chunk(&self, epoch: u64, id: ChunkId, lanes: &Lanes, done: &mut Repaired) -> Result<()> {
        let mut known = Known::default();
        let mut everywhere = false;
        let mut last = Error::unavailable(format!("{id:?} kept changing while it was repaired"));
        for _ in 0..ROUNDS {
            let Some(record) = self.referenced(id).await? else {
                self.suspects.forget(id);
                return Ok(());
            };
            // Readers find damage meanwhile, and this repair itself where it reads sources.
            known.bad.extend(self.suspects.of(id));
            let mut page = self.survey_chunk(record, everywhere).await;
            self.ask_for_unlisted(&mut page, &known).await;
            let record = &page.chunks[0];
            let planned = self.plan_chunk(record, &page, &self.fleet(), &known);
            if planned.is_err() && !everywhere {
                // Others may have what those have not that the record names, as after a restore of older metadata.
                everywhere = true;
                continue;
            }
            let step = match planned? {
                Some((plan, sources)) => {
                    let repair = Repair { engine: self, epoch, record, plan, sources, lanes };
                    repair.carry_out(&mut known, done).await
                }
                None => self.prove(record, &record.copies, &mut known).await,
            };
            match step {
                Ok(()) if self.suspects.of(id).is_subset(&known.bad) => {
                    self.suspects.forget(id);
                    return Ok(());
                }
                Ok(()) => last = Error::unavailable(format!("more copies of {id:?} were found damaged while it was repaired")),
                // Whatever it was, `known` says what to plan around: an error that calls itself internal may be that of a node's disk.
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Asks for a proof of each copy that its node does not list. A node that leaves shards out of its lists would have them computed anew
    /// after every scan.
    async fn ask_for_unlisted(&self, page: &mut Page, known: &Known) {
        let record = page.chunks[0].clone();
        let unlisted = |copy: &Copy| page.lacks(record.id, *copy) && !known.bad.contains(copy);
        let asked: Vec<Copy> = record.copies.iter().copied().filter(unlisted).collect();
        let answers = join_all(asked.iter().map(|copy| self.prove_copy(&record, *copy).boxed())).await;
        for (copy, _) in asked.into_iter().zip(answers).filter(|(_, answer)| answer.is_ok()) {
            page.add(record.id, copy);
        }
    }

    /// The record, if something refers to the chunk.
    pub(in crate::engine) async fn referenced(&self, id: ChunkId) -> Result<Option<ChunkRecord>> {
        let next = self.meta().scan_chunks(id.before(), 1).await?;
        Ok(next.into_iter().find(|record| record.id == id))
    }

    /// What to do with a chunk of the page, and the copies it can be read from.
    pub(super) fn plan_chunk(&self, record: &ChunkRecord, page: &Page, fleet: &Fleet, known: &Known) -> Result<Option<(Plan, Vec<Copy>)>> {
        let state = |copy: &Copy| match () {
            () if page.lacks(record.id, *copy) || known.bad.contains(copy) => CopyState::Gone,
            () => match fleet.expected(copy.node) {
                expected if !known.silent.contains(&copy.node) => expected,
                // It leaves anyway: whoever waited for its answer would wait for ever.
                CopyState::Leaving => CopyState::Gone,
                expected => expected.max(CopyState::Late),
            },
        };
        let usable = |copy: &Copy| !known.bad.contains(copy) && !known.silent.contains(&copy.node);
        let states: Vec<CopyState> = record.copies.iter().map(state).collect();
        let strays: Vec<Copy> = page.strays(record).into_iter().filter(usable).collect();
        let case = Case { record, states: &states, strays: &strays, avoid: &known.refusing };
        let planned = plan(&self.view(), fleet, self.policy.node_tolerance.into(), &case)?;
        let live = record.copies.iter().zip(&states).filter(|(_, state)| **state <= CopyState::Leaving).map(|(copy, _)| *copy);
        Ok(planned.map(|plan| (plan, live.chain(strays.iter().copied()).collect())))
    }

    /// Demands a random verified group of each copy from its node, all at once. Nodes that are known to be away are not asked, and one that
    /// does not answer is late and waited for like any other: only a copy that is missing or damaged is an error.
    pub(super) async fn prove(&self, record: &ChunkRecord, copies: &[Copy], known: &mut Known) -> Result<()> {
        let fleet = self.fleet();
        let asked: Vec<Copy> = copies.iter().filter(|copy| fleet.expected(copy.node) <= CopyState::Leaving).copied().collect();
        let answers = join_all(asked.iter().map(|copy| self.prove_copy(record, *copy).boxed())).await;
        let mut outcome = Ok(());
        for (copy, answer) in asked.into_iter().zip(answers) {
            if let Err(error) = answer {
                if is_lost(&error) {
                    self.suspects.note(record.id, copy);
                }
                known.failed(copy, &error);
                if is_lost(&error) {
                    outcome = Err(error);
                }
            }
        }
        outcome
    }

    /// Demands a random verified group of one copy.
    pub(in crate::engine) async fn prove_copy(&self, record: &ChunkRecord, copy: Copy) -> Result<()> {
        let len = shard_len(record.scheme, record.size_bytes) as u64;
        let groups = len.div_ceil(GROUP_BYTES).max(1);
        let random = u64::from_le_bytes(self.env().random()[..8].try_into().expect("sixteen bytes begin with eight"));
        let start = random % groups * GROUP_BYTES;
        self.read_range_from(record, copy, ByteRange { start, end: (start + GROUP_BYTES).min(len) }).await.map(drop)
    }
}

/// What one try has learned about copies and nodes.
#[derive(Default)]
pub(in crate::engine) struct Known {
    /// Copies that are missing or damaged.
    pub(super) bad: BTreeSet<Copy>,
    /// Nodes that did not answer.
    silent: BTreeSet<NodeId>,
    /// Copies made and read back under the lease of this try; it need not be done again after a setback.
    pub(super) made: BTreeSet<Copy>,
    /// Nodes that did not take a shard, or did not give it back as it was.
    pub(super) refusing: BTreeSet<NodeId>,
}

impl Known {
    pub(super) fn failed(&mut self, copy: Copy, error: &Error) {
        if is_lost(error) {
            self.bad.insert(copy);
        } else {
            self.silent.insert(copy.node);
        }
    }
}
