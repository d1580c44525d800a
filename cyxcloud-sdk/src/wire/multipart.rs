//! Multipart uploads on the wire.

use std::collections::BTreeMap;

use cyxcloud_core::data::manifest::ChunkRef;
use cyxcloud_core::id::{ObjectKey, UploadId};
use cyxcloud_core::port::{Part, PartChoice, Upload};
use cyxcloud_core::{Error, Result, Timestamp};
use cyxcloud_proto::gateway::v1 as message;

use super::object::{bucket_id, metadata, metadata_message, version_id};
use super::{array, chunk_id, id, required};

/// The id of a multipart upload.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn multipart_id(bytes: &[u8]) -> Result<UploadId> {
    array(bytes, "multipart_id").map(UploadId)
}

/// An upload as a message.
pub fn upload_message(upload: &Upload) -> message::MultipartUpload {
    message::MultipartUpload {
        multipart_id: id(upload.id),
        bucket_id: id(upload.bucket),
        key: upload.key.as_str().to_owned(),
        created_ms: upload.created.0,
        metadata: Some(metadata_message(&upload.metadata)),
    }
}

/// An upload.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn upload(message: Option<message::MultipartUpload>) -> Result<Upload> {
    let message = required(message, "upload")?;
    Ok(Upload {
        id: multipart_id(&message.multipart_id)?,
        bucket: bucket_id(&message.bucket_id)?,
        key: ObjectKey::new(message.key)?,
        created: Timestamp(message.created_ms),
        metadata: metadata(message.metadata),
    })
}

/// References to chunks as messages.
pub fn refs_message(refs: &[ChunkRef]) -> Vec<message::ChunkRef> {
    refs.iter().map(|chunk| message::ChunkRef { chunk_id: id(chunk.id), size_bytes: chunk.size_bytes }).collect()
}

/// References to chunks.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn refs(messages: &[message::ChunkRef]) -> Result<Vec<ChunkRef>> {
    messages.iter().map(|chunk| Ok(ChunkRef { id: chunk_id(&chunk.chunk_id)?, size_bytes: chunk.size_bytes })).collect()
}

/// A part as a message, without what the shell keeps for itself.
pub fn part_message(part: &Part) -> message::Part {
    message::Part {
        number: part.number,
        version: id(part.version),
        size_bytes: part.size_bytes,
        etag: part.etag.clone(),
        modified_ms: part.modified.0,
        chunks: refs_message(&part.chunks),
    }
}

/// A part.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`], also when it has not the size of its chunks.
pub fn part(message: message::Part) -> Result<Part> {
    let chunks = refs(&message.chunks)?;
    if message.size_bytes != chunks.iter().map(|chunk| u64::from(chunk.size_bytes)).sum::<u64>() {
        return Err(Error::invalid("the part has not the size of its chunks"));
    }
    Ok(Part {
        number: message.number,
        version: version_id(&message.version)?,
        size_bytes: message.size_bytes,
        etag: message.etag,
        modified: Timestamp(message.modified_ms),
        system: BTreeMap::new(),
        chunks,
    })
}

/// A chosen part as a message.
pub fn choice_message(choice: &PartChoice) -> message::PartChoice {
    message::PartChoice { number: choice.number, version: id(choice.version) }
}

/// A chosen part.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn choice(message: &message::PartChoice) -> Result<PartChoice> {
    Ok(PartChoice { number: message.number, version: version_id(&message.version)? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use cyxcloud_core::id::{BucketId, ChunkId, VersionId};
    use cyxcloud_core::port::Metadata;

    use super::*;

    #[test]
    fn everything_comes_back_as_it_went() {
        let upload = Upload {
            id: UploadId([1; 16]),
            bucket: BucketId([2; 16]),
            key: ObjectKey::new("a/b c").unwrap(),
            created: Timestamp(5),
            metadata: Metadata { user: [("ü".to_owned(), "v".to_owned())].into(), ..Metadata::default() },
        };
        assert_eq!(super::upload(Some(upload_message(&upload))).unwrap(), upload);
        let part = Part {
            number: 7,
            version: VersionId([3; 16]),
            size_bytes: 9,
            etag: "tag".into(),
            modified: Timestamp(6),
            system: BTreeMap::new(),
            chunks: vec![ChunkRef { id: ChunkId([4; 32]), size_bytes: 9 }],
        };
        assert_eq!(super::part(part_message(&part)).unwrap(), part);
        assert!(super::part(message::Part { size_bytes: 8, ..part_message(&part) }).is_err());
        let chosen = PartChoice { number: 7, version: VersionId([3; 16]) };
        assert_eq!(choice(&choice_message(&chosen)).unwrap(), chosen);
    }
}
