//! What a direct client may put beside its bytes: what S3 clients may.

use cyxcloud_sdk::core::data::manifest::Manifest;
use cyxcloud_sdk::core::id::BucketName;
use cyxcloud_sdk::core::port::Metadata;
use cyxcloud_sdk::{Error, Policy, Result};

use crate::s3::{CONTENT_HEADERS, MAX_USER_BYTES, reserved_bucket_name};

const MAX_ETAG: usize = 128;
/// What chunks have on average at least, unless those of the cluster are smaller.
const LEAST_CHUNK_BYTES: u32 = 64 << 10;

/// A bucket name that is none of our own routes.
pub(super) fn bucket_name(name: BucketName) -> Result<BucketName> {
    if reserved_bucket_name(name.as_str()) { Err(Error::invalid(format!("the name {name} is reserved; choose another"))) } else { Ok(name) }
}

/// An entity tag that fits a header.
pub(super) fn etag(etag: String) -> Result<String> {
    let right = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if (1..=MAX_ETAG).contains(&etag.len()) && etag.bytes().all(right) {
        return Ok(etag);
    }
    Err(Error::invalid(format!("an entity tag has 1 to {MAX_ETAG} printable characters without quotes")))
}

/// Metadata that S3 clients can be given.
pub(super) fn metadata(metadata: Metadata) -> Result<Metadata> {
    if let Some(name) = metadata.headers.keys().find(|name| !CONTENT_HEADERS.contains(&name.as_str())) {
        return Err(Error::invalid(format!("{name} is not one of the content headers {CONTENT_HEADERS:?}")));
    }
    if let Some((name, _)) = metadata.headers.iter().find(|(_, value)| http::HeaderValue::from_str(value).is_err()) {
        return Err(Error::invalid(format!("the value of {name} does not fit a header")));
    }
    if let Some((name, _)) = metadata.user.iter().find(|(_, value)| value.chars().any(char::is_control)) {
        return Err(Error::invalid(format!("the value of {name} has control characters")));
    }
    let user_bytes: usize = metadata.user.iter().map(|(name, value)| name.len() + value.len()).sum();
    if user_bytes > MAX_USER_BYTES {
        return Err(Error::invalid(format!("user metadata have at most {MAX_USER_BYTES} bytes, not {user_bytes}")));
    }
    let token = |name: &String| !name.is_empty() && http::HeaderName::try_from(name.as_str()).is_ok() && name.to_lowercase() == *name;
    if let Some(name) = metadata.user.keys().find(|name| !token(name)) {
        return Err(Error::invalid(format!("{name:?} is no name of user metadata: lower case, as a header has it")));
    }
    if !metadata.system.is_empty() {
        return Err(Error::invalid("system metadata are the gateway's own"));
    }
    Ok(metadata)
}

/// A list of chunks that are not tiny: very many of them would cost little quota and much memory, here and in the metadata store, whenever it is looked at.
pub(super) fn compact(manifest: &Manifest, policy: &Policy) -> Result<()> {
    let least_bytes = u64::from(LEAST_CHUNK_BYTES.min(policy.chunk_size_bytes));
    if manifest.chunks().len() as u64 <= manifest.size_bytes() / least_bytes + 1 {
        return Ok(());
    }
    Err(Error::invalid(format!("all chunks but the last must have {least_bytes} bytes on average")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn with(headers: &[(&str, &str)], user: &[(&str, &str)]) -> Metadata {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Metadata { headers: map(headers), user: map(user), ..Metadata::default() }
    }

    #[test]
    fn only_what_an_s3_answer_can_carry_is_taken() {
        metadata(with(&[("content-type", "text/plain")], &[("author", "Zoë")])).unwrap();
        for bad in [
            with(&[("set-cookie", "x")], &[]),
            with(&[("content-type", "a\nb")], &[]),
            with(&[], &[("Author", "x")]),
            with(&[], &[("a b", "x")]),
            with(&[], &[("a", "b\r\nc")]),
            with(&[], &[("a", &"x".repeat(MAX_USER_BYTES))]),
        ] {
            assert!(metadata(bad.clone()).is_err(), "{bad:?}");
        }
        assert!(metadata(Metadata { system: [("md5".to_owned(), String::new())].into(), ..Metadata::default() }).is_err());
        for bad in ["", "a\"b", "a b", "ü", &"x".repeat(MAX_ETAG + 1)] {
            assert!(etag(bad.into()).is_err(), "{bad:?}");
        }
        assert!(bucket_name(BucketName::new("health").unwrap()).is_err() && bucket_name(BucketName::new("photos").unwrap()).is_ok());
    }
}
