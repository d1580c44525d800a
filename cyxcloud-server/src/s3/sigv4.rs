//! AWS Signature Version 4: the arithmetic, without any policy.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method};
use sha2::{Digest, Sha256};

use super::query::{Query, decode, encode};

/// SHA-256 of nothing, in hex.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// HMAC-SHA-256.
fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    mac(key, data).finalize().into_bytes().into()
}

fn mac(key: &[u8], data: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    mac
}

/// When and where a signature is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// `20130524T000000Z`, of the request.
    pub(super) timestamp: String,
    /// `20130524`, of the credential.
    pub(super) date: String,
    /// The region.
    pub(super) region: String,
}

impl Scope {
    fn text(&self) -> String {
        format!("{}/{}/s3/aws4_request", self.date, self.region)
    }
}

/// What signs and verifies in one scope.
#[derive(Clone)]
pub(super) struct Signer {
    key: [u8; 32],
    scope: Scope,
}

impl Signer {
    /// The signer of `secret` in `scope`.
    pub(super) fn new(secret: &str, scope: Scope) -> Self {
        let date = hmac(format!("AWS4{secret}").as_bytes(), scope.date.as_bytes());
        let region = hmac(&date, scope.region.as_bytes());
        let service = hmac(&region, b"s3");
        Self { key: hmac(&service, b"aws4_request"), scope }
    }

    /// Whether `signature` (hex) is that of the canonical request, in constant time.
    pub(super) fn verify_request(&self, canonical_request: &[u8], signature: &str) -> bool {
        let hash = hex::encode(Sha256::digest(canonical_request));
        self.verify("AWS4-HMAC-SHA256", &hash, signature)
    }

    /// Whether `signature` is that of a chunk with this hash that follows the signature `previous`.
    pub(super) fn verify_chunk(&self, previous: &str, chunk_sha256: &[u8], signature: &str) -> bool {
        let rest = format!("{previous}\n{EMPTY_SHA256}\n{}", hex::encode(chunk_sha256));
        self.verify("AWS4-HMAC-SHA256-PAYLOAD", &rest, signature)
    }

    /// Whether `signature` is that of the trailer in canonical form that follows the signature `previous`.
    pub(super) fn verify_trailer(&self, previous: &str, canonical_trailer: &[u8], signature: &str) -> bool {
        let rest = format!("{previous}\n{}", hex::encode(Sha256::digest(canonical_trailer)));
        self.verify("AWS4-HMAC-SHA256-TRAILER", &rest, signature)
    }

    fn verify(&self, algorithm: &str, rest: &str, signature: &str) -> bool {
        let text = format!("{algorithm}\n{}\n{}\n{rest}", self.scope.timestamp, self.scope.text());
        match hex::decode(signature) {
            Ok(bytes) => mac(&self.key, text.as_bytes()).verify_slice(&bytes).is_ok(),
            Err(_) => false,
        }
    }

    #[cfg(test)]
    pub(super) fn sign_request(&self, canonical_request: &[u8]) -> String {
        let hash = hex::encode(Sha256::digest(canonical_request));
        let text = format!("AWS4-HMAC-SHA256\n{}\n{}\n{hash}", self.scope.timestamp, self.scope.text());
        hex::encode(hmac(&self.key, text.as_bytes()))
    }
}

/// The parts of a request that are signed.
pub(super) struct Signed<'a> {
    /// The method.
    pub(super) method: &'a Method,
    /// The path as it came, before anything was stripped.
    pub(super) path: &'a str,
    /// The query.
    pub(super) query: &'a Query,
    /// The headers, `host` among them.
    pub(super) headers: &'a HeaderMap,
    /// Lower-case names of the signed headers in the order of the claim.
    pub(super) signed_headers: &'a [String],
    /// `x-amz-content-sha256` or what stands for it.
    pub(super) payload: &'a str,
}

impl Signed<'_> {
    /// The canonical requests that a client may have signed: over the path encoded the way SigV4 says, and, when that differs, over the
    /// path as it was sent, because some clients sign that.
    pub(super) fn canonical_requests(&self) -> Vec<Vec<u8>> {
        let encoded = decode(self.path, false).map(|path| encode(&path, false));
        let mut paths: Vec<&str> = encoded.as_deref().into_iter().collect();
        if encoded.as_deref() != Some(self.path) {
            paths.push(self.path);
        }
        paths.into_iter().map(|path| self.canonical_request(path)).collect()
    }

    fn canonical_request(&self, path: &str) -> Vec<u8> {
        let mut out = format!("{}\n{path}\n{}\n", self.method, self.query.canonical()).into_bytes();
        for name in self.signed_headers {
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            for (i, value) in self.headers.get_all(name).iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                push_trimmed(&mut out, value.as_bytes());
            }
            out.push(b'\n');
        }
        out.push(b'\n');
        out.extend_from_slice(self.signed_headers.join(";").as_bytes());
        out.push(b'\n');
        out.extend_from_slice(self.payload.as_bytes());
        out
    }
}

/// Appends `value` without surrounding blanks and with single blanks inside.
fn push_trimmed(out: &mut Vec<u8>, value: &[u8]) {
    let words = value.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
    for (i, word) in words.enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Secret of every example in the AWS documentation.
    pub(in crate::s3) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    /// Scope of every example in the AWS documentation.
    pub(in crate::s3) fn scope() -> Scope {
        Scope { timestamp: "20130524T000000Z".into(), date: "20130524".into(), region: "us-east-1".into() }
    }

    fn sign(method: Method, path: &str, query: &str, headers: &[(&'static str, &str)], payload: &str) -> String {
        let map: HeaderMap = headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        let names: Vec<String> = headers.iter().map(|(n, _)| (*n).to_owned()).collect();
        let query = Query::parse(query).unwrap();
        let signed = Signed { method: &method, path, query: &query, headers: &map, signed_headers: &names, payload };
        Signer::new(SECRET, scope()).sign_request(&signed.canonical_requests()[0])
    }

    #[test]
    fn the_examples_of_the_aws_documentation() {
        let host = ("host", "examplebucket.s3.amazonaws.com");
        let date = ("x-amz-date", "20130524T000000Z");
        let sha = ("x-amz-content-sha256", EMPTY_SHA256);
        assert_eq!(
            sign(Method::GET, "/test.txt", "", &[host, ("range", "bytes=0-9"), sha, date], EMPTY_SHA256),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let body = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        let put = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            host,
            ("x-amz-content-sha256", body),
            date,
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ];
        assert_eq!(
            sign(Method::PUT, "/test%24file.text", "", &put, body),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
        assert_eq!(
            sign(Method::GET, "/", "lifecycle", &[host, sha, date], EMPTY_SHA256),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        assert_eq!(
            sign(Method::GET, "/", "max-keys=2&prefix=J", &[host, sha, date], EMPTY_SHA256),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
        let presigned = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
                         &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=ignored";
        assert_eq!(
            sign(Method::GET, "/test.txt", presigned, &[host], "UNSIGNED-PAYLOAD"),
            "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn raw_paths_are_tried_too() {
        let query = Query::default();
        let headers = HeaderMap::new();
        let signed = Signed { method: &Method::GET, path: "/b/a+b", query: &query, headers: &headers, signed_headers: &[], payload: "" };
        let both = signed.canonical_requests();
        assert!(both[0].starts_with(b"GET\n/b/a%2Bb\n") && both[1].starts_with(b"GET\n/b/a+b\n"));
    }

    #[test]
    fn blanks_are_squeezed() {
        let mut out = Vec::new();
        push_trimmed(&mut out, b"  a  b\t c ");
        assert_eq!(out, b"a b c");
    }
}
