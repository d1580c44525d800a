//! ListObjects, both versions.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cyxcloud_sdk::core::engine::{ListQuery, Listing};
use cyxcloud_sdk::core::id::BucketId;
use cyxcloud_sdk::core::port::{ObjectHead, ScanStart};
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Response};

use super::error::{S3Result, invalid, missing};
use super::front::Caller;
use super::gateway::Gateway;
use super::response::{owner, size, timestamp};
use super::{etag, query, stored};

/// Entries in one page.
const MAX_KEYS: i32 = 1000;

/// How names are shown: as they are, or percent-encoded because XML cannot hold every character a key may have.
#[derive(Clone, Copy)]
pub(super) struct Names {
    encode: bool,
}

impl Names {
    /// Reads `encoding-type`.
    pub(super) fn new(encoding: Option<&EncodingType>) -> S3Result<Self> {
        match encoding.map(EncodingType::as_str) {
            None | Some("") => Ok(Self { encode: false }),
            Some(EncodingType::URL) => Ok(Self { encode: true }),
            Some(_) => Err(invalid("Invalid Encoding Method specified in Request")),
        }
    }

    /// Shows `name`.
    pub(super) fn show(self, name: impl Into<String>) -> String {
        let name = name.into();
        if self.encode { query::encode(&name, false) } else { name }
    }

    /// Shows common prefixes.
    pub(super) fn prefixes(self, prefixes: Vec<String>) -> Option<Vec<CommonPrefix>> {
        let shown = prefixes.into_iter().map(|p| CommonPrefix { prefix: Some(self.show(p)) });
        Some(shown.collect::<Vec<_>>()).filter(|p| !p.is_empty())
    }
}

/// A page of a bucket.
pub(super) struct Page<'a> {
    pub(super) prefix: Option<&'a str>,
    pub(super) delimiter: Option<&'a str>,
    pub(super) start: ScanStart,
    pub(super) max_keys: i32,
}

/// `max-keys` and its kin: at most 1000, never negative.
pub(super) fn page_size(asked: Option<i32>, name: &str) -> S3Result<i32> {
    match asked {
        None => Ok(MAX_KEYS),
        Some(n) if n >= 0 => Ok(n.min(MAX_KEYS)),
        Some(_) => Err(invalid(format!("Argument {name} must be an integer between 0 and 2147483647"))),
    }
}

/// Where the page after `marker` begins. The engine knows that a marker which is a common prefix stands for all keys under it.
pub(super) fn start_after(marker: Option<&str>) -> ScanStart {
    marker.filter(|m| !m.is_empty()).map_or(ScanStart::First, |m| ScanStart::After(m.to_owned()))
}

impl Gateway {
    /// One page.
    pub(super) async fn page(&self, bucket: BucketId, page: &Page<'_>) -> S3Result<Listing> {
        let query = ListQuery {
            prefix: page.prefix.unwrap_or("").to_owned(),
            delimiter: page.delimiter.filter(|d| !d.is_empty()).map(str::to_owned),
            start: page.start.clone(),
            limit: usize::try_from(page.max_keys).unwrap_or(0),
        };
        self.engine.list(bucket, query).await.map_err(missing(S3ErrorCode::NoSuchBucket))
    }

    /// ListObjects
    pub(super) async fn list_objects(&self, caller: Caller, input: ListObjectsInput) -> S3Result<S3Response<ListObjectsOutput>> {
        let bucket = self.bucket(&caller, &input.bucket).await?;
        let names = Names::new(input.encoding_type.as_ref())?;
        let max_keys = page_size(input.max_keys, "max-keys")?;
        let (prefix, delimiter) = (input.prefix.as_deref(), input.delimiter.as_deref());
        let start = start_after(input.marker.as_deref());
        let listing = self.page(bucket.id, &Page { prefix, delimiter, start, max_keys }).await?;
        let output = ListObjectsOutput {
            name: Some(input.bucket),
            max_keys: Some(max_keys),
            is_truncated: Some(listing.truncated),
            // S3 gives it with a delimiter only; without one the last key says the same, and giving it helps.
            next_marker: listing.truncated.then(|| names.show(listing.last)),
            contents: Some(listing.objects.into_iter().map(|o| shown(o, names, Some(owner(caller.account)))).collect()),
            common_prefixes: names.prefixes(listing.prefixes),
            prefix: Some(names.show(input.prefix.unwrap_or_default())),
            marker: Some(names.show(input.marker.unwrap_or_default())),
            delimiter: input.delimiter.map(|d| names.show(d)),
            encoding_type: input.encoding_type,
            ..ListObjectsOutput::default()
        };
        Ok(S3Response::new(output))
    }

    /// ListObjectsV2
    pub(super) async fn list_objects_v2(&self, caller: Caller, input: ListObjectsV2Input) -> S3Result<S3Response<ListObjectsV2Output>> {
        let bucket = self.bucket(&caller, &input.bucket).await?;
        let names = Names::new(input.encoding_type.as_ref())?;
        let max_keys = page_size(input.max_keys, "max-keys")?;
        let (prefix, delimiter) = (input.prefix.as_deref(), input.delimiter.as_deref());
        let start = match input.continuation_token.as_deref() {
            Some(token) => start_after(Some(&read_token(token)?)),
            None => start_after(input.start_after.as_deref()),
        };
        let listing = self.page(bucket.id, &Page { prefix, delimiter, start, max_keys }).await?;
        let owner = input.fetch_owner.unwrap_or(false).then(|| owner(caller.account));
        let count = listing.objects.len() + listing.prefixes.len();
        let output = ListObjectsV2Output {
            name: Some(input.bucket),
            max_keys: Some(max_keys),
            key_count: i32::try_from(count).ok(),
            is_truncated: Some(listing.truncated),
            next_continuation_token: listing.truncated.then(|| token(&listing.last)),
            contents: Some(listing.objects.into_iter().map(|o| shown(o, names, owner.clone())).collect()),
            common_prefixes: names.prefixes(listing.prefixes),
            prefix: Some(names.show(input.prefix.unwrap_or_default())),
            delimiter: input.delimiter.map(|d| names.show(d)),
            start_after: input.start_after.map(|s| names.show(s)),
            continuation_token: input.continuation_token,
            encoding_type: input.encoding_type,
            ..ListObjectsV2Output::default()
        };
        Ok(S3Response::new(output))
    }
}

/// A continuation token: versioned, and opaque so that nobody builds one.
fn token(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("1{last}"))
}

fn read_token(token: &str) -> S3Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let last = bytes.and_then(|text| text.strip_prefix('1').map(str::to_owned));
    last.ok_or_else(|| invalid("The continuation token provided is incorrect"))
}

fn shown(object: ObjectHead, names: Names, owner: Option<Owner>) -> Object {
    let algorithms = stored::sums(&object.metadata.system).into_keys().map(|a| a.name().to_owned().into());
    let algorithms: Vec<ChecksumAlgorithm> = algorithms.collect();
    Object {
        checksum_type: stored::kind(&object.metadata.system).map(|k| k.name().to_owned().into()),
        checksum_algorithm: (!algorithms.is_empty()).then_some(algorithms),
        e_tag: Some(etag::answer(&object.etag)),
        key: Some(names.show(object.key.as_str())),
        last_modified: Some(timestamp(object.modified)),
        owner,
        size: Some(size(object.size_bytes)),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..Object::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip() {
        for key in ["", "a", " +%/🙂"] {
            assert_eq!(read_token(&token(key)).unwrap(), key);
        }
        assert!(read_token("a").is_err() && read_token("%%%").is_err() && read_token("").is_err());
    }

    #[test]
    fn names_are_encoded_on_request() {
        let url = EncodingType::from_static(EncodingType::URL);
        assert_eq!(Names::new(Some(&url)).unwrap().show("a b/+"), "a%20b/%2B");
        assert!(Names::new(Some(&EncodingType::from_static("x"))).is_err());
    }
}
