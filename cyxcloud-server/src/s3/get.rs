//! GetObject and HeadObject.

use std::ops::Range;

use cyxcloud_sdk::core::port::{Object, ObjectHead};
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::dto::*;
use s3s::{S3Error, S3ErrorCode, S3Response};

use super::checksum::Sums;
use super::conditions::{ReadConditions, Verdict, if_range_holds};
use super::error::{S3Result, custom, invalid, missing, with};
use super::front::Caller;
use super::gateway::{Gateway, check_version};
use super::range::{Wanted, wanted};
use super::response::{fill_checksums, of_read, size, timestamp};
use super::{etag, stored};

/// The part of an object that a read answers.
struct Selection {
    /// The bytes.
    range: Range<u64>,
    /// Whether they are said to be a part: 206.
    partial: bool,
    /// How many parts the object has, when one was asked for.
    parts_count: Option<i32>,
}

/// What GetObject and HeadObject share.
struct Read {
    object: Object,
    selection: Selection,
    sums: Sums,
}

impl Gateway {
    /// GetObject
    pub(super) async fn get_object(&self, caller: Caller, input: GetObjectInput) -> S3Result<S3Response<GetObjectOutput>> {
        check_version(input.version_id.as_deref())?;
        let checksums = input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        let read = self.select(&caller, &input.bucket, &input.key, input.part_number, checksums).await?;
        let (head, range) = (&read.object.head, &read.selection.range);
        let length = range.end - range.start;
        let mut output = GetObjectOutput {
            accept_ranges: Some("bytes".into()),
            content_length: Some(size(length)),
            content_range: content_range(head, &read.selection),
            e_tag: Some(etag::answer(&head.etag)),
            last_modified: Some(timestamp(head.modified)),
            metadata: user_metadata(head),
            parts_count: read.selection.parts_count,
            ..GetObjectOutput::default()
        };
        fill_checksums!(output, &read.sums);
        output.checksum_type = checksum_type(head, &read.sums);
        let bytes = self.engine.read(&read.object.manifest, range.clone()).await.map_err(missing(S3ErrorCode::ServiceUnavailable))?;
        output.body = Some(of_read(bytes, length));
        let mut headers = stored::content_headers(&head.metadata);
        // s3s puts the overrides of a GET into the response itself, and what is given here would replace them.
        for name in response_overrides(&input) {
            headers.remove(name);
        }
        Ok(S3Response::with_headers(output, headers))
    }

    /// HeadObject
    pub(super) async fn head_object(&self, caller: Caller, input: HeadObjectInput) -> S3Result<S3Response<HeadObjectOutput>> {
        check_version(input.version_id.as_deref())?;
        let checksums = input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        let read = self.select(&caller, &input.bucket, &input.key, input.part_number, checksums).await?;
        let (head, range) = (&read.object.head, &read.selection.range);
        let mut output = HeadObjectOutput {
            accept_ranges: Some("bytes".into()),
            content_length: Some(size(range.end - range.start)),
            content_range: content_range(head, &read.selection),
            e_tag: Some(etag::answer(&head.etag)),
            last_modified: Some(timestamp(head.modified)),
            metadata: user_metadata(head),
            parts_count: read.selection.parts_count,
            ..HeadObjectOutput::default()
        };
        fill_checksums!(output, &read.sums);
        output.checksum_type = checksum_type(head, &read.sums);
        let mut headers = stored::content_headers(&head.metadata);
        override_headers(&mut headers, &input)?;
        let partial = read.selection.partial;
        let mut answer = S3Response::with_headers(output, headers);
        answer.status = partial.then_some(http::StatusCode::PARTIAL_CONTENT);
        Ok(answer)
    }

    /// Finds the object, judges the conditions, and selects what is asked for.
    async fn select(&self, caller: &Caller, bucket: &str, key: &str, part: Option<i32>, checksums: bool) -> S3Result<Read> {
        let (bucket, key) = self.bucket_and_key(caller, bucket, key).await?;
        let object = self.meta().object(bucket.id, &key).await.map_err(missing(S3ErrorCode::NoSuchKey))?;
        let head = &object.head;
        match ReadConditions::from_headers(&caller.headers, "").judge(&head.etag, head.modified) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Err(not_modified(head)),
            Verdict::Failed => {
                return Err(with(S3ErrorCode::PreconditionFailed, "At least one of the pre-conditions you specified did not hold"));
            }
        }
        let range = caller.headers.get("range").and_then(|v| v.to_str().ok());
        let range = range.filter(|_| if_range_holds(&caller.headers, &head.etag, head.modified));
        let selection = match (part, range) {
            (Some(_), Some(_)) => return Err(invalid("Cannot specify both Range header and partNumber query parameter")),
            (Some(number), None) => select_part(head, number)?,
            (None, Some(range)) => select_range(head, range)?,
            (None, None) => Selection { range: 0..head.size_bytes, partial: false, parts_count: None },
        };
        let whole = selection.range == (0..head.size_bytes);
        let sums = if checksums && whole { stored::sums(&head.metadata.system) } else { Sums::default() };
        Ok(Read { object, selection, sums })
    }
}

fn select_range(head: &ObjectHead, header: &str) -> S3Result<Selection> {
    match wanted(header, head.size_bytes) {
        Wanted::Whole => Ok(Selection { range: 0..head.size_bytes, partial: false, parts_count: None }),
        Wanted::Part(range) => Ok(Selection { range, partial: true, parts_count: None }),
        Wanted::Unsatisfiable => {
            let mut error = with(S3ErrorCode::InvalidRange, "The requested range is not satisfiable");
            let mut headers = xml_headers();
            if let Ok(value) = HeaderValue::try_from(format!("bytes */{}", head.size_bytes)) {
                headers.insert("content-range", value);
            }
            error.set_headers(headers);
            Err(error)
        }
    }
}

fn select_part(head: &ObjectHead, number: i32) -> S3Result<Selection> {
    let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1)).filter(|n| *n < 10_000);
    let index = index.ok_or_else(|| invalid("partNumber must be 1 to 10000"))?;
    let no_part = || custom("InvalidPartNumber", http::StatusCode::RANGE_NOT_SATISFIABLE, "The requested partnumber is not satisfiable");
    let Some(sizes) = stored::part_sizes(&head.metadata.system) else {
        // An object that was put in one piece is its own only part.
        let whole = Selection { range: 0..head.size_bytes, partial: head.size_bytes > 0, parts_count: None };
        return if index == 0 && (!head.etag.contains('-') || head.etag.ends_with("-1")) { Ok(whole) } else { Err(no_part()) };
    };
    let size_bytes = *sizes.get(index).ok_or_else(no_part)?;
    let start: u64 = sizes.iter().take(index).sum();
    let end = start.saturating_add(size_bytes).min(head.size_bytes);
    Ok(Selection { range: start.min(end)..end, partial: end > start, parts_count: i32::try_from(sizes.len()).ok() })
}

fn content_range(head: &ObjectHead, selection: &Selection) -> Option<String> {
    let Range { start, end } = selection.range;
    selection.partial.then(|| format!("bytes {start}-{}/{}", end.saturating_sub(1), head.size_bytes))
}

fn checksum_type(head: &ObjectHead, sums: &Sums) -> Option<ChecksumType> {
    let kind = stored::kind(&head.metadata.system).filter(|_| !sums.is_empty())?;
    Some(kind.name().to_owned().into())
}

fn user_metadata(head: &ObjectHead) -> Option<s3s::dto::Metadata> {
    let user = &head.metadata.user;
    (!user.is_empty()).then(|| user.iter().map(|(n, v)| (n.clone(), v.clone())).collect())
}

fn xml_headers() -> HeaderMap {
    HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("application/xml"))])
}

/// 304 carries what a cache needs to keep its copy.
fn not_modified(head: &ObjectHead) -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::NotModified);
    let mut headers = HeaderMap::new();
    let modified = std::time::UNIX_EPOCH + std::time::Duration::from_secs(head.modified.0 / 1000);
    let cached = stored::content_headers(&head.metadata);
    let kept = ["cache-control", "expires"].into_iter().filter_map(|n| Some((n, cached.get(n)?.to_str().ok()?.to_owned())));
    let own = [("etag", format!("\"{}\"", head.etag)), ("last-modified", httpdate::fmt_http_date(modified))];
    for (name, value) in own.into_iter().chain(kept) {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    error.set_headers(headers);
    error
}

/// The headers that the query of a GET overrides.
fn response_overrides(input: &GetObjectInput) -> impl Iterator<Item = &'static str> {
    [
        ("cache-control", input.response_cache_control.is_some()),
        ("content-disposition", input.response_content_disposition.is_some()),
        ("content-encoding", input.response_content_encoding.is_some()),
        ("content-language", input.response_content_language.is_some()),
        ("content-type", input.response_content_type.is_some()),
        ("expires", input.response_expires.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, overridden)| overridden.then_some(name))
}

/// Applies the overrides of a HEAD, which s3s leaves to us.
fn override_headers(headers: &mut HeaderMap, input: &HeadObjectInput) -> S3Result<()> {
    let expires = input.response_expires.clone().map(|time| {
        let time = std::time::SystemTime::from(time::OffsetDateTime::from(time));
        httpdate::fmt_http_date(time.max(std::time::UNIX_EPOCH))
    });
    for (name, value) in [
        ("cache-control", input.response_cache_control.clone()),
        ("content-disposition", input.response_content_disposition.clone()),
        ("content-encoding", input.response_content_encoding.clone()),
        ("content-language", input.response_content_language.clone()),
        ("content-type", input.response_content_type.clone()),
        ("expires", expires),
    ] {
        let Some(value) = value else { continue };
        let value = HeaderValue::try_from(value).map_err(|_| invalid(format!("response-{name} is not a header value")))?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(())
}
