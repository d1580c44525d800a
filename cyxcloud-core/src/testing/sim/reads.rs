//! GET and LIST, checked against what the bytes say of themselves and what clients were told.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::TryStreamExt;

use super::check::history::Key;
use super::check::{Checker, listing};
use super::content::Value;
use super::ops::{Client, KEYS, OpKind, Outcome, bucket_id, object_key};
use super::trace::About;
use super::world::World;
use crate::engine::{Engine, ListQuery};
use crate::port::{Object, ScanStart};
use crate::{Error, ErrorKind, Result};

/// What a read came to; what it found was checked.
pub(super) enum Read {
    Value,
    Absent,
    Error(Error),
}

/// Reads an object, or a part of it where `range` makes one from its size.
pub(super) async fn read_key(
    world: &Arc<World>,
    engine: &Arc<Engine>,
    key: Key,
    range: Option<&(dyn Fn(u64) -> Range<u64> + Sync)>,
) -> Read {
    match head(world, engine, key).await {
        Ok(None) => Read::Absent,
        Err(error) => Read::Error(error),
        Ok(Some((object, value))) => {
            let size_bytes = object.head.size_bytes;
            let range = range.map_or(0..size_bytes, |range| range(size_bytes));
            match bytes(world, engine, key, &object, &value, range).await {
                Ok(()) => Read::Value,
                Err(error) => Read::Error(error),
            }
        }
    }
}

/// The object under a key, which must be one that can be there.
pub(super) async fn head(world: &Arc<World>, engine: &Engine, key: Key) -> Result<Option<(Object, Value)>> {
    let from = world.history().tick();
    let found = engine.meta().object(bucket_id(key.0), &object_key(key)).await;
    let object = match found {
        Ok(object) => Some(object),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let value = object.as_ref().and_then(|object| Value::parse(&object.head.etag));
    let seen = value.as_ref().map(|value| value.write);
    expect(world, key, from, |possible| possible == seen, &format!("read {seen:x?}"));
    Ok(object.zip(value))
}

async fn bytes(world: &World, engine: &Arc<Engine>, key: Key, object: &Object, value: &Value, range: Range<u64>) -> Result<()> {
    let parts: Vec<Bytes> = engine.read(&object.manifest, range.clone()).await?.try_collect().await?;
    let (got, whole) = (parts.concat(), value.bytes());
    let right = object.head.size_bytes == value.len() && whole.get(range.start as usize..range.end as usize) == Some(&got[..]);
    let about = || About { chunks: object.manifest.chunks().iter().map(|c| c.id.into()).collect(), key: Some(key.1), node: None };
    let message = || format!("bytes {range:?} of {} ({}) are not what was written", KEYS[usize::from(key.1)], object.head.etag);
    world.check(Checker::I2, (!right).then(|| (message(), about())));
    Ok(())
}

/// Some state that fits must have been possible since `from`.
pub(super) fn expect(world: &World, key: Key, from: u64, fits: impl Fn(Option<u32>) -> bool, said: &str) {
    let broken = {
        let mut history = world.history();
        let to = history.tick();
        let possible = history.possible(key, from, to);
        let wrong = !possible.iter().any(|value| fits(*value));
        wrong.then(|| {
            let name = KEYS[usize::from(key.1)];
            format!("{name}: {said} at {from}..{to}, possible were {possible:x?}; {}", history.tell(key))
        })
    };
    world.check(Checker::I3, broken.map(|message| (message, About { key: Some(key.1), ..About::default() })));
}

impl Client {
    pub(super) async fn get(&self, kind: OpKind, key: Key) {
        let op = self.begin(kind, key.1);
        let dice = self.world.dice().next();
        let part = move |size_bytes: u64| {
            let start = dice % (size_bytes + 1);
            start..start + (dice >> 32) % (size_bytes - start + 1)
        };
        let range: Option<&(dyn Fn(u64) -> Range<u64> + Sync)> = if kind == OpKind::GetRange { Some(&part) } else { None };
        let outcome = match read_key(&self.world, &self.engine, key, range).await {
            Read::Value => Outcome::Done,
            Read::Absent => Outcome::Refused,
            Read::Error(error) => self.outcome(kind, Some(error), Outcome::Failed),
        };
        self.end(op, outcome);
    }

    pub(super) async fn list(&self, bucket: u8) {
        let op = self.begin(OpKind::List, u16::MAX);
        let mut query = self.any_query();
        let mut outcome = Outcome::Done;
        for _ in 0..5 {
            let from = self.world.history().tick();
            match self.engine.list(bucket_id(bucket), query.clone()).await {
                Ok(page) => {
                    let to = self.world.history().tick();
                    listing::check(&self.world, bucket, &query, &page, from, to);
                    if !page.truncated {
                        break;
                    }
                    query.start = ScanStart::After(page.last);
                }
                Err(error) => {
                    outcome = self.outcome(OpKind::List, Some(error), Outcome::Failed);
                    break;
                }
            }
        }
        self.end(op, outcome);
    }

    fn any_query(&self) -> ListQuery {
        let mut dice = self.world.dice();
        let texts = ["a/", "a/0", "b", "c/", "c/d/", "", "zzz"];
        let start = match dice.below(6) {
            0 => ScanStart::After(texts[dice.below(texts.len())].to_owned()),
            1 => ScanStart::From(texts[dice.below(texts.len())].to_owned()),
            _ => ScanStart::First,
        };
        ListQuery {
            prefix: ["", "", "", "a/", "c/", "c", "q"][dice.below(7)].to_owned(),
            delimiter: dice.chance(500).then(|| "/".to_owned()),
            start,
            limit: [1, 2, 5, 1000][dice.below(4)],
        }
    }
}
