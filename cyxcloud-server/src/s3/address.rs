//! Which bucket and key a request names: path style, virtual-host style and the `/s3` mount all become one path-style path.

use s3s::S3ErrorCode;

use super::error::{S3Result, with};
use super::gateway::bucket_name;
use super::query::{decode_path, encode};

/// The path under which S3 is served beside the root.
pub(super) const MOUNT: &str = "/s3";

/// The path-style path, percent-encoded anew, of a request for `path` at `host`.
///
/// `bucket.domain/key` becomes `/bucket/key`; `/s3/bucket/key` becomes `/bucket/key` unless the host already names a bucket. No
/// bucket can be called `s3`: names have three characters or more. The path is decoded first and encoded again, because all its
/// spellings have one signature and so must mean one thing.
pub(super) fn path_style(host: Option<&str>, path: &str, domains: &[String]) -> S3Result<String> {
    let invalid = || with(S3ErrorCode::InvalidURI, "Couldn't parse the specified URI.");
    let path = decode_path(path).filter(|path| path.starts_with('/')).ok_or_else(invalid)?;
    if let Some(bucket) = host.and_then(|h| host_bucket(h, domains)) {
        // Checked here, so that nothing in a host can be taken for more than a bucket.
        return Ok(format!("/{}{}", bucket_name(&bucket)?, encode(&path, false)));
    }
    let path = match path.strip_prefix(MOUNT) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => &path,
    };
    Ok(encode(path, false))
}

/// The bucket in a virtual-host style `Host`: what stands before the longest of our domains.
fn host_bucket(host: &str, domains: &[String]) -> Option<String> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.to_ascii_lowercase();
    // One of our domains may lie below another.
    if domains.contains(&name) {
        return None;
    }
    let buckets = domains.iter().filter_map(|domain| name.strip_suffix(domain.as_str())?.strip_suffix('.'));
    buckets.filter(|bucket| !bucket.is_empty()).min_by_key(|bucket| bucket.len()).map(str::to_owned)
}

/// Bucket and key parts of a path-style path, as encoded; both empty for the root.
pub(super) fn split(path: &str) -> (&str, &str) {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split_once('/').unwrap_or((path, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_becomes_path_style() {
        let domains = ["localhost".to_owned(), "example.com".to_owned(), "s3.example.com".to_owned()];
        let at = |host, path| path_style(Some(host), path, &domains).unwrap();
        assert_eq!(at("localhost:8080", "/b/k"), "/b/k");
        assert_eq!(at("localhost", "/s3/b/k"), "/b/k");
        assert_eq!(at("localhost", "/s3"), "/");
        assert_eq!(at("localhost", "/s3/"), "/");
        assert_eq!(at("localhost", "/s3x/k"), "/s3x/k");
        assert_eq!(at("photos.localhost:8080", "/s3/k"), "/photos/s3/k");
        assert_eq!(at("Photos.S3.example.com", "/"), "/photos/");
        assert_eq!(at("a.b.localhost", "/k"), "/a.b/k");
        assert_eq!(at("127.0.0.1:8080", "/b/k"), "/b/k");
        assert_eq!(at("[::1]:8080", "/b//k"), "/b//k");
        assert_eq!(at("notlocalhost", "/b"), "/b");
        assert_eq!(at("s3.example.com", "/bucket/k"), "/bucket/k");
        assert_eq!(at("localhost", "/s3%2Fb%2fk+%2B"), "/b/k%2B%2B");
        assert_eq!(path_style(None, "/b", &domains).unwrap(), "/b");
        for (host, path) in
            [("localhost", "/b/%zz"), ("localhost", "/b/%ff"), ("localhost", "*"), ("localhost", ""), ("a_b.localhost", "/k")]
        {
            assert!(path_style(Some(host), path, &domains).is_err(), "{host}{path}");
        }
    }

    #[test]
    fn paths_split_once() {
        assert_eq!(split("/"), ("", ""));
        assert_eq!(split("/b"), ("b", ""));
        assert_eq!(split("/b/"), ("b", ""));
        assert_eq!(split("/b//k"), ("b", "/k"));
    }
}
