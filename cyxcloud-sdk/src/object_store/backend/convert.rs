//! Between the types of the crate and ours.

use chrono::{DateTime, Utc};

use super::api;
use crate::core::id::VersionId;
use crate::encryption::METADATA_NAME;
use crate::{Error, ErrorKind, Metadata, ObjectHead};
use api::path::Path;
use api::{Attribute, Attributes, ObjectMeta, Result, TagSet};

/// What errors call this store.
const STORE: &str = "CyxCloud";

/// Attributes that are content headers, by their HTTP names.
const HEADERS: [(Attribute, &str); 5] = [
    (Attribute::ContentDisposition, "content-disposition"),
    (Attribute::ContentEncoding, "content-encoding"),
    (Attribute::ContentLanguage, "content-language"),
    (Attribute::ContentType, "content-type"),
    (Attribute::CacheControl, "cache-control"),
];

/// Paths are keys as they are: whatever the path has encoded stays so.
pub(crate) fn key(location: &Path) -> &str {
    location.as_ref()
}

/// The path of a key; None for keys that no path says exactly.
pub(crate) fn path(key: &str) -> Option<Path> {
    Path::parse(key).ok().filter(|path| !key.is_empty() && path.as_ref() == key)
}

pub(crate) fn version_id(version: &str) -> Option<VersionId> {
    version.parse().ok()
}

/// An error of ours about `location`.
pub(crate) fn failed(location: &Path, error: Error) -> api::Error {
    let path = location.to_string();
    match error.kind() {
        ErrorKind::NotFound => api::Error::NotFound { path, source: error.into() },
        ErrorKind::AlreadyExists => api::Error::AlreadyExists { path, source: error.into() },
        ErrorKind::Precondition => api::Error::Precondition { path, source: error.into() },
        _ => api::Error::Generic { store: STORE, source: error.into() },
    }
}

/// The request is wrong.
pub(crate) fn invalid(why: impl Into<String>) -> api::Error {
    api::Error::Generic { store: STORE, source: Error::invalid(why).into() }
}

/// There is no such thing here.
pub(crate) fn unsupported(why: &str) -> api::Error {
    api::Error::NotSupported { source: Error::invalid(why).into() }
}

/// The id of the version: entity tags of S3 clients are the same for the same bytes, and an update by such a one could miss what came between.
pub(crate) fn e_tag(head: &ObjectHead) -> String {
    head.version.to_string()
}

pub(crate) fn meta(location: Path, head: &ObjectHead) -> ObjectMeta {
    // A time beyond what the calendar has cannot be told apart from the beginning of it.
    let since_epoch = i64::try_from(head.modified.0).ok().and_then(DateTime::<Utc>::from_timestamp_millis);
    ObjectMeta {
        location,
        last_modified: since_epoch.unwrap_or_default(),
        size: head.size_bytes,
        e_tag: Some(e_tag(head)),
        // It would promise that older ones can be read.
        version: None,
    }
}

/// What is stored with an object for its attributes.
pub(crate) fn metadata(attributes: &Attributes, tags: &TagSet) -> Result<Metadata> {
    if !tags.encoded().is_empty() {
        return Err(unsupported("objects have no tags here; use Attribute::Metadata"));
    }
    let mut metadata = Metadata::default();
    for (attribute, value) in attributes {
        let value = value.as_ref().to_owned();
        if let Some((_, header)) = HEADERS.iter().find(|(known, _)| known == attribute) {
            metadata.headers.insert((*header).to_owned(), value);
        } else if let Attribute::Metadata(name) = attribute {
            if name == METADATA_NAME {
                return Err(unsupported("the mark of encrypted objects is no attribute; use a bucket with a keyring"));
            }
            metadata.user.insert(name.clone().into_owned(), value);
        } else {
            return Err(unsupported("there is only one storage class"));
        }
    }
    Ok(metadata)
}

pub(crate) fn attributes(metadata: &Metadata) -> Attributes {
    let header = |(attribute, name): &(Attribute, &str)| Some((attribute.clone(), metadata.headers.get(*name)?.clone()));
    // The mark of encryption belongs to the stored bytes. Given out with readable ones it would come back with them, and they could not be read then.
    let user = metadata
        .user
        .iter()
        .filter(|(name, _)| *name != METADATA_NAME)
        .map(|(name, value)| (Attribute::Metadata(name.clone().into()), value.clone()));
    HEADERS.iter().filter_map(header).chain(user).collect()
}
