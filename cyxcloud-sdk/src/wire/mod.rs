//! Between the messages of [`cyxcloud_proto`] and the types of core. Whatever comes in is checked here.

pub mod health;
pub mod multipart;
pub mod object;
pub mod version;

use bytes::Bytes;
use cyxcloud_core::data::erasure::Scheme;
use cyxcloud_core::data::shard::{ByteRange, Frame};
use cyxcloud_core::id::{ChunkId, NodeId, ShardKey, ShardRoot};
use cyxcloud_core::port::{Deleted, NodeRequest, ShardInfo, ShardStat, Space};
use cyxcloud_core::{Error, ErrorKind, Result};
use cyxcloud_proto::node::v1 as node;
use tonic::{Code, Status};

/// Metadata key that carries the exact kind of an error; gRPC codes are coarser.
const KIND_METADATA: &str = "cyx-error";

const KINDS: [(ErrorKind, &str, Code); 12] = [
    (ErrorKind::Invalid, "invalid", Code::InvalidArgument),
    (ErrorKind::NotFound, "not-found", Code::NotFound),
    (ErrorKind::AlreadyExists, "already-exists", Code::AlreadyExists),
    (ErrorKind::NotEmpty, "not-empty", Code::FailedPrecondition),
    (ErrorKind::Precondition, "precondition", Code::FailedPrecondition),
    (ErrorKind::Conflict, "conflict", Code::Aborted),
    (ErrorKind::Unavailable, "unavailable", Code::Unavailable),
    (ErrorKind::Full, "full", Code::ResourceExhausted),
    (ErrorKind::Quota, "quota", Code::ResourceExhausted),
    (ErrorKind::Corrupt, "corrupt", Code::DataLoss),
    (ErrorKind::Body, "body", Code::Internal),
    (ErrorKind::Internal, "internal", Code::Internal),
];

/// An error as a service answers it.
pub fn status(error: &Error) -> Status {
    let found = KINDS.iter().find(|(kind, ..)| *kind == error.kind());
    let (_, name, code) = found.copied().unwrap_or((ErrorKind::Internal, "internal", Code::Internal));
    let mut status = Status::new(code, error.to_string());
    status.metadata_mut().insert(KIND_METADATA, tonic::metadata::MetadataValue::from_static(name));
    status
}

/// The error that a service answered, or that the connection came to.
pub fn error(status: Status) -> Error {
    let named = status.metadata().get(KIND_METADATA).and_then(|name| name.to_str().ok());
    let kind = KINDS.iter().find(|(_, name, _)| Some(*name) == named).map(|(kind, ..)| *kind);
    let kind = kind.unwrap_or_else(|| match status.code() {
        Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented | Code::OutOfRange => {
            ErrorKind::Invalid
        }
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::FailedPrecondition => ErrorKind::Precondition,
        Code::Aborted => ErrorKind::Conflict,
        Code::ResourceExhausted => ErrorKind::Full,
        Code::DataLoss => ErrorKind::Corrupt,
        Code::Internal => ErrorKind::Internal,
        // Who was cut off does not know what happened, whatever the reason.
        _ => ErrorKind::Unavailable,
    });
    let cut_off = matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded);
    let origin = if named.is_some() || !cut_off {
        Origin::Service
    } else {
        Origin::Connection(std::error::Error::source(&status).map_or_else(String::new, ToString::to_string))
    };
    Error::new(kind, status.message().to_owned()).with_source(origin)
}

/// Where the error of a call came from: the source of every error that [`error`] makes.
#[derive(Debug)]
enum Origin {
    Service,
    Connection(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service => f.write_str("the other side answered so"),
            Self::Connection(cause) => write!(f, "the connection failed: {cause}"),
        }
    }
}

impl std::error::Error for Origin {}

/// Whether the other side itself answered with this error; false when the connection came to it, None when it is about no call at all.
pub fn is_from_service(error: &Error) -> Option<bool> {
    let origin = std::error::Error::source(error)?.downcast_ref::<Origin>()?;
    Some(matches!(origin, Origin::Service))
}

/// A field that must be there.
///
/// # Errors
/// [`ErrorKind::Invalid`] naming it.
pub fn required<T>(field: Option<T>, name: &str) -> Result<T> {
    field.ok_or_else(|| Error::invalid(format!("the message has no {name}")))
}

/// An id of exactly `N` bytes.
///
/// # Errors
/// [`ErrorKind::Invalid`] naming it.
pub fn array<const N: usize>(bytes: &[u8], name: &str) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| Error::invalid(format!("{name} must have {N} bytes, not {}", bytes.len())))
}

/// Bytes of an id.
pub fn id(bytes: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(bytes.as_ref())
}

/// A node's id.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn node_id(bytes: &[u8]) -> Result<NodeId> {
    array(bytes, "node_id").map(NodeId)
}

/// A chunk's id.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn chunk_id(bytes: &[u8]) -> Result<ChunkId> {
    array(bytes, "chunk_id").map(ChunkId)
}

/// A shard's root.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn root(bytes: &[u8]) -> Result<ShardRoot> {
    array(bytes, "root").map(ShardRoot)
}

/// A shard's key as a message.
pub fn key_message(key: ShardKey) -> node::ShardKey {
    node::ShardKey { chunk_id: id(key.chunk), index: key.index.into() }
}

/// The key that a message names.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn shard_key(message: Option<node::ShardKey>) -> Result<ShardKey> {
    let message = required(message, "key")?;
    let index = u8::try_from(message.index).map_err(|_| Error::invalid(format!("no shard has index {}", message.index)))?;
    Ok(ShardKey { chunk: chunk_id(&message.chunk_id)?, index })
}

/// The scheme of k and m.
///
/// # Errors
/// [`ErrorKind::Invalid`] for an impossible one.
pub fn scheme(data: u32, parity: u32) -> Result<Scheme> {
    Scheme::new(data as usize, parity as usize)
}

/// A range; a missing one is empty.
pub fn byte_range(message: Option<node::ByteRange>) -> ByteRange {
    message.map_or(ByteRange { start: 0, end: 0 }, |range| ByteRange { start: range.start, end: range.end })
}

/// A range as a message.
pub fn range_message(range: ByteRange) -> node::ByteRange {
    node::ByteRange { start: range.start, end: range.end }
}

/// A frame as it is sent.
pub fn store_message(epoch: u64, frame: &Frame) -> node::StoreChunkRequest {
    let header = frame.header();
    node::StoreChunkRequest {
        key: Some(key_message(header.key)),
        data_shards: header.scheme.data() as u32,
        parity_shards: header.scheme.parity() as u32,
        root: id(header.root),
        epoch,
        payload: frame.payload().clone(),
    }
}

/// The request to store what a message brings, its payload checked against the root it names. This hashes the payload: not for async threads.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when the payload is another, [`ErrorKind::Invalid`] for a message that makes no sense.
pub fn store_request(message: node::StoreChunkRequest) -> Result<NodeRequest> {
    let (key, scheme) = (shard_key(message.key)?, scheme(message.data_shards, message.parity_shards)?);
    let frame = Frame::checked(key, scheme, root(&message.root)?, message.payload)?;
    Ok(NodeRequest::Store { epoch: message.epoch, frame })
}

/// What a delete did, as a message.
pub fn deleted_message(deleted: Deleted) -> node::DeleteChunkResponse {
    use node::delete_chunk_response::Outcome;
    let outcome = match deleted {
        Deleted::Gone => Outcome::Gone,
        Deleted::Absent => Outcome::Absent,
        Deleted::Kept => Outcome::Kept,
    };
    node::DeleteChunkResponse { outcome: outcome.into() }
}

/// What a message says a delete did.
///
/// # Errors
/// [`ErrorKind::Internal`] when it does not say.
pub fn deleted(message: &node::DeleteChunkResponse) -> Result<Deleted> {
    use node::delete_chunk_response::Outcome;
    match message.outcome() {
        Outcome::Gone => Ok(Deleted::Gone),
        Outcome::Absent => Ok(Deleted::Absent),
        Outcome::Kept => Ok(Deleted::Kept),
        Outcome::Unspecified => Err(Error::internal("the node did not say what the delete did")),
    }
}

/// A listed shard as a message.
pub fn info_message(info: &ShardInfo) -> node::ShardInfo {
    node::ShardInfo { key: Some(key_message(info.key)), epoch: info.epoch, size_bytes: info.size_bytes }
}

/// A listed shard.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn info(message: node::ShardInfo) -> Result<ShardInfo> {
    Ok(ShardInfo { key: shard_key(message.key)?, epoch: message.epoch, size_bytes: message.size_bytes })
}

/// What a header says, as a message.
pub fn stat_message(stat: Option<&ShardStat>) -> node::ShardStat {
    stat.map_or_else(node::ShardStat::default, |stat| node::ShardStat {
        present: true,
        root: id(stat.root),
        payload_bytes: stat.payload_bytes,
        epoch: stat.epoch,
    })
}

/// What a header says.
///
/// # Errors
/// [`ErrorKind::Invalid`].
pub fn stat(message: &node::ShardStat) -> Result<Option<ShardStat>> {
    if !message.present {
        return Ok(None);
    }
    Ok(Some(ShardStat { root: root(&message.root)?, payload_bytes: message.payload_bytes, epoch: message.epoch }))
}

/// Capacity and use as a message.
pub fn space_message(space: Space) -> node::GetSpaceResponse {
    node::GetSpaceResponse { capacity_bytes: space.capacity_bytes, used_bytes: space.used_bytes, free_bytes: space.free_bytes }
}

/// Capacity and use.
pub fn space(message: &node::GetSpaceResponse) -> Space {
    Space { capacity_bytes: message.capacity_bytes, used_bytes: message.used_bytes, free_bytes: message.free_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_kind_and_message_on_the_wire() {
        for (kind, ..) in KINDS {
            let back = error(status(&Error::new(kind, "why")));
            assert_eq!((back.kind(), back.to_string()), (kind, "why".to_owned()));
        }
        assert_eq!(error(Status::unauthenticated("who?")).kind(), ErrorKind::Invalid);
        assert_eq!(error(Status::deadline_exceeded("late")).kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn who_answered_can_be_told_from_the_connection() {
        assert_eq!(is_from_service(&error(status(&Error::unavailable("busy")))), Some(true));
        assert_eq!(is_from_service(&error(Status::unauthenticated("who?"))), Some(true));
        assert_eq!(is_from_service(&error(Status::unavailable("connection refused"))), Some(false));
        assert_eq!(is_from_service(&Error::unavailable("nobody knows where it is")), None);
    }
}
