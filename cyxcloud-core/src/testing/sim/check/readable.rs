//! I1: with every node up and the network whole, everything that was acknowledged can be read, byte for byte, whatever the plan destroyed.

use std::sync::Arc;

use super::Checker;
use crate::engine::Engine;
use crate::testing::sim::ops::{KEYS, Read, read_key};
use crate::testing::sim::trace::About;
use crate::testing::sim::world::World;

/// Reads every key there is.
pub(in crate::testing::sim) async fn check(world: &Arc<World>, engine: &Arc<Engine>) {
    let keys = world.history().keys();
    for key in keys {
        let read = read_key(world, engine, key, None).await;
        let broken = match read {
            Read::Value | Read::Absent => None,
            Read::Error(error) => {
                let chunks = world
                    .ledger()
                    .objects
                    .get(&(super::super::ops::bucket_id(key.0), KEYS[usize::from(key.1)].to_owned()))
                    .map_or_else(Vec::new, |entry| entry.chunks.iter().map(|c| c.id.into()).collect());
                Some((format!("{} cannot be read: {error:?}", KEYS[usize::from(key.1)]), About { chunks, key: Some(key.1), node: None }))
            }
        };
        world.check(Checker::I1, broken);
    }
}
