//! What S3 keeps in an object's [`Metadata`]: content headers, user pairs, checksums, sizes of parts.

use std::collections::BTreeMap;

use cyxcloud_sdk::core::port::Metadata;
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::S3ErrorCode;

use super::checksum::{Algorithm, Sums};
use super::combine::Kind;
use super::error::{S3Result, invalid, with};

/// Content headers that are stored and given back.
pub(crate) const CONTENT_HEADERS: [&str; 6] =
    ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"];
/// Names and values of user metadata together.
pub(crate) const MAX_USER_BYTES: usize = 2 << 10;
/// Longest list of part sizes that is kept: lists carry the metadata of every object.
const MAX_PART_SIZES_BYTES: usize = 2 << 10;

const CHECKSUM_TYPE: &str = "checksum-type";
const UPLOAD_ALGORITHM: &str = "upload-checksum-algorithm";
const UPLOAD_KIND: &str = "upload-checksum-type";
const PART_SIZES: &str = "part-sizes";

/// The metadata a request brings; `user` as s3s decoded it.
pub(super) fn from_request(headers: &HeaderMap, user: Option<s3s::dto::Metadata>) -> S3Result<Metadata> {
    let mut metadata = Metadata { user: user.unwrap_or_default().into_iter().collect(), ..Metadata::default() };
    if metadata.user.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>() > MAX_USER_BYTES {
        return Err(with(S3ErrorCode::MetadataTooLarge, format!("Your metadata headers exceed the maximum of {MAX_USER_BYTES} bytes.")));
    }
    for name in CONTENT_HEADERS {
        let Some(value) = headers.get(name) else { continue };
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| invalid(format!("The header {name} is not UTF-8")))?;
        let text = if name == "content-encoding" { without_aws_chunked(text) } else { text.to_owned() };
        if !text.is_empty() {
            metadata.headers.insert(name.to_owned(), text);
        }
    }
    Ok(metadata)
}

/// `aws-chunked` says how the body travelled, not what it is.
fn without_aws_chunked(value: &str) -> String {
    let left: Vec<&str> = value.split(',').map(str::trim).filter(|v| !v.is_empty() && !v.eq_ignore_ascii_case("aws-chunked")).collect();
    left.join(",")
}

/// The stored content headers as a response has them.
pub(super) fn content_headers(metadata: &Metadata) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("binary/octet-stream"));
    for (name, value) in &metadata.headers {
        // Both were header parts when they were stored; anything else is not worth an error on every read.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Key of a checksum in [`Metadata::system`].
fn sum_key(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Crc32 => "checksum-crc32",
        Algorithm::Crc32c => "checksum-crc32c",
        Algorithm::Crc64Nvme => "checksum-crc64nvme",
        Algorithm::Sha1 => "checksum-sha1",
        Algorithm::Sha256 => "checksum-sha256",
    }
}

/// Stores checksums.
pub(super) fn put_sums(system: &mut BTreeMap<String, String>, sums: &Sums, kind: Kind) {
    for (algorithm, value) in sums {
        system.insert(sum_key(*algorithm).to_owned(), value.clone());
        system.insert(CHECKSUM_TYPE.to_owned(), kind.name().to_owned());
    }
}

/// Stores `sums` in place of all others.
pub(super) fn replace_sums(system: &mut BTreeMap<String, String>, sums: &Sums, kind: Kind) {
    Algorithm::ALL.into_iter().for_each(|algorithm| drop(system.remove(sum_key(algorithm))));
    put_sums(system, sums, kind);
}

/// The stored checksums.
pub(super) fn sums(system: &BTreeMap<String, String>) -> Sums {
    Algorithm::ALL.into_iter().filter_map(|a| Some((a, system.get(sum_key(a))?.clone()))).collect()
}

/// How the stored checksums were made.
pub(super) fn kind(system: &BTreeMap<String, String>) -> Option<Kind> {
    system.get(CHECKSUM_TYPE).and_then(|name| Kind::parse(name))
}

/// Remembers with an upload which checksum it is to have.
pub(super) fn put_upload_checksum(system: &mut BTreeMap<String, String>, algorithm: Algorithm, kind: Kind) {
    system.insert(UPLOAD_ALGORITHM.to_owned(), algorithm.name().to_owned());
    system.insert(UPLOAD_KIND.to_owned(), kind.name().to_owned());
}

/// The checksum an upload is to have.
pub(super) fn upload_checksum(system: &BTreeMap<String, String>) -> Option<(Algorithm, Kind)> {
    Some((Algorithm::parse(system.get(UPLOAD_ALGORITHM)?)?, Kind::parse(system.get(UPLOAD_KIND)?)?))
}

/// Stores the sizes of an object's parts as runs, `5242880*3,17`; leaves them out when they are too irregular to be short.
pub(super) fn put_part_sizes(system: &mut BTreeMap<String, String>, sizes: impl Iterator<Item = u64>) {
    let mut runs: Vec<(u64, usize)> = Vec::new();
    for size in sizes {
        match runs.last_mut() {
            Some((last, count)) if *last == size => *count += 1,
            _ => runs.push((size, 1)),
        }
    }
    let text: Vec<String> =
        runs.iter().map(|(size, count)| if *count == 1 { size.to_string() } else { format!("{size}*{count}") }).collect();
    let text = text.join(",");
    if text.len() <= MAX_PART_SIZES_BYTES {
        system.insert(PART_SIZES.to_owned(), text);
    }
}

/// The sizes of an object's parts, if they are known.
pub(super) fn part_sizes(system: &BTreeMap<String, String>) -> Option<Vec<u64>> {
    let mut sizes = Vec::new();
    for run in system.get(PART_SIZES)?.split(',') {
        let (size, count) = run.split_once('*').unwrap_or((run, "1"));
        let count = count.parse().ok().filter(|count| *count <= 10_000)?;
        sizes.extend(std::iter::repeat_n(size.parse::<u64>().ok()?, count));
    }
    Some(sizes)
}

/// What an upload's metadata become in the object.
pub(super) fn of_completed(mut metadata: Metadata) -> Metadata {
    metadata.system.remove(UPLOAD_ALGORITHM);
    metadata.system.remove(UPLOAD_KIND);
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_sizes_round_trip() {
        for sizes in [vec![0], vec![5, 5, 5, 2], vec![1, 2, 2, 1], vec![7; 10_000]] {
            let mut system = BTreeMap::new();
            put_part_sizes(&mut system, sizes.iter().copied());
            assert_eq!(part_sizes(&system).unwrap(), sizes);
        }
        let mut system = BTreeMap::new();
        put_part_sizes(&mut system, 0..10_000);
        assert_eq!(part_sizes(&system), None);
    }

    #[test]
    fn content_headers_come_back() {
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", "aws-chunked, gzip".parse().unwrap());
        headers.insert("content-disposition", HeaderValue::from_bytes("attachment; filename=\"ü.txt\"".as_bytes()).unwrap());
        headers.insert("expires", "never".parse().unwrap());
        let metadata = from_request(&headers, None).unwrap();
        assert_eq!(metadata.headers["content-encoding"], "gzip");
        let back = content_headers(&metadata);
        assert_eq!(back["content-disposition"], headers["content-disposition"]);
        assert_eq!((&back["expires"], &back["content-type"]), (&headers["expires"], &HeaderValue::from_static("binary/octet-stream")));
        headers.insert("content-encoding", "aws-chunked".parse().unwrap());
        assert!(!from_request(&headers, None).unwrap().headers.contains_key("content-encoding"));
    }

    #[test]
    fn user_metadata_are_bounded() {
        let user = |length| Some([("n".to_owned(), "v".repeat(length))].into_iter().collect());
        assert!(from_request(&HeaderMap::new(), user(MAX_USER_BYTES - 1)).is_ok());
        assert!(from_request(&HeaderMap::new(), user(MAX_USER_BYTES)).is_err());
    }

    #[test]
    fn checksums_round_trip() {
        let mut system = BTreeMap::new();
        let some: Sums = [(Algorithm::Crc32, "AAAAAA==".to_owned())].into_iter().collect();
        put_sums(&mut system, &some, Kind::Composite);
        assert_eq!((sums(&system), kind(&system)), (some, Some(Kind::Composite)));
        put_upload_checksum(&mut system, Algorithm::Sha1, Kind::Composite);
        assert_eq!(upload_checksum(&system), Some((Algorithm::Sha1, Kind::Composite)));
    }
}
