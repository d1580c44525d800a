//! I3, I6, I7: what the metadata must be, computed anew from the transactions in the order in which they were applied.

use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use crate::data::manifest::{ChunkRef, Copy};
use crate::id::{BucketId, ChunkId, ObjectKey, UploadId, VersionId};
use crate::port::{
    CommitObject, CommitPart, CompleteUpload, CopyObject, Fate, NewVersion, Precondition, RenameObject, ReplaceCopies, Upload, Usage,
};
use crate::testing::sim::meta::Changed;
use crate::testing::sim::trace::About;
use crate::{Error, ErrorKind, Result};

/// What was asked of the metadata store.
#[derive(Clone, Debug)]
pub(in crate::testing::sim) enum Transaction {
    Commit(CommitObject),
    Delete { bucket: BucketId, key: ObjectKey, precondition: Precondition, fate: Fate },
    Restore { bucket: BucketId, key: ObjectKey, version: VersionId, precondition: Precondition },
    Purge { window_ms: u64, limit: usize },
    Copy(CopyObject),
    Rename(RenameObject),
    Begin(Upload),
    Part(CommitPart),
    Complete(CompleteUpload),
    Abort(UploadId),
    Finish { chunk: ChunkId },
    Replace(ReplaceCopies),
}

/// An object as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::testing::sim) struct Entry {
    pub(in crate::testing::sim) version: VersionId,
    pub(in crate::testing::sim) etag: String,
    pub(in crate::testing::sim) size_bytes: u64,
    pub(in crate::testing::sim) chunks: Vec<ChunkRef>,
}

/// A chunk as the ledger knows it.
#[derive(Clone, Debug, Default)]
pub(in crate::testing::sim) struct Counted {
    pub(in crate::testing::sim) refs: u64,
    pub(in crate::testing::sim) copies: Vec<Copy>,
    /// When the last reference went.
    pub(in crate::testing::sim) died_ms: u64,
}

#[derive(Clone, Debug)]
struct PartEntry {
    version: VersionId,
    size_bytes: u64,
    chunks: Vec<ChunkRef>,
}

type ObjectAt = (BucketId, String);

/// The metadata, recounted.
#[derive(Clone, Debug, Default)]
pub(in crate::testing::sim) struct Ledger {
    pub(in crate::testing::sim) objects: BTreeMap<ObjectAt, Entry>,
    pub(in crate::testing::sim) trash: BTreeMap<(BucketId, String, VersionId), (Entry, u64)>,
    pub(in crate::testing::sim) uploads: BTreeMap<UploadId, ObjectAt>,
    parts: BTreeMap<(UploadId, u32), PartEntry>,
    pub(in crate::testing::sim) chunks: BTreeMap<ChunkId, Counted>,
    /// Chunks that nothing referred to at some time since a copy of the metadata was taken.
    pub(in crate::testing::sim) died: BTreeSet<ChunkId>,
}

type Verdict = Result<Checker, (Checker, String, About)>;

fn wrong(checker: Checker, message: String) -> Verdict {
    Err((checker, message, About::default()))
}

impl Ledger {
    /// Takes over what a transaction did; an error when it should not have been possible.
    pub(in crate::testing::sim) fn apply(&mut self, now_ms: u64, asked: &Transaction, outcome: &Result<Changed>) -> Verdict {
        match outcome {
            Err(error) => self.refused(asked, error),
            Ok(changed) => self.done(now_ms, asked, *changed),
        }
    }

    fn done(&mut self, now_ms: u64, asked: &Transaction, changed: Changed) -> Verdict {
        match asked {
            Transaction::Commit(commit) => {
                self.require(&commit.object)?;
                commit.chunks.iter().for_each(|c| self.chunks.entry(c.id).or_default().copies.clone_from(&c.copies));
                self.place(now_ms, &commit.object, commit.manifest.size_bytes(), commit.manifest.chunks().to_vec());
                Ok(Checker::I3)
            }
            Transaction::Copy(copy) => {
                let Some(source) = self.objects.get(&(copy.source_bucket, copy.source_key.as_str().to_owned())).cloned() else {
                    return wrong(Checker::I3, format!("copied {}, which was not there", copy.source_key));
                };
                if source.version != copy.source_version {
                    return wrong(Checker::I3, format!("copied {} after it was replaced", copy.source_key));
                }
                self.require(&copy.object)?;
                self.place(now_ms, &copy.object, source.size_bytes, source.chunks);
                Ok(Checker::I3)
            }
            Transaction::Rename(rename) => self.rename(now_ms, rename),
            Transaction::Delete { bucket, key, precondition, fate } => self.delete(now_ms, (*bucket, key), precondition, *fate, changed),
            Transaction::Restore { bucket, key, version, precondition } => self.restore(now_ms, (*bucket, key), *version, precondition),
            Transaction::Purge { window_ms, limit } => self.purge(now_ms, *window_ms, *limit, changed),
            Transaction::Begin(upload) => {
                self.uploads.insert(upload.id, (upload.bucket, upload.key.as_str().to_owned()));
                Ok(Checker::I7)
            }
            Transaction::Part(commit) => self.part(now_ms, commit),
            Transaction::Complete(complete) => self.complete(now_ms, complete),
            Transaction::Abort(upload) => {
                if !self.forget_upload(now_ms, *upload) {
                    return wrong(Checker::I7, format!("aborted upload {upload}, which was not there"));
                }
                Ok(Checker::I7)
            }
            Transaction::Finish { chunk } => self.finish(*chunk, changed),
            Transaction::Replace(replace) => self.replace(replace),
        }
    }

    /// A refusal is checked where it says something about what is there.
    fn refused(&self, asked: &Transaction, error: &Error) -> Verdict {
        let (at, precondition) = match asked {
            Transaction::Commit(commit) => (object_at(&commit.object), &commit.object.precondition),
            Transaction::Copy(copy) => (object_at(&copy.object), &copy.object.precondition),
            Transaction::Rename(rename) => (object_at(&rename.object), &rename.object.precondition),
            Transaction::Complete(complete) => (object_at(&complete.object), &complete.object.precondition),
            Transaction::Delete { bucket, key, precondition, .. } | Transaction::Restore { bucket, key, precondition, .. } => {
                ((*bucket, key.as_str().to_owned()), precondition)
            }
            _ => return Ok(Checker::I3),
        };
        match error.kind() {
            ErrorKind::Precondition if self.holds(&at, precondition) => {
                wrong(Checker::I3, format!("{} was refused by {precondition:?}, which held", at.1))
            }
            ErrorKind::Invalid | ErrorKind::Internal => wrong(Checker::I0, format!("{asked:?}: {error:?}")),
            _ => Ok(Checker::I3),
        }
    }

    fn holds(&self, at: &ObjectAt, precondition: &Precondition) -> bool {
        let there = self.objects.get(at);
        match precondition {
            Precondition::None => true,
            Precondition::Absent => there.is_none(),
            Precondition::Present => there.is_some(),
            Precondition::EtagIs(tags) => there.is_some_and(|entry| tags.contains(&entry.etag)),
            Precondition::EtagIsNot(tags) => there.is_none_or(|entry| !tags.contains(&entry.etag)),
            Precondition::VersionIs(version) => there.is_some_and(|entry| entry.version == *version),
        }
    }

    fn require(&self, new: &NewVersion) -> Result<(), (Checker, String, About)> {
        if self.holds(&object_at(new), &new.precondition) {
            return Ok(());
        }
        wrong(Checker::I3, format!("{} was written although {:?} did not hold", new.key, new.precondition)).map(drop)
    }

    fn place(&mut self, now_ms: u64, new: &NewVersion, size_bytes: u64, chunks: Vec<ChunkRef>) {
        self.count(&chunks);
        let entry = Entry { version: new.version, etag: new.etag.clone(), size_bytes, chunks };
        if let Some(old) = self.objects.insert(object_at(new), entry) {
            self.release(now_ms, &old.chunks);
        }
    }

    fn count(&mut self, chunks: &[ChunkRef]) {
        chunks.iter().for_each(|c| self.chunks.entry(c.id).or_default().refs += 1);
    }

    fn release(&mut self, now_ms: u64, chunks: &[ChunkRef]) {
        for chunk in chunks {
            let counted = self.chunks.get_mut(&chunk.id).unwrap();
            counted.refs -= 1;
            if counted.refs == 0 {
                counted.died_ms = now_ms;
                self.died.insert(chunk.id);
            }
        }
    }

    fn rename(&mut self, now_ms: u64, rename: &RenameObject) -> Verdict {
        self.require(&rename.object)?;
        let at = (rename.source_bucket, rename.source_key.as_str().to_owned());
        let Some(source) = self.objects.remove(&at) else {
            return wrong(Checker::I3, format!("renamed {}, which was not there", at.1));
        };
        if source.version != rename.source_version {
            return wrong(Checker::I3, format!("renamed {} after it was replaced", at.1));
        }
        self.place(now_ms, &rename.object, source.size_bytes, source.chunks.clone());
        self.release(now_ms, &source.chunks);
        Ok(Checker::I3)
    }

    fn delete(&mut self, now_ms: u64, at: (BucketId, &ObjectKey), precondition: &Precondition, fate: Fate, changed: Changed) -> Verdict {
        let at = (at.0, at.1.as_str().to_owned());
        if !self.holds(&at, precondition) {
            return wrong(Checker::I3, format!("{} was deleted although {precondition:?} did not hold", at.1));
        }
        let old = self.objects.remove(&at);
        if changed != Changed::Whether(old.is_some()) {
            return wrong(Checker::I3, format!("deleting {} said {changed:?}, but {old:?} was there", at.1));
        }
        match (old, fate) {
            (Some(old), Fate::Release) => self.release(now_ms, &old.chunks),
            (Some(old), Fate::Trash) => drop(self.trash.insert((at.0, at.1, old.version), (old, now_ms))),
            (None, _) => {}
        }
        Ok(Checker::I3)
    }

    fn restore(&mut self, now_ms: u64, at: (BucketId, &ObjectKey), version: VersionId, precondition: &Precondition) -> Verdict {
        let at = (at.0, at.1.as_str().to_owned());
        if !self.holds(&at, precondition) {
            return wrong(Checker::I3, format!("{} was restored although {precondition:?} did not hold", at.1));
        }
        let Some((entry, _)) = self.trash.remove(&(at.0, at.1.clone(), version)) else {
            return wrong(Checker::I3, format!("{} was restored from a trash it was not in", at.1));
        };
        if let Some(old) = self.objects.insert(at, entry) {
            self.release(now_ms, &old.chunks);
        }
        Ok(Checker::I3)
    }

    fn purge(&mut self, now_ms: u64, window_ms: u64, limit: usize, changed: Changed) -> Verdict {
        let due = self.trash.iter().filter(|(_, (_, deleted_ms))| deleted_ms.saturating_add(window_ms) <= now_ms);
        let due: Vec<_> = due.map(|(at, _)| at.clone()).take(limit).collect();
        if changed != Changed::Count(due.len() as u64) {
            return wrong(Checker::I6, format!("purging the trash said {changed:?}, but {} were due", due.len()));
        }
        for at in due {
            let (entry, _) = self.trash.remove(&at).unwrap();
            self.release(now_ms, &entry.chunks);
        }
        Ok(Checker::I6)
    }

    fn part(&mut self, now_ms: u64, commit: &CommitPart) -> Verdict {
        if !self.uploads.contains_key(&commit.upload) {
            return wrong(Checker::I7, format!("a part was stored for upload {}, which was gone", commit.upload));
        }
        commit.chunks.iter().for_each(|c| self.chunks.entry(c.id).or_default().copies.clone_from(&c.copies));
        let part = &commit.part;
        self.count(&part.chunks);
        let entry = PartEntry { version: part.version, size_bytes: part.size_bytes, chunks: part.chunks.clone() };
        if let Some(old) = self.parts.insert((commit.upload, part.number), entry) {
            self.release(now_ms, &old.chunks);
        }
        Ok(Checker::I7)
    }

    fn complete(&mut self, now_ms: u64, complete: &CompleteUpload) -> Verdict {
        if self.uploads.get(&complete.upload) != Some(&object_at(&complete.object)) {
            return wrong(Checker::I7, format!("upload {} was completed, which was gone or another's", complete.upload));
        }
        self.require(&complete.object)?;
        let (mut chunks, mut size_bytes) = (Vec::new(), 0);
        for choice in &complete.parts {
            match self.parts.get(&(complete.upload, choice.number)) {
                Some(part) if part.version == choice.version => {
                    chunks.extend_from_slice(&part.chunks);
                    size_bytes += part.size_bytes;
                }
                other => return wrong(Checker::I7, format!("part {choice:?} was completed, but {other:?} was there")),
            }
        }
        self.place(now_ms, &complete.object, size_bytes, chunks);
        self.forget_upload(now_ms, complete.upload);
        Ok(Checker::I7)
    }

    fn forget_upload(&mut self, now_ms: u64, upload: UploadId) -> bool {
        let numbers: Vec<_> = self.parts.range((upload, 0)..=(upload, u32::MAX)).map(|(at, _)| *at).collect();
        for at in numbers {
            let part = self.parts.remove(&at).unwrap();
            self.release(now_ms, &part.chunks);
        }
        self.uploads.remove(&upload).is_some()
    }

    fn finish(&mut self, chunk: ChunkId, changed: Changed) -> Verdict {
        if changed != Changed::Whether(true) {
            return Ok(Checker::I6);
        }
        let about = About { chunks: vec![chunk.into()], ..About::default() };
        match self.chunks.remove(&chunk) {
            Some(counted) if counted.refs == 0 => Ok(Checker::I6),
            other => Err((Checker::I5, format!("{chunk:?} was forgotten while it was {other:?}"), about)),
        }
    }

    fn replace(&mut self, replace: &ReplaceCopies) -> Verdict {
        let about = About { chunks: vec![replace.chunk.into()], ..About::default() };
        let sorted = |copies: &[Copy]| {
            let mut copies = copies.to_vec();
            copies.sort_unstable();
            copies
        };
        match self.chunks.get_mut(&replace.chunk) {
            Some(counted) if counted.refs > 0 => {
                let as_expected = sorted(&counted.copies) == sorted(&replace.expected);
                counted.copies.clone_from(&replace.copies);
                if as_expected {
                    return Ok(Checker::I4);
                }
                Err((
                    Checker::I4,
                    format!("the copies of {:?} were replaced although others had been recorded meanwhile", replace.chunk),
                    about,
                ))
            }
            other => Err((Checker::I4, format!("the copies of {:?} were replaced while it was {other:?}", replace.chunk), about)),
        }
    }

    /// Uploads with a part that names one of these chunks.
    pub(in crate::testing::sim) fn uploads_of(&self, chunks: &BTreeSet<ChunkId>) -> BTreeSet<UploadId> {
        let named = self.parts.iter().filter(|(_, part)| part.chunks.iter().any(|chunk| chunks.contains(&chunk.id)));
        named.map(|((upload, _), _)| *upload).collect()
    }

    /// What a bucket holds.
    pub(in crate::testing::sim) fn usage(&self, bucket: BucketId) -> Usage {
        let mut usage = Usage::default();
        for (_, entry) in self.objects.iter().filter(|((of, _), _)| *of == bucket) {
            usage.objects += 1;
            usage.object_bytes += entry.size_bytes;
        }
        for ((upload, _), part) in &self.parts {
            usage.part_bytes += if self.uploads[upload].0 == bucket { part.size_bytes } else { 0 };
        }
        usage.trash_bytes = self.trash.iter().filter(|((of, ..), _)| *of == bucket).map(|(_, (entry, _))| entry.size_bytes).sum();
        usage
    }

    /// References counted from objects, parts and trash alone.
    pub(in crate::testing::sim) fn recount(&self) -> BTreeMap<ChunkId, u64> {
        let mut counts = BTreeMap::new();
        let objects = self.objects.values().chain(self.trash.values().map(|(entry, _)| entry)).flat_map(|entry| &entry.chunks);
        for chunk in objects.chain(self.parts.values().flat_map(|part| &part.chunks)) {
            *counts.entry(chunk.id).or_default() += 1;
        }
        counts
    }
}

fn object_at(new: &NewVersion) -> ObjectAt {
    (new.bucket, new.key.as_str().to_owned())
}
