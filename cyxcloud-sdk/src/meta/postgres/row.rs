//! Values as PostgreSQL keeps them.

use cyxcloud_core::data::manifest::{ChunkRef, Content, Manifest};
use cyxcloud_core::id::{BucketId, ChunkId, ObjectKey, VersionId};
use cyxcloud_core::port::{Metadata, ObjectHead};
use cyxcloud_core::{Error, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::fail::Outcome;
pub(super) use crate::meta::common::{int, limit, prefix_end};

/// Length of a chunk in a list of chunks.
const REF_BYTES: usize = 36;

/// Column `at` as an unsigned number; nothing negative is ever stored.
pub(super) fn uint(row: &Row, at: usize) -> Outcome<u64> {
    unsigned(row.try_get(at)?)
}

pub(super) fn unsigned<T>(value: i64) -> Outcome<T>
where
    T: TryFrom<i64>,
{
    T::try_from(value).map_err(|_| Error::corrupt(format!("the database holds {value} where no such number can be")).into())
}

/// Column `at` as an unsigned number that may be without bound: see [`int`].
pub(super) fn unbounded(row: &Row, at: usize) -> Outcome<u64> {
    Ok(match uint(row, at)? {
        number if number == i64::MAX as u64 => u64::MAX,
        number => number,
    })
}

/// Column `at` as a time.
pub(super) fn time(row: &Row, at: usize) -> Outcome<Timestamp> {
    Ok(Timestamp(uint(row, at)?))
}

/// Column `at` as an id of so many bytes.
pub(super) fn id<const N: usize>(row: &Row, at: usize) -> Outcome<[u8; N]> {
    let bytes: &[u8] = row.try_get(at)?;
    bytes.try_into().map_err(|_| Error::corrupt(format!("the database holds an id of {} bytes, not {N}", bytes.len())).into())
}

/// A text that PostgreSQL can keep: it has no NUL.
pub(super) fn text<'a>(what: &str, text: &'a str) -> Outcome<&'a str> {
    if text.contains('\0') {
        return Err(Error::invalid(format!("{what} must not contain NUL")).into());
    }
    Ok(text)
}

pub(super) fn json<T: DeserializeOwned>(row: &Row, at: usize) -> Outcome<T> {
    Ok(row.try_get::<_, Json<T>>(at)?.0)
}

/// A column of metadata, which people's tools read as text and PostgreSQL therefore wants without NUL.
pub(super) fn metadata_json(metadata: &Metadata) -> Outcome<Json<&Metadata>> {
    let Metadata { headers, user, system } = metadata;
    for (name, value) in headers.iter().chain(user).chain(system) {
        text("metadata", name)?;
        text("metadata", value)?;
    }
    Ok(Json(metadata))
}

pub(super) fn as_json<T: Serialize + std::fmt::Debug + Sync>(value: &T) -> Json<&T> {
    Json(value)
}

pub(super) fn key(row: &Row, at: usize) -> Outcome<ObjectKey> {
    let text = String::from_utf8(row.try_get(at)?).map_err(|e| Error::corrupt("stored key is not UTF-8").with_source(e))?;
    Ok(ObjectKey::new(text).map_err(|e| Error::corrupt("stored key is invalid").with_source(e))?)
}

/// Key, version, size, etag, modified, metadata.
pub(super) fn head(row: &Row) -> Outcome<ObjectHead> {
    Ok(ObjectHead {
        key: key(row, 0)?,
        version: VersionId(id(row, 1)?),
        size_bytes: uint(row, 2)?,
        etag: row.try_get(3)?,
        modified: time(row, 4)?,
        metadata: json::<Metadata>(row, 5)?,
    })
}

/// Columns `inline` and `chunks`, which begin at `at`.
pub(super) fn manifest(row: &Row, at: usize) -> Outcome<Manifest> {
    let content = match (row.try_get::<_, Option<Vec<u8>>>(at)?, row.try_get::<_, Option<&[u8]>>(at + 1)?) {
        (Some(inline), None) => Content::Inline(inline),
        (None, Some(chunks)) => Content::Chunks(decode_refs(chunks)?),
        _ => return Err(Error::corrupt("a stored object has neither bytes nor chunks").into()),
    };
    Ok(Manifest { content })
}

/// The columns `inline` and `chunks` of a manifest.
pub(super) fn encode_manifest(manifest: &Manifest) -> (Option<&[u8]>, Option<Vec<u8>>) {
    match &manifest.content {
        Content::Inline(bytes) => (Some(bytes), None),
        Content::Chunks(refs) => (None, Some(encode_refs(refs))),
    }
}

pub(super) fn encode_refs(refs: &[ChunkRef]) -> Vec<u8> {
    refs.iter().flat_map(|chunk| chunk.id.0.into_iter().chain(chunk.size_bytes.to_be_bytes())).collect()
}

pub(super) fn decode_refs(bytes: &[u8]) -> Outcome<Vec<ChunkRef>> {
    let (refs, rest) = bytes.as_chunks::<REF_BYTES>();
    if !rest.is_empty() {
        return Err(Error::corrupt("a stored list of chunks is cut off").into());
    }
    let decode = |bytes: &[u8; REF_BYTES]| {
        let (id, size) = bytes.split_first_chunk::<32>().expect("36 bytes begin with 32");
        let size = size.first_chunk::<4>().expect("4 are left");
        ChunkRef { id: ChunkId(*id), size_bytes: u32::from_be_bytes(*size) }
    };
    Ok(refs.iter().map(decode).collect())
}

pub(super) fn bucket_id(row: &Row, at: usize) -> Outcome<BucketId> {
    Ok(BucketId(id(row, at)?))
}
