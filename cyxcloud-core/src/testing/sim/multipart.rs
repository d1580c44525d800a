//! Multipart uploads, which clients share: one may complete what another began and a third aborts.

use std::collections::BTreeMap;

use super::check::history::Key;
use super::content::Value;
use super::ops::{Client, OpKind, Outcome, bucket_id, object_key};
use crate::engine::{NewPart, StageKind};
use crate::id::{UploadId, VersionId};
use crate::port::{CompleteUpload, Metadata, PartChoice, Precondition, Upload};
use crate::{ErrorKind, Result};

impl Client {
    pub(super) async fn upload_begin(&self, key: Key) {
        let op = self.begin(OpKind::UploadBegin, key.1);
        let id = UploadId(self.engine.new_id());
        let upload =
            Upload { id, bucket: bucket_id(key.0), key: object_key(key), created: self.engine.now(), metadata: Metadata::default() };
        let done = self.engine.meta().create_upload(upload).await;
        let outcome = self.outcome(OpKind::UploadBegin, done.err(), Outcome::Unknown);
        if outcome != Outcome::Refused {
            self.world.uploads().push((id, key));
        }
        self.end(op, outcome);
    }

    /// An upload that was begun; it may be gone by now.
    fn any_upload(&self) -> Option<(UploadId, Key)> {
        let uploads = self.world.uploads();
        if uploads.is_empty() {
            return None;
        }
        // Mostly one of the newest: they have fewer parts to lose to others.
        let back = self.world.dice().below(uploads.len().min(3));
        Some(uploads[uploads.len() - 1 - back])
    }

    /// An upload that is gone is mostly left alone.
    fn forget(&self, upload: UploadId, gone: bool) {
        if gone && self.world.dice().chance(800) {
            self.world.uploads().retain(|(id, _)| *id != upload);
        }
    }

    pub(super) async fn upload_part(&self) {
        let Some((upload, key)) = self.any_upload() else { return };
        let op = self.begin(OpKind::UploadPart, key.1);
        let value = self.new_value(false);
        let done = self.store_part((upload, key.0), &value).await;
        self.end(op, self.outcome(OpKind::UploadPart, done.err(), Outcome::Unknown));
    }

    async fn store_part(&self, (upload, bucket): (UploadId, u8), value: &Value) -> Result<()> {
        let staged = self.engine.stage(self.body(value.bytes()), self.staged_as(StageKind::Part, bucket, value)).await?;
        let part = NewPart {
            number: 1 + self.world.dice().below(4) as u32,
            version: VersionId(self.engine.new_id()),
            etag: value.etag(),
            modified: self.engine.now(),
            system: BTreeMap::new(),
        };
        self.engine.commit_part(staged, upload, part).await.map(drop)
    }

    pub(super) async fn upload_complete(&self) {
        let Some((upload, key)) = self.any_upload() else { return };
        let op = self.begin(OpKind::UploadComplete, key.1);
        let parts = match self.engine.meta().list_parts(upload, 0, 100).await {
            Ok(parts) => parts,
            Err(error) => return self.end(op, self.outcome(OpKind::UploadComplete, Some(error), Outcome::Failed)),
        };
        // Now and then a client leaves a part out.
        let leave_out = if self.world.dice().chance(200) { self.world.dice().below(4) as u32 + 1 } else { 0 };
        let chosen: Vec<_> = parts.iter().filter(|part| part.number != leave_out).collect();
        let blocks = chosen.iter().flat_map(|part| Value::parse(&part.etag).unwrap().blocks).collect();
        if chosen.is_empty() {
            return self.end(op, Outcome::Refused);
        }
        let value = Value { write: self.new_write(), blocks };
        let write = self.world.history().begin(key, Some(value.write));
        let complete = CompleteUpload {
            upload,
            parts: chosen.iter().map(|part| PartChoice { number: part.number, version: part.version }).collect(),
            object: self.version(key, &value, Precondition::None),
        };
        let done = self.engine.meta().complete_upload(complete).await;
        self.forget(upload, done.is_ok());
        match &done {
            Ok(_) => self.world.history().acked(write),
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            Err(_) => self.world.history().refused(write),
        }
        self.end(op, self.outcome(OpKind::UploadComplete, done.err(), Outcome::Unknown));
    }

    pub(super) async fn upload_abort(&self) {
        let Some((upload, key)) = self.any_upload() else { return };
        let op = self.begin(OpKind::UploadAbort, key.1);
        let done = self.engine.meta().abort_upload(upload).await;
        self.forget(upload, done.is_ok());
        self.end(op, self.outcome(OpKind::UploadAbort, done.err(), Outcome::Unknown));
    }
}
