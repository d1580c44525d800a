//! The metadata, restored from an older copy while the nodes keep what was written since.
//!
//! A copy is taken at any moment of the chaos, and put back once all is quiet, as an operator does it with every gateway stopped. What the checkers know goes
//! back with it. Of objects whose every chunk was needed all the time since the copy nothing may be missing, wherever repair has moved it. The others
//! may be gone: they are read, so that nothing worse than an error comes of it, and then deleted as an operator would.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::check::applied;
use super::check::history::Key;
use super::check::ledger::{Ledger, Transaction};
use super::content::Value;
use super::faults::FaultKind;
use super::gateway;
use super::ops::{key_number, read_key};
use super::trace::Event;
use super::world::{World, node_id};
use crate::id::{BucketId, ChunkId, ObjectKey, ShardKey};
use crate::memory::MemoryCopy;
use crate::port::{Fate, Meta, Precondition};
use crate::{Error, Result};

/// A seed restores at most so often.
const MOST: usize = 2;

/// What the world knows of copies and restores.
#[derive(Default)]
pub(super) struct Copies {
    /// The copy that is to be put back.
    taken: Option<(MemoryCopy, Ledger)>,
    /// How many were taken.
    count: usize,
    /// Copies of shards that the restored metadata name and that were not there.
    misplaced: BTreeSet<(u8, ShardKey)>,
}

impl Copies {
    /// Whether there is a copy that is to be put back.
    pub(super) fn is_taken(&self) -> bool {
        self.taken.is_some()
    }

    /// Whether the record's copy was missing when the metadata were restored and has not been stored since.
    pub(super) fn is_misplaced(&self, node: u8, key: ShardKey) -> bool {
        self.misplaced.contains(&(node, key))
    }

    /// Whether that is so of any.
    pub(super) fn any_misplaced(&self) -> bool {
        !self.misplaced.is_empty()
    }

    /// A shard was stored.
    pub(super) fn stored(&mut self, node: u8, key: ShardKey) {
        self.misplaced.remove(&(node, key));
    }

    /// Everything was proven whole.
    pub(super) fn clear(&mut self) {
        self.misplaced.clear();
    }
}

/// Copies the metadata as they are now, if there is no copy yet.
pub(super) fn take(world: &World) {
    let mut copies = world.copies();
    if copies.taken.is_some() || copies.count == MOST {
        return;
    }
    copies.count += 1;
    // Of what dies from now on the restored metadata will not know.
    world.ledger().died.clear();
    copies.taken = Some((world.meta.copy(), world.ledger().clone()));
    world.event(Event::Phase("a copy of the metadata is taken"));
}

/// Puts the copy back, if one was taken.
pub(super) async fn put_back(world: &Arc<World>) -> Result<()> {
    let Some((meta, ledger)) = world.copies().taken.take() else { return Ok(()) };
    world.event(Event::Fault { kind: FaultKind::OldCopy, at: 0 });
    let died = world.ledger().died.clone();
    world.meta.put_back(meta);
    *world.ledger() = ledger;
    world.meta.mark_restored(0).await?;
    misplace(world);
    remember(world);
    let engine = gateway::engine(world, 0, 1 << 33);
    for (key, entry_key) in doubtful(world, &died) {
        // Whatever it says, it must not be wrong bytes.
        let _ = read_key(world, &engine, key, None).await;
        let (bucket, key) = entry_key;
        let asked = Transaction::Delete { bucket, key: key.clone(), precondition: Precondition::None, fate: Fate::Release };
        let done = world.meta.delete_object(bucket, &key, Precondition::None, Fate::Release).await;
        tell(world, &asked, done)?;
    }
    let uploads = world.ledger().uploads_of(&died);
    for upload in uploads {
        let done = world.meta.abort_upload(upload).await;
        tell(world, &Transaction::Abort(upload), done)?;
    }
    let any_trash = world.ledger().trash.values().any(|(entry, _)| entry.chunks.iter().any(|chunk| died.contains(&chunk.id)));
    if any_trash {
        let done = world.meta.purge_trash(0, usize::MAX).await;
        tell(world, &Transaction::Purge { window_ms: 0, limit: usize::MAX }, done)?;
    }
    remember(world);
    Ok(())
}

fn tell<T>(world: &Arc<World>, asked: &Transaction, done: Result<T>) -> Result<()>
where
    for<'a> &'a T: Into<super::meta::Changed>,
{
    applied(world, asked, &done.as_ref().map(Into::into).map_err(Error::clone));
    done.map(drop)
}

/// Objects that name a chunk of which the shards may be gone.
fn doubtful(world: &World, died: &BTreeSet<ChunkId>) -> Vec<(Key, (BucketId, ObjectKey))> {
    let ledger = world.ledger();
    let lost = ledger.objects.iter().filter(|(_, entry)| entry.chunks.iter().any(|chunk| died.contains(&chunk.id)));
    let names = lost.filter_map(|((bucket, name), _)| Some((key_of(*bucket, name)?, (*bucket, ObjectKey::new(name.as_str()).ok()?))));
    names.collect()
}

fn key_of(bucket: BucketId, name: &str) -> Option<Key> {
    Some((bucket.0[0] - 1, key_number(name)?))
}

/// Notes which copies the restored records name that are not there.
fn misplace(world: &World) {
    let named: Vec<(u8, ShardKey)> = {
        let ledger = world.ledger();
        let live = ledger.chunks.iter().filter(|(_, chunk)| chunk.refs > 0);
        let copies =
            live.flat_map(|(id, chunk)| chunk.copies.iter().map(|copy| (copy.node.0[0], ShardKey { chunk: *id, index: copy.shard })));
        copies.collect()
    };
    for (node, key) in named {
        debug_assert_eq!(node_id(node).0[0], node);
        if world.disk(node).frame(key).is_none() {
            world.copies().misplaced.insert((node, key));
            // So that no fault takes more than can be borne.
            world.damage().forget(node, key, 0);
        }
    }
}

/// Has the history begin anew with what is there.
fn remember(world: &World) {
    let there: BTreeMap<Key, u32> = {
        let ledger = world.ledger();
        let value = |etag: &str| Value::parse(etag).map(|value| value.write);
        ledger.objects.iter().filter_map(|((bucket, name), entry)| Some((key_of(*bucket, name)?, value(&entry.etag)?))).collect()
    };
    world.history().restored(&there);
}
