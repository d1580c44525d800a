//! Who sends a request: verifies its signature over the path and headers the client signed, before anything is rewritten.

use std::sync::Arc;

use cyxcloud_sdk::core::Timestamp;
use cyxcloud_sdk::core::id::AccountId;
use http::{HeaderMap, Method};
use s3s::S3ErrorCode;

use super::Keys;
use super::chunked::{ChunkDecoder, Signing};
use super::claim::Claim;
use super::error::{S3Result, invalid, missing, not_implemented, usual, with};
use super::payload::Proof;
use super::query::Query;
use super::sigv4::{Signed, Signer};

/// How far the clocks of client and server may differ.
const MAX_SKEW_MS: u64 = 15 * 60_000;

/// Headers that may be there without being signed: the first two are bound otherwise, the third says nothing.
const MAY_BE_UNSIGNED: [&str; 3] = ["x-amz-content-sha256", "x-amz-date", "x-amz-user-agent"];

/// A request as it came.
pub(super) struct Inbound<'a> {
    /// Its method.
    pub(super) method: &'a Method,
    /// Its path, still encoded and with the prefix it was sent to.
    pub(super) path: &'a str,
    /// Its query.
    pub(super) query: &'a Query,
    /// Its headers, `host` among them.
    pub(super) headers: &'a HeaderMap,
}

/// A request whose signature holds.
pub(super) struct Verified {
    /// Whose key signed it.
    pub(super) account: AccountId,
    /// How its body proves itself.
    pub(super) proof: Proof,
    /// Whether the body is aws-chunked, so that `x-amz-decoded-content-length` has its size.
    pub(super) chunked: bool,
}

/// Verifies the signature of `request` in `region` at `now`.
pub(super) async fn verify(request: &Inbound<'_>, keys: &Arc<dyn Keys>, region: &str, now: Timestamp) -> S3Result<Verified> {
    let claim = Claim::find(request.headers, request.query)?;
    check_scope(&claim, region)?;
    check_time(&claim, now)?;
    check_signed_headers(&claim, request.headers)?;
    let payload = payload_claim(&claim, request)?;
    let key = keys.lookup(&claim.access_key_id).await.map_err(missing(S3ErrorCode::InvalidAccessKeyId))?;
    let key = key.ok_or_else(|| usual(S3ErrorCode::InvalidAccessKeyId))?;
    let signer = Signer::new(&key.secret, claim.scope.clone());
    let signed = Signed {
        method: request.method,
        path: request.path,
        query: request.query,
        headers: request.headers,
        signed_headers: &claim.signed_headers,
        payload,
    };
    if !signed.canonical_requests().iter().any(|canonical| signer.verify_request(canonical, &claim.signature)) {
        let message = "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
        return Err(with(S3ErrorCode::SignatureDoesNotMatch, message));
    }
    let (proof, chunked) = proof(payload, &claim, signer)?;
    Ok(Verified { account: key.account, proof, chunked })
}

fn check_scope(claim: &Claim, region: &str) -> S3Result<()> {
    let presigned = claim.expires_seconds.is_some();
    let (code, what) = if presigned {
        (S3ErrorCode::AuthorizationQueryParametersError, "Error parsing the X-Amz-Credential parameter")
    } else {
        (S3ErrorCode::AuthorizationHeaderMalformed, "The authorization header is malformed")
    };
    let scope = &claim.scope;
    if scope.region != region {
        return Err(with(code, format!("{what}; the region '{}' is wrong; expecting '{region}'", scope.region)));
    }
    if claim.service != "s3" {
        return Err(with(code, format!("{what}; incorrect service '{}'; this endpoint belongs to 's3'", claim.service)));
    }
    if !scope.timestamp.starts_with(&scope.date) || scope.date.len() != 8 {
        return Err(with(code, format!("{what}; the date of the credential is not the date of the request")));
    }
    Ok(())
}

fn check_time(claim: &Claim, now: Timestamp) -> S3Result<()> {
    let signed = claim.signed_at();
    let skewed = || with(S3ErrorCode::RequestTimeTooSkewed, "The difference between the request time and the server's time is too large.");
    if signed > now.plus_ms(MAX_SKEW_MS) {
        return Err(skewed());
    }
    match claim.expires_seconds {
        Some(seconds) if signed.plus_ms(seconds * 1000) < now => Err(with(S3ErrorCode::AccessDenied, "Request has expired")),
        None if signed.plus_ms(MAX_SKEW_MS) < now => Err(skewed()),
        _ => Ok(()),
    }
}

/// Every header that can change the meaning of the request must be signed, and every header said to be signed must be there.
fn check_signed_headers(claim: &Claim, headers: &HeaderMap) -> S3Result<()> {
    let signed = |name: &str| claim.signed_headers.iter().any(|n| n == name);
    if !signed("host") {
        return Err(with(S3ErrorCode::AccessDenied, "The host header must be signed"));
    }
    if let Some(name) = claim.signed_headers.iter().find(|n| !headers.contains_key(n.as_str())) {
        return Err(with(S3ErrorCode::SignatureDoesNotMatch, format!("The signed header {name} is not in the request")));
    }
    let unsigned = headers.keys().map(|n| n.as_str());
    match unsigned.filter(|n| n.starts_with("x-amz-")).find(|n| !signed(n) && !MAY_BE_UNSIGNED.contains(n)) {
        Some(name) => {
            Err(with(S3ErrorCode::AccessDenied, format!("There were headers present in the request which were not signed: {name}")))
        }
        None => Ok(()),
    }
}

/// The payload hash that stands in the canonical request.
fn payload_claim<'a>(claim: &Claim, request: &Inbound<'a>) -> S3Result<&'a str> {
    let header = request.headers.get("x-amz-content-sha256").map(|v| v.to_str().unwrap_or(""));
    match (header, claim.expires_seconds) {
        (Some(value), None) => Ok(value),
        (None, None) => Err(with(S3ErrorCode::InvalidRequest, "Missing required header for this request: x-amz-content-sha256")),
        (Some(value), Some(_)) if claim.signed_headers.iter().any(|n| n == "x-amz-content-sha256") => Ok(value),
        (_, Some(_)) => Ok(request.query.get("X-Amz-Content-Sha256").unwrap_or("UNSIGNED-PAYLOAD")),
    }
}

fn proof(payload: &str, claim: &Claim, signer: Signer) -> S3Result<(Proof, bool)> {
    let signing = |trailer| Some(Signing::new(signer, claim.signature.clone(), trailer));
    let decoder = match payload {
        "UNSIGNED-PAYLOAD" => return Ok((Proof::Length, false)),
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => ChunkDecoder::new(None),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => ChunkDecoder::new(signing(false)),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => ChunkDecoder::new(signing(true)),
        other if other.starts_with("STREAMING-") => return Err(not_implemented(other)),
        other => {
            let hash = hex::decode(other).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            let message = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING- value or a valid sha256 value.";
            return Ok((Proof::Sha256(hash.ok_or_else(|| invalid(message))?), false));
        }
    };
    if claim.expires_seconds.is_some() {
        return Err(not_implemented("An aws-chunked body with a presigned URL"));
    }
    Ok((Proof::Chunked(Box::new(decoder)), true))
}

/// Bytes of the body before any encoding, as the headers declare them.
pub(super) fn declared_length(headers: &HeaderMap, chunked: bool) -> S3Result<Option<u64>> {
    let name = if chunked { "x-amz-decoded-content-length" } else { "content-length" };
    let Some(value) = headers.get(name) else { return Ok(None) };
    let number = value.to_str().ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit())).and_then(|t| t.parse().ok());
    number.map(Some).ok_or_else(|| invalid(format!("{name} is not a number of bytes")))
}

/// The `host` that HTTP/2 carries as `:authority` becomes a header, because it is signed as one.
pub(super) fn insert_host(headers: &mut HeaderMap, authority: Option<&http::uri::Authority>) -> S3Result<()> {
    if let (false, Some(authority)) = (headers.contains_key(http::header::HOST), authority) {
        let value = http::HeaderValue::from_str(authority.as_str()).map_err(|_| invalid("The authority is not a host name"))?;
        headers.insert(http::header::HOST, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sigv4::Scope;
    use super::*;

    fn claim() -> Claim {
        Claim {
            access_key_id: "k".into(),
            scope: Scope { timestamp: "20130524T000000Z".into(), date: "20130524".into(), region: "r".into() },
            service: "s3".into(),
            signed_headers: vec!["host".into()],
            signature: "ab".into(),
            expires_seconds: None,
        }
    }

    fn code<T>(result: S3Result<T>) -> String {
        result.err().map(|e| e.code().as_str().to_owned()).unwrap_or_default()
    }

    #[test]
    fn scope_and_time_are_policed() {
        let good = claim();
        assert_eq!(code(check_scope(&good, "r")), "");
        assert_eq!(code(check_scope(&good, "other")), "AuthorizationHeaderMalformed");
        let presigned = Claim { expires_seconds: Some(3600), ..claim() };
        assert_eq!(code(check_scope(&presigned, "other")), "AuthorizationQueryParametersError");
        let now = good.signed_at();
        assert_eq!(code(check_time(&good, now.plus_ms(MAX_SKEW_MS))), "");
        assert_eq!(code(check_time(&good, now.plus_ms(MAX_SKEW_MS + 1))), "RequestTimeTooSkewed");
        assert_eq!(code(check_time(&good, now.minus_ms(MAX_SKEW_MS + 1))), "RequestTimeTooSkewed");
        assert_eq!(code(check_time(&presigned, now.plus_ms(3_600_000))), "");
        assert_eq!(code(check_time(&presigned, now.plus_ms(3_600_001))), "AccessDenied");
    }

    #[test]
    fn headers_with_meaning_must_be_signed() {
        let map = |names: &[&'static str]| names.iter().map(|n| (n.parse().unwrap(), "x".parse().unwrap())).collect::<HeaderMap>();
        assert_eq!(code(check_signed_headers(&claim(), &map(&["host", "x-amz-date", "range"]))), "");
        assert_eq!(code(check_signed_headers(&claim(), &map(&["host", "x-amz-copy-source"]))), "AccessDenied");
        assert_eq!(code(check_signed_headers(&claim(), &map(&["x-amz-date"]))), "SignatureDoesNotMatch");
        let hostless = Claim { signed_headers: vec!["x-amz-date".into()], ..claim() };
        assert_eq!(code(check_signed_headers(&hostless, &map(&["host", "x-amz-date"]))), "AccessDenied");
    }

    #[test]
    fn payload_claims_become_proofs() {
        let signer = || Signer::new("secret", claim().scope);
        assert!(matches!(proof("UNSIGNED-PAYLOAD", &claim(), signer()), Ok((Proof::Length, false))));
        assert!(matches!(proof(&"0".repeat(64), &claim(), signer()), Ok((Proof::Sha256(_), false))));
        assert!(matches!(proof("STREAMING-UNSIGNED-PAYLOAD-TRAILER", &claim(), signer()), Ok((Proof::Chunked(_), true))));
        assert_eq!(code(proof("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", &claim(), signer())), "NotImplemented");
        assert_eq!(code(proof("nonsense", &claim(), signer())), "InvalidArgument");
    }
}
