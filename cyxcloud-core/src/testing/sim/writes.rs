//! PUT, DELETE, COPY, renames and what comes back from the trash.

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use super::check::Checker;
use super::check::history::{Key, WriteId};
use super::content::Value;
use super::faults::FaultKind;
use super::ops::{Client, KEYS, OpKind, Outcome, bucket_id, key_number, object_key};
use super::reads::{expect, head};
use super::trace::About;
use crate::engine::{StageKind, StageOptions};
use crate::id::VersionId;
use crate::port::{CopyObject, Fate, Metadata, NewVersion, Precondition, RenameObject};
use crate::{Error, ErrorKind, Result};

/// On what condition, and which value it names.
struct Condition {
    precondition: Precondition,
    value: Option<u32>,
}

impl Client {
    pub(super) async fn put(&self, kind: OpKind, key: Key) {
        let op = self.begin(kind, key.1);
        let Some(condition) = self.condition(kind, key).await else { return self.end(op, Outcome::Failed) };
        let value = self.new_value(true);
        let write = self.world.history().begin(key, Some(value.write));
        let staged = match self.engine.stage(self.body(value.bytes()), self.staged_as(StageKind::Object, key.0, &value)).await {
            Ok(staged) => staged,
            Err(error) => {
                self.world.history().refused(write);
                return self.end(op, self.outcome(kind, Some(error), Outcome::Failed));
            }
        };
        let from = self.world.history().tick();
        let version = self.version(key, &value, condition.precondition.clone());
        let done = self.engine.commit(staged, version).await;
        self.settle(kind, key, write, &condition, from, done.as_ref().map(drop));
        self.end(op, self.outcome(kind, done.err(), Outcome::Unknown));
    }

    pub(super) async fn delete(&self, kind: OpKind, key: Key) {
        let op = self.begin(kind, key.1);
        let Some(condition) = self.condition(kind, key).await else { return self.end(op, Outcome::Failed) };
        let from = self.world.history().tick();
        let write = self.world.history().begin(key, None);
        let fate = if self.world.plan.policy.trash_window_ms > 0 { Fate::Trash } else { Fate::Release };
        let done = self.engine.meta().delete_object(bucket_id(key.0), &object_key(key), condition.precondition.clone(), fate).await;
        if matches!(done, Ok(false)) {
            // Nothing was there, so nothing was deleted: it tells what a read would.
            self.world.history().refused(write);
            expect(&self.world, key, from, |value| value.is_none(), "a delete found nothing");
            return self.end(op, Outcome::Refused);
        }
        self.settle(kind, key, write, &condition, from, done.as_ref().map(|_| ()));
        self.end(op, self.outcome(kind, done.err(), Outcome::Unknown));
    }

    pub(super) async fn copy(&self, source: Key, key: Key) {
        let op = self.begin(OpKind::Copy, key.1);
        let (object, value) = match head(&self.world, &self.engine, source).await {
            Ok(Some(found)) => found,
            Ok(None) => return self.end(op, Outcome::Refused),
            Err(error) => return self.end(op, self.outcome(OpKind::Copy, Some(error), Outcome::Failed)),
        };
        let value = Value { write: self.new_write(), ..value };
        let from = self.world.history().tick();
        let write = self.world.history().begin(key, Some(value.write));
        let copy = CopyObject {
            source_bucket: bucket_id(source.0),
            source_key: object_key(source),
            source_version: object.head.version,
            object: self.version(key, &value, Precondition::None),
        };
        let done = self.engine.meta().copy_object(copy).await;
        let unconditional = Condition { precondition: Precondition::None, value: None };
        self.settle(OpKind::Copy, key, write, &unconditional, from, done.as_ref().map(drop));
        self.end(op, self.outcome(OpKind::Copy, done.err(), Outcome::Unknown));
    }

    /// The source goes and the destination comes in one step: of both the client hears the same.
    pub(super) async fn rename(&self, source: Key, key: Key) {
        let op = self.begin(OpKind::Rename, key.1);
        let (object, read) = match head(&self.world, &self.engine, source).await {
            Ok(Some(found)) => found,
            Ok(None) => return self.end(op, Outcome::Refused),
            Err(error) => return self.end(op, self.outcome(OpKind::Rename, Some(error), Outcome::Failed)),
        };
        let precondition = if self.world.dice().chance(300) { Precondition::Absent } else { Precondition::None };
        let condition = Condition { precondition: precondition.clone(), value: None };
        let value = Value { write: self.new_write(), ..read };
        let from = self.world.history().tick();
        let gone = (source != key).then(|| self.world.history().begin(source, None));
        let write = self.world.history().begin(key, Some(value.write));
        let rename = RenameObject {
            source_bucket: bucket_id(source.0),
            source_key: object_key(source),
            source_version: object.head.version,
            object: self.version(key, &value, precondition),
        };
        let done = self.engine.meta().rename_object(rename).await;
        if let Some(gone) = gone {
            match &done {
                // Whether it is gone or not says nothing of the source where the destination was the reason.
                Err(error) if error.kind() == ErrorKind::Precondition => self.world.history().refused(gone),
                _ => {
                    let was_there = Condition { precondition: Precondition::None, value: Some(read.write) };
                    self.settle(OpKind::Rename, source, gone, &was_there, from, done.as_ref().map(drop));
                }
            }
        }
        self.settle(OpKind::Rename, key, write, &condition, from, done.as_ref().map(drop));
        self.end(op, self.outcome(OpKind::Rename, done.err(), Outcome::Unknown));
    }

    pub(super) async fn restore(&self, bucket: u8) {
        let op = self.begin(OpKind::Restore, u16::MAX);
        let trash = match self.engine.meta().list_trash(bucket_id(bucket), "", None, 100).await {
            Ok(trash) => trash,
            Err(error) => return self.end(op, self.outcome(OpKind::Restore, Some(error), Outcome::Failed)),
        };
        if trash.is_empty() {
            return self.end(op, Outcome::Refused);
        }
        let chosen = &trash[self.world.dice().below(trash.len())].head;
        let (Some(number), Some(value)) = (key_number(chosen.key.as_str()), Value::parse(&chosen.etag)) else {
            return self.world.violate(Checker::I2, format!("the trash holds {chosen:?}, which nobody wrote"), About::default());
        };
        let key = (bucket, number);
        let precondition = if self.world.dice().chance(500) { Precondition::Absent } else { Precondition::None };
        let condition = Condition { precondition, value: None };
        let from = self.world.history().tick();
        let write = self.world.history().begin(key, Some(value.write));
        let done = self.engine.meta().restore_object(bucket_id(bucket), &chosen.key, chosen.version, condition.precondition.clone()).await;
        self.settle(OpKind::Restore, key, write, &condition, from, done.as_ref().map(drop));
        self.end(op, self.outcome(OpKind::Restore, done.err(), Outcome::Unknown));
    }

    /// None when what the condition needs could not be read.
    async fn condition(&self, kind: OpKind, key: Key) -> Option<Condition> {
        let named = |value: Value| Condition { precondition: Precondition::EtagIs(vec![value.etag()]), value: Some(value.write) };
        match kind {
            OpKind::PutIfAbsent => Some(Condition { precondition: Precondition::Absent, value: None }),
            OpKind::PutIfMatch | OpKind::DeleteIfMatch => match head(&self.world, &self.engine, key).await {
                Ok(Some((_, value))) => Some(named(value)),
                _ => None,
            },
            _ => Some(Condition { precondition: Precondition::None, value: None }),
        }
    }

    /// Notes what the client was told of a write, and checks what that says about the condition.
    fn settle(&self, kind: OpKind, key: Key, write: WriteId, condition: &Condition, from: u64, done: Result<(), &Error>) {
        let (world, absent) = (&self.world, condition.precondition == Precondition::Absent);
        match done {
            Ok(()) => {
                world.history().acked(write);
                if absent {
                    expect(world, key, from, |value| value.is_none(), "written as nothing was there");
                    let possible = kind != OpKind::PutIfAbsent || world.history().created(key);
                    self.conditions(possible, key, "more conditional writes found nothing there than could");
                }
                if let Some(wanted) = condition.value {
                    expect(world, key, from, |value| value == Some(wanted), &format!("done as {wanted:x} was there"));
                    let possible = world.history().succeeded(key, wanted);
                    self.conditions(possible, key, "two conditional writes found the same object there");
                }
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            Err(error) => {
                world.history().refused(write);
                let there = |value: Option<u32>| value.is_some() && value != condition.value;
                match error.kind() {
                    ErrorKind::Precondition => expect(world, key, from, there, "refused for what was there"),
                    ErrorKind::NotFound if condition.value.is_some() => {
                        expect(world, key, from, |value| value.is_none(), "refused as nothing was there");
                    }
                    _ => {}
                }
            }
        }
    }

    fn conditions(&self, possible: bool, key: Key, message: &str) {
        let tell = || format!("{}: {message}; {}", KEYS[usize::from(key.1)], self.world.history().tell(key));
        let broken = (!possible).then(|| (tell(), About { key: Some(key.1), ..About::default() }));
        self.world.check(Checker::I3, broken);
    }

    pub(super) fn version(&self, key: Key, value: &Value, precondition: Precondition) -> NewVersion {
        NewVersion {
            bucket: bucket_id(key.0),
            key: object_key(key),
            version: VersionId(self.engine.new_id()),
            etag: value.etag(),
            modified: self.engine.now(),
            metadata: Metadata::default(),
            precondition,
        }
    }

    /// Writers of an account with a quota reserve room, of a size they know or do not know.
    pub(super) fn staged_as(&self, kind: StageKind, bucket: u8, value: &Value) -> StageOptions {
        if self.world.plan.quota_bytes.is_none() {
            return kind.into();
        }
        let known = self.world.dice().chance(500);
        StageOptions { bucket: Some(bucket_id(bucket)), size_bytes: known.then_some(value.bytes().len() as u64), ..kind.into() }
    }

    /// A body, whole or in pieces, to its end or not.
    pub(super) fn body(&self, bytes: Bytes) -> BoxStream<'static, Result<Bytes>> {
        let broken = self.world.hits(FaultKind::BrokenBody, self.gateway);
        let end = broken.then(|| Err(Error::unavailable("the client is gone")));
        let mut pieces = vec![bytes];
        let pauses = self.world.hits(FaultKind::SlowBody, self.gateway);
        if pauses {
            let size = 1 + self.world.dice().below(700);
            pieces = pieces[0].chunks(size).map(Bytes::copy_from_slice).collect();
        }
        if broken {
            pieces.pop();
        }
        let items: Vec<Result<Bytes>> = pieces.into_iter().map(Ok).chain(end).collect();
        if !pauses {
            return stream::iter(items).boxed();
        }
        let world = self.world.clone();
        let paced = move |item| {
            let world = world.clone();
            async move {
                // Now and then longer than the gateway has patience for.
                let most_ms = if world.dice().chance(20) { 2 * world.plan.policy.body_idle_ms } else { 200 };
                let ms = world.up_to(most_ms);
                world.time.timer(ms).await;
                item
            }
        };
        stream::iter(items).then(paced).boxed()
    }
}
