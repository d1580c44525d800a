//! Buckets, objects, manifests and chunks on the wire.

use bytes::Bytes;
use cyxcloud_core::data::manifest::{ChunkRecord, ChunkRef, Content, Copy, Manifest};
use cyxcloud_core::data::placement::{Domains, Level, NodeView};
use cyxcloud_core::id::{AccountId, BucketId, BucketName, ObjectKey, ShardRoot, VersionId};
use cyxcloud_core::port::{Bucket, BucketSettings, Metadata, Object, ObjectHead, Precondition, ScanStart};
use cyxcloud_core::{Error, Result, Timestamp};
use cyxcloud_proto::gateway::v1::{self as message, list_objects_request::Start, manifest, precondition::Condition};

use super::{array, chunk_id, id, node_id, required, root, scheme};

/// A bucket as a message.
pub fn bucket_message(bucket: &Bucket) -> message::Bucket {
    message::Bucket {
        bucket_id: id(bucket.id),
        name: bucket.name.to_string(),
        owner: id(bucket.owner),
        created_ms: bucket.created.0,
        settings: Some(settings_message(&bucket.settings)),
    }
}

/// A bucket.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn bucket(message: Option<message::Bucket>) -> Result<Bucket> {
    let message = required(message, "bucket")?;
    Ok(Bucket {
        id: bucket_id(&message.bucket_id)?,
        name: BucketName::new(message.name)?,
        owner: AccountId(array(&message.owner, "owner")?),
        created: Timestamp(message.created_ms),
        settings: settings(message.settings)?,
    })
}

/// A bucket's settings as a message.
pub fn settings_message(settings: &BucketSettings) -> message::BucketSettings {
    message::BucketSettings {
        data_shards: settings.scheme.map(|scheme| scheme.data() as u32),
        parity_shards: settings.scheme.map(|scheme| scheme.parity() as u32),
        chunk_size_bytes: settings.chunk_size_bytes,
        write_quorum: settings.write_quorum.map(u32::from),
    }
}

/// A bucket's settings; none of its own where the field is missing. Whether a bucket may have them is asked when they are set: another version of the
/// other side may have other bounds.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`] for what is none.
pub fn settings(message: Option<message::BucketSettings>) -> Result<BucketSettings> {
    let message = message.unwrap_or_default();
    let scheme = match (message.data_shards, message.parity_shards) {
        (None, None) => None,
        (Some(data), Some(parity)) => Some(scheme(data, parity)?),
        _ => return Err(Error::invalid("a scheme has data_shards and parity_shards")),
    };
    let write_quorum = message.write_quorum.map(u8::try_from).transpose();
    let write_quorum = write_quorum.map_err(|_| Error::invalid("write_quorum is at most 255"))?;
    Ok(BucketSettings { scheme, chunk_size_bytes: message.chunk_size_bytes, write_quorum })
}

/// A bucket's id.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn bucket_id(bytes: &[u8]) -> Result<BucketId> {
    array(bytes, "bucket_id").map(BucketId)
}

/// A version's id.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn version_id(bytes: &[u8]) -> Result<VersionId> {
    array(bytes, "version").map(VersionId)
}

/// A copy as a message.
pub fn copy_message(copy: Copy) -> message::Copy {
    message::Copy { shard: copy.shard.into(), node_id: id(copy.node) }
}

/// A copy.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn copy(message: &message::Copy) -> Result<Copy> {
    let shard = u8::try_from(message.shard).map_err(|_| Error::invalid(format!("no shard has index {}", message.shard)))?;
    Ok(Copy { shard, node: node_id(&message.node_id)? })
}

/// Copies.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn copies(messages: &[message::Copy]) -> Result<Vec<Copy>> {
    messages.iter().map(copy).collect()
}

/// A chunk as a message.
pub fn chunk_message(chunk: &ChunkRecord) -> message::Chunk {
    message::Chunk {
        chunk_id: id(chunk.id),
        data_shards: chunk.scheme.data() as u32,
        parity_shards: chunk.scheme.parity() as u32,
        size_bytes: chunk.size_bytes,
        roots: chunk.roots.iter().map(id).collect(),
        copies: chunk.copies.iter().copied().map(copy_message).collect(),
    }
}

/// A chunk whose fields agree with each other.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn chunk(message: Option<message::Chunk>) -> Result<ChunkRecord> {
    let message = required(message, "chunk")?;
    let record = ChunkRecord {
        id: chunk_id(&message.chunk_id)?,
        scheme: scheme(message.data_shards, message.parity_shards)?,
        size_bytes: message.size_bytes,
        roots: message.roots.iter().map(|bytes| root(bytes)).collect::<Result<Vec<ShardRoot>>>()?,
        copies: copies(&message.copies)?,
    };
    record.check().map_err(|e| Error::invalid(e.to_string()))?;
    Ok(record)
}

/// A manifest as a message.
pub fn manifest_message(manifest: &Manifest) -> message::Manifest {
    let content = match &manifest.content {
        Content::Inline(bytes) => manifest::Content::Inline(Bytes::copy_from_slice(bytes)),
        Content::Chunks(chunks) => {
            let chunks = chunks.iter().map(|chunk| message::ChunkRef { chunk_id: id(chunk.id), size_bytes: chunk.size_bytes }).collect();
            manifest::Content::Chunks(manifest::Chunks { chunks })
        }
    };
    message::Manifest { content: Some(content) }
}

/// A manifest.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn manifest(message: Option<message::Manifest>) -> Result<Manifest> {
    let content = match required(required(message, "manifest")?.content, "content of the manifest")? {
        manifest::Content::Inline(bytes) => Content::Inline(bytes.to_vec()),
        manifest::Content::Chunks(chunks) => {
            let chunk = |chunk: &message::ChunkRef| Ok(ChunkRef { id: chunk_id(&chunk.chunk_id)?, size_bytes: chunk.size_bytes });
            Content::Chunks(chunks.chunks.iter().map(chunk).collect::<Result<_>>()?)
        }
    };
    Ok(Manifest { content })
}

/// Metadata as a message.
pub fn metadata_message(metadata: &Metadata) -> message::Metadata {
    let pairs = |map: &std::collections::BTreeMap<String, String>| map.clone().into_iter().collect();
    message::Metadata { headers: pairs(&metadata.headers), user: pairs(&metadata.user), system: pairs(&metadata.system) }
}

/// Metadata; none at all where the field is missing.
pub fn metadata(message: Option<message::Metadata>) -> Metadata {
    let message = message.unwrap_or_default();
    Metadata {
        headers: message.headers.into_iter().collect(),
        user: message.user.into_iter().collect(),
        system: message.system.into_iter().collect(),
    }
}

/// A condition as a message; None for [`Precondition::None`].
pub fn precondition_message(precondition: &Precondition) -> Option<message::Precondition> {
    let etags = |etags: &[String]| message::precondition::Etags { etags: etags.to_vec() };
    let condition = match precondition {
        Precondition::None => return None,
        Precondition::Absent => Condition::Absent(true),
        Precondition::Present => Condition::Present(true),
        Precondition::EtagIs(tags) => Condition::EtagIs(etags(tags)),
        Precondition::EtagIsNot(tags) => Condition::EtagIsNot(etags(tags)),
        Precondition::VersionIs(version) => Condition::VersionIs(id(version)),
    };
    Some(message::Precondition { condition: Some(condition) })
}

/// A condition.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`] for one that this program does not know: it must not be taken for none.
pub fn precondition(message: Option<message::Precondition>) -> Result<Precondition> {
    let Some(message) = message else { return Ok(Precondition::None) };
    Ok(match required(message.condition, "condition")? {
        Condition::Absent(_) => Precondition::Absent,
        Condition::Present(_) => Precondition::Present,
        Condition::EtagIs(tags) => Precondition::EtagIs(tags.etags),
        Condition::EtagIsNot(tags) => Precondition::EtagIsNot(tags.etags),
        Condition::VersionIs(version) => Precondition::VersionIs(version_id(&version)?),
    })
}

/// A head as a message.
pub fn head_message(head: &ObjectHead) -> message::ObjectHead {
    message::ObjectHead {
        key: head.key.as_str().to_owned(),
        version: id(head.version),
        size_bytes: head.size_bytes,
        etag: head.etag.clone(),
        modified_ms: head.modified.0,
        metadata: Some(metadata_message(&head.metadata)),
    }
}

/// A head.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn head(message: Option<message::ObjectHead>) -> Result<ObjectHead> {
    let message = required(message, "head of the object")?;
    Ok(ObjectHead {
        key: ObjectKey::new(message.key)?,
        version: version_id(&message.version)?,
        size_bytes: message.size_bytes,
        etag: message.etag,
        modified: Timestamp(message.modified_ms),
        metadata: metadata(message.metadata),
    })
}

/// An object as a message.
pub fn object_message(object: &Object) -> message::Object {
    message::Object { head: Some(head_message(&object.head)), manifest: Some(manifest_message(&object.manifest)) }
}

/// An object whose size is that of its manifest.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn object(message: Option<message::Object>) -> Result<Object> {
    let message = required(message, "object")?;
    let object = Object { head: head(message.head)?, manifest: manifest(message.manifest)? };
    if object.head.size_bytes != object.manifest.size_bytes() {
        return Err(Error::invalid("the size of the object is not that of its manifest"));
    }
    Ok(object)
}

/// Where a list begins, as a message.
pub fn start_message(start: ScanStart) -> Option<Start> {
    match start {
        ScanStart::First => None,
        ScanStart::After(text) => Some(Start::After(text)),
        ScanStart::From(text) => Some(Start::From(text)),
    }
}

/// Where a list begins.
pub fn start(message: Option<Start>) -> ScanStart {
    match message {
        None => ScanStart::First,
        Some(Start::After(text)) => ScanStart::After(text),
        Some(Start::From(text)) => ScanStart::From(text),
    }
}

/// A node and where it is, as a message.
pub fn node_message(view: &NodeView, address: String) -> message::NodeAddress {
    let domains = Level::ALL.into_iter().skip(1).map(|level| view.domains.at(level).to_owned()).collect();
    message::NodeAddress {
        node_id: id(view.id),
        address,
        domains,
        free_bytes: view.free_bytes,
        reachable: view.reachable,
        writable: view.writable,
    }
}

/// A node and where it is.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn node(message: message::NodeAddress) -> Result<(NodeView, String)> {
    let mut domains = message.domains.into_iter();
    let mut next = || domains.next().unwrap_or_default();
    let domains = Domains { host: next(), operator: next(), subnet: next(), region: next() };
    let view = NodeView {
        id: node_id(&message.node_id)?,
        domains,
        reachable: message.reachable,
        writable: message.writable,
        free_bytes: message.free_bytes,
    };
    Ok((view, message.address))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use cyxcloud_core::data::chunk;
    use cyxcloud_core::data::erasure::Scheme;
    use cyxcloud_core::id::{ChunkId, NodeId};

    use super::*;

    fn record() -> ChunkRecord {
        let scheme = Scheme::new(2, 1).unwrap();
        let roots: Vec<_> = (0..3).map(|n| ShardRoot([n; 32])).collect();
        let copies = (0..3).map(|shard| Copy { shard, node: NodeId([shard; 16]) }).collect();
        ChunkRecord { id: chunk::chunk_id(scheme, 1000, &roots), scheme, size_bytes: 1000, roots, copies }
    }

    #[test]
    fn everything_comes_back_as_it_went() {
        assert_eq!(super::chunk(Some(chunk_message(&record()))).unwrap(), record());
        let metadata = Metadata {
            headers: [("content-type".to_owned(), "a/b".to_owned())].into(),
            user: [("ü".to_owned(), String::new())].into(),
            system: Default::default(),
        };
        let chunks = vec![ChunkRef { id: ChunkId([5; 32]), size_bytes: 7 }];
        for content in [Content::Inline(Vec::new()), Content::Inline(vec![1, 2]), Content::Chunks(Vec::new()), Content::Chunks(chunks)] {
            let manifest = Manifest { content };
            let head = ObjectHead {
                key: ObjectKey::new("a/b c").unwrap(),
                version: VersionId([9; 16]),
                size_bytes: manifest.size_bytes(),
                etag: "tag".into(),
                modified: Timestamp(5),
                metadata: metadata.clone(),
            };
            let object = Object { head, manifest };
            assert_eq!(super::object(Some(object_message(&object))).unwrap(), object);
        }
        let conditions = [
            Precondition::None,
            Precondition::Absent,
            Precondition::Present,
            Precondition::EtagIs(vec!["a".into()]),
            Precondition::EtagIsNot(Vec::new()),
            Precondition::VersionIs(VersionId([1; 16])),
        ];
        for condition in conditions {
            assert_eq!(precondition(precondition_message(&condition)).unwrap(), condition);
        }
        let own = BucketSettings { scheme: Scheme::new(4, 2).ok(), chunk_size_bytes: Some(1 << 20), write_quorum: Some(5) };
        for some in [BucketSettings::default(), own, BucketSettings { write_quorum: None, ..own }] {
            assert_eq!(settings(Some(settings_message(&some))).unwrap(), some);
        }
        assert_eq!(settings(None).unwrap(), BucketSettings::default());
        assert!(settings(Some(message::BucketSettings { write_quorum: Some(300), ..settings_message(&own) })).is_err());
        assert!(settings(Some(message::BucketSettings { data_shards: None, ..settings_message(&own) })).is_err());
        let domains = Domains { host: "h".into(), operator: "o".into(), subnet: String::new(), region: "r".into() };
        let view = NodeView { id: NodeId([1; 16]), domains, reachable: true, writable: false, free_bytes: 9 };
        assert_eq!(node(node_message(&view, "a:1".into())).unwrap(), (view, "a:1".to_owned()));
    }

    #[test]
    fn nonsense_is_refused() {
        let mut forged = chunk_message(&record());
        forged.size_bytes += 1;
        assert!(super::chunk(Some(forged)).is_err());
        let mut short = chunk_message(&record());
        short.copies[0].node_id = Bytes::from_static(b"short");
        assert!(super::chunk(Some(short)).is_err() && super::chunk(None).is_err());
        assert!(precondition(Some(message::Precondition { condition: None })).is_err());
        assert!(manifest(Some(message::Manifest { content: None })).is_err());
    }
}
