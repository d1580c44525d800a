//! ListObjectVersions as a bucket answers it that was never versioned: every object is its only version, `null`.

use cyxcloud_sdk::core::port::ObjectHead;
use s3s::S3Response;
use s3s::dto::*;

use super::error::S3Result;
use super::etag;
use super::front::Caller;
use super::gateway::Gateway;
use super::listing::{Names, Page, page_size, start_after};
use super::response::{owner, size, timestamp};

impl Gateway {
    /// ListObjectVersions
    pub(super) async fn list_object_versions(
        &self,
        caller: Caller,
        input: ListObjectVersionsInput,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let bucket = self.bucket(&caller, &input.bucket).await?;
        let names = Names::new(input.encoding_type.as_ref())?;
        let max_keys = page_size(input.max_keys, "max-keys")?;
        let (prefix, delimiter) = (input.prefix.as_deref(), input.delimiter.as_deref());
        let start = start_after(input.key_marker.as_deref());
        let listing = self.page(bucket.id, &Page { prefix, delimiter, start, max_keys }).await?;
        let owner = owner(caller.account);
        let last_is_key = listing.objects.last().is_some_and(|o| o.key.as_str() == listing.last);
        let output = ListObjectVersionsOutput {
            name: Some(input.bucket),
            max_keys: Some(max_keys),
            is_truncated: Some(listing.truncated),
            next_key_marker: listing.truncated.then(|| names.show(listing.last)),
            next_version_id_marker: (listing.truncated && last_is_key).then(|| "null".to_owned()),
            versions: Some(listing.objects.into_iter().map(|o| version(o, names, owner.clone())).collect()),
            common_prefixes: names.prefixes(listing.prefixes),
            prefix: Some(names.show(input.prefix.unwrap_or_default())),
            key_marker: Some(names.show(input.key_marker.unwrap_or_default())),
            version_id_marker: input.version_id_marker,
            delimiter: input.delimiter.map(|d| names.show(d)),
            encoding_type: input.encoding_type,
            ..ListObjectVersionsOutput::default()
        };
        Ok(S3Response::new(output))
    }
}

fn version(object: ObjectHead, names: Names, owner: Owner) -> ObjectVersion {
    ObjectVersion {
        e_tag: Some(etag::answer(&object.etag)),
        is_latest: Some(true),
        key: Some(names.show(object.key.as_str())),
        last_modified: Some(timestamp(object.modified)),
        owner: Some(owner),
        size: Some(size(object.size_bytes)),
        storage_class: Some(ObjectVersionStorageClass::from_static(ObjectVersionStorageClass::STANDARD)),
        version_id: Some("null".into()),
        ..ObjectVersion::default()
    }
}
