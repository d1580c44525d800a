//! Which bucket and key a request names: path style, virtual-host style and the `/s3` mount all become one path-style path.

/// The path under which S3 is served beside the root.
pub(super) const MOUNT: &str = "/s3";

/// The path-style path (still percent-encoded) of a request for `path` at `host`.
///
/// `bucket.domain/key` becomes `/bucket/key`; `/s3/bucket/key` becomes `/bucket/key` unless the host already names a bucket. No
/// bucket can be called `s3`: names have three characters or more.
pub(super) fn path_style(host: Option<&str>, path: &str, domains: &[String]) -> String {
    if let Some(bucket) = host.and_then(|h| host_bucket(h, domains)) {
        return format!("/{bucket}{path}");
    }
    match path.strip_prefix(MOUNT) {
        Some("") => "/".to_owned(),
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        _ => path.to_owned(),
    }
}

/// The bucket in a virtual-host style `Host`, if it is one below a domain of ours.
fn host_bucket(host: &str, domains: &[String]) -> Option<String> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.to_ascii_lowercase();
    domains.iter().find_map(|domain| {
        let bucket = name.strip_suffix(domain.as_str())?.strip_suffix('.')?;
        (!bucket.is_empty()).then(|| bucket.to_owned())
    })
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
        let domains = ["localhost".to_owned(), "s3.example.com".to_owned()];
        let at = |host, path| path_style(Some(host), path, &domains);
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
        assert_eq!(path_style(None, "/b", &domains), "/b");
    }

    #[test]
    fn paths_split_once() {
        assert_eq!(split("/"), ("", ""));
        assert_eq!(split("/b"), ("b", ""));
        assert_eq!(split("/b/"), ("b", ""));
        assert_eq!(split("/b//k"), ("b", "/k"));
    }
}
