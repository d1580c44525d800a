//! Features that are not there, refused before anything is read or done: what a client asked for is never silently left out.

use http::{HeaderMap, Method};
use s3s::S3ErrorCode;

use super::error::{S3Result, invalid, not_implemented, with};
use super::query::Query;

/// Sub-resources of buckets and objects in S3 that are not served. The protocol library ignores some of them, which would turn a request
/// for a policy into the creation of a bucket.
const SUBRESOURCES: [&str; 38] = [
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "attributes",
    "cors",
    "encryption",
    "events",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "updateObjectEncryption",
    "website",
    "append",
    "soft-delete",
];

/// Sub-resources that are served, and the methods they have.
const METHODS: [(&str, &[Method]); 5] = [
    ("delete", &[Method::POST]),
    ("location", &[Method::GET]),
    ("uploadId", &[Method::GET, Method::PUT, Method::POST, Method::DELETE]),
    ("uploads", &[Method::GET, Method::POST]),
    ("versions", &[Method::GET]),
];

/// Headers that ask for features that are not served.
const HEADERS: [&str; 13] = [
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-context",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
    "x-amz-security-token",
];

/// Access control lists that say what holds anyway: the owner has it all.
const OWNER_ONLY_ACLS: [&str; 3] = ["private", "bucket-owner-full-control", "bucket-owner-read"];

/// Refuses a request for something that is not there.
pub(super) fn check(method: &Method, query: &Query, headers: &HeaderMap) -> S3Result<()> {
    if let Some(name) = SUBRESOURCES.into_iter().find(|name| query.has(name)) {
        return Err(not_implemented(&format!("The sub-resource ?{name}")));
    }
    check_method(method, query)?;
    if query.has("versioning") && method != Method::GET {
        return Err(not_implemented("Changing the versioning of a bucket"));
    }
    if *method == Method::PUT && query.has("partNumber") != query.has("uploadId") {
        return Err(invalid("partNumber and uploadId belong together"));
    }
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    if let Some(name) = HEADERS.into_iter().find(|name| headers.contains_key(*name)) {
        return Err(not_implemented(&format!("The header {name}")));
    }
    if headers.keys().any(|name| name.as_str().starts_with("x-amz-grant-")) {
        return Err(not_implemented("Granting access with x-amz-grant-*"));
    }
    if let Some(acl) = text("x-amz-acl").filter(|acl| !OWNER_ONLY_ACLS.contains(acl)) {
        return Err(not_implemented(&format!("The access control list {acl}")));
    }
    if text("x-amz-bucket-object-lock-enabled").is_some_and(|v| !v.eq_ignore_ascii_case("false")) {
        return Err(not_implemented("Object lock"));
    }
    if let Some(class) = text("x-amz-storage-class").filter(|class| *class != "STANDARD") {
        return Err(with(S3ErrorCode::InvalidStorageClass, format!("The storage class {class} is not available; STANDARD is")));
    }
    Ok(())
}

/// Refuses the methods that a sub-resource does not have, which the protocol library would carry out on the bucket or object itself.
fn check_method(method: &Method, query: &Query) -> S3Result<()> {
    let wrong = METHODS.iter().find(|(name, methods)| query.has(name) && !methods.contains(method));
    wrong.map_or(Ok(()), |(name, _)| {
        let message = format!("The specified method is not allowed against this resource: {method} ?{name}");
        Err(with(S3ErrorCode::MethodNotAllowed, message))
    })
}

/// A browser's form upload: its signature is in the body, which is therefore not even read.
pub(super) fn is_form_upload(method: &Method, key: &str, headers: &HeaderMap) -> bool {
    let form = |v: &http::HeaderValue| v.as_bytes().to_ascii_lowercase().starts_with(b"multipart/form-data");
    *method == Method::POST && key.is_empty() && headers.get(http::header::CONTENT_TYPE).is_some_and(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(method: Method, query: &str, headers: &[(&'static str, &str)]) -> String {
        let headers = headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        check(&method, &Query::parse(query).unwrap(), &headers).err().map(|e| e.code().as_str().to_owned()).unwrap_or_default()
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(code(Method::PUT, "x-id=PutObject", &[("x-amz-acl", "private"), ("x-amz-storage-class", "STANDARD")]), "");
        assert_eq!(code(Method::GET, "versioning", &[]), "");
        assert_eq!(code(Method::GET, "tagging", &[]), "NotImplemented");
        assert_eq!(code(Method::DELETE, "location", &[]), "MethodNotAllowed");
        assert_eq!(code(Method::POST, "uploads", &[]), "");
        assert_eq!(code(Method::PUT, "tagging", &[]), "NotImplemented");
        assert_eq!(code(Method::PUT, "versioning", &[]), "NotImplemented");
        assert_eq!(code(Method::PUT, "abac", &[]), "NotImplemented");
        assert_eq!(code(Method::PUT, "partNumber=1", &[]), "InvalidArgument");
        assert_eq!(code(Method::PUT, "", &[("x-amz-acl", "public-read")]), "NotImplemented");
        assert_eq!(code(Method::PUT, "", &[("x-amz-storage-class", "GLACIER")]), "InvalidStorageClass");
        assert_eq!(code(Method::PUT, "", &[("x-amz-tagging", "a=b")]), "NotImplemented");
    }
}
