//! What a request claims about its signature, from the `Authorization` header or from the query of a presigned URL.

use cyxcloud_sdk::core::Timestamp;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use s3s::{S3Error, S3ErrorCode};

use super::error::{S3Result, invalid, with};
use super::query::Query;
use super::sigv4::Scope;

/// The only algorithm that is understood.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A claim, parsed but not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Public half of the key.
    pub(super) access_key_id: String,
    /// When and where it was signed.
    pub(super) scope: Scope,
    /// Service in the credential.
    pub(super) service: String,
    /// Lower-case names of the signed headers, in order.
    pub(super) signed_headers: Vec<String>,
    /// Hex signature.
    pub(super) signature: String,
    /// How long a presigned URL is valid; None for the header.
    pub(super) expires_seconds: Option<u64>,
}

impl Claim {
    /// Finds the claim of a request. Anonymous requests, other signature versions and two claims at once are errors.
    pub(super) fn find(headers: &HeaderMap, query: &Query) -> S3Result<Self> {
        let mut authorizations = headers.get_all(AUTHORIZATION).iter();
        let header = authorizations.next();
        if authorizations.next().is_some() {
            return Err(invalid("Only one Authorization header is allowed"));
        }
        let presigned = query.has("X-Amz-Signature") || query.has("X-Amz-Algorithm");
        if query.has("AWSAccessKeyId") && query.has("Signature") {
            return Err(unsupported_signature());
        }
        match (header, presigned) {
            (Some(_), true) => Err(invalid("Only one auth mechanism allowed; use the Authorization header or the X-Amz-Signature query")),
            (Some(value), false) => Self::from_header(value.to_str().unwrap_or(""), headers),
            (None, true) => Self::from_query(query),
            (None, false) => Err(with(S3ErrorCode::AccessDenied, "Anonymous access is not allowed; sign the request")),
        }
    }

    fn from_header(value: &str, headers: &HeaderMap) -> S3Result<Self> {
        let malformed =
            |what: &str| with(S3ErrorCode::AuthorizationHeaderMalformed, format!("The authorization header is malformed; {what}"));
        let fields = match value.split_once(char::is_whitespace) {
            Some((ALGORITHM, fields)) => fields,
            Some((scheme, _)) if scheme == "AWS" || scheme.starts_with("AWS4-") => return Err(unsupported_signature()),
            _ => return Err(invalid("Unsupported Authorization Type")),
        };
        let field = |name: &str| {
            let found = fields.split(',').find_map(|f| f.trim().strip_prefix(name)?.strip_prefix('='));
            found.filter(|v| !v.is_empty()).ok_or_else(|| malformed(&format!("{name} is missing")))
        };
        let (access_key_id, date, region, service) =
            credential(field("Credential")?).ok_or_else(|| malformed("Credential is not key/date/region/service/aws4_request"))?;
        let timestamp = headers.get("x-amz-date").and_then(|v| v.to_str().ok());
        let timestamp = timestamp.filter(|t| parse_timestamp(t).is_some());
        let timestamp =
            timestamp.ok_or_else(|| with(S3ErrorCode::AccessDenied, "AWS authentication requires a valid x-amz-date header"))?;
        Ok(Self {
            access_key_id,
            scope: Scope { timestamp: timestamp.to_owned(), date, region },
            service,
            signed_headers: names(field("SignedHeaders")?),
            signature: field("Signature")?.to_owned(),
            expires_seconds: None,
        })
    }

    fn from_query(query: &Query) -> S3Result<Self> {
        let wrong = |what: String| with(S3ErrorCode::AuthorizationQueryParametersError, what);
        let field = |name: &str| query.get(name).filter(|v| !v.is_empty()).ok_or_else(|| wrong(format!("{name} is missing")));
        match field("X-Amz-Algorithm")? {
            ALGORITHM => {}
            other => return Err(wrong(format!("X-Amz-Algorithm only supports {ALGORITHM}, not {other}"))),
        }
        let (access_key_id, date, region, service) = credential(field("X-Amz-Credential")?)
            .ok_or_else(|| wrong("X-Amz-Credential is not key/date/region/service/aws4_request".into()))?;
        let timestamp = field("X-Amz-Date")?;
        if parse_timestamp(timestamp).is_none() {
            return Err(wrong("X-Amz-Date must be in the ISO8601 form yyyyMMdd'T'HHmmss'Z'".into()));
        }
        let expires = field("X-Amz-Expires")?.parse::<u64>().ok().filter(|s| (1..=MAX_EXPIRES_SECONDS).contains(s));
        let expires = expires
            .ok_or_else(|| wrong(format!("X-Amz-Expires must be a number of seconds between 1 and {MAX_EXPIRES_SECONDS} (one week)")))?;
        Ok(Self {
            access_key_id,
            scope: Scope { timestamp: timestamp.to_owned(), date, region },
            service,
            signed_headers: names(field("X-Amz-SignedHeaders")?),
            signature: field("X-Amz-Signature")?.to_owned(),
            expires_seconds: Some(expires),
        })
    }

    /// When it was signed.
    pub(super) fn signed_at(&self) -> Timestamp {
        parse_timestamp(&self.scope.timestamp).expect("checked when the claim was parsed")
    }
}

/// A week.
const MAX_EXPIRES_SECONDS: u64 = 7 * 24 * 3600;

fn unsupported_signature() -> S3Error {
    let message = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
    with(S3ErrorCode::InvalidRequest, message)
}

/// Key id, date, region and service of a credential. The key id is what is left, so that it may contain a slash.
fn credential(text: &str) -> Option<(String, String, String, String)> {
    let mut parts = text.rsplitn(5, '/');
    let (end, service, region, date, key) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let whole = end == "aws4_request" && !key.is_empty();
    whole.then(|| (key.to_owned(), date.to_owned(), region.to_owned(), service.to_owned()))
}

fn names(text: &str) -> Vec<String> {
    text.split(';').map(|name| name.trim().to_ascii_lowercase()).collect()
}

/// `20130524T000000Z` as a time.
fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 16 && bytes[8] == b'T' && bytes[15] == b'Z';
    if !shaped || !bytes.iter().enumerate().all(|(i, b)| matches!(i, 8 | 15) || b.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u16>().ok();
    let small = |from, to| number(from, to).and_then(|n| u8::try_from(n).ok());
    let month = time::Month::try_from(small(4, 6)?).ok()?;
    let date = time::Date::from_calendar_date(i32::from(number(0, 4)?), month, small(6, 8)?).ok()?;
    let time = date.with_hms(small(9, 11)?, small(11, 13)?, small(13, 15)?).ok()?;
    u64::try_from(time.assume_utc().unix_timestamp()).ok().map(|s| Timestamp(s * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(headers: &[(&'static str, &str)], query: &str) -> Result<Claim, String> {
        let headers: HeaderMap = headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        Claim::find(&headers, &Query::parse(query).unwrap()).map_err(|e| e.code().as_str().to_owned())
    }

    #[test]
    fn both_forms_are_read() {
        let header = "AWS4-HMAC-SHA256 Credential=A/B/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-date, Signature=ab";
        let claim = find(&[("authorization", header), ("x-amz-date", "20130524T000000Z")], "").unwrap();
        assert_eq!((claim.access_key_id.as_str(), claim.signature.as_str()), ("A/B", "ab"));
        assert_eq!(claim.signed_headers, ["host", "x-amz-date"]);
        assert_eq!(claim.signed_at(), Timestamp(1_369_353_600_000));
        let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20130524%2Fx%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z\
                     &X-Amz-SignedHeaders=host&X-Amz-Signature=ab&X-Amz-Expires=";
        assert_eq!(find(&[], &format!("{query}604800")).unwrap().expires_seconds, Some(604_800));
        for bad in ["604801", "0", "-1", "x", ""] {
            assert_eq!(find(&[], &format!("{query}{bad}")).unwrap_err(), "AuthorizationQueryParametersError", "{bad}");
        }
    }

    #[test]
    fn what_is_not_sigv4_is_refused() {
        let of = |value| find(&[("authorization", value)], "").unwrap_err();
        assert_eq!(of("AWS key:signature"), "InvalidRequest");
        assert_eq!(of("AWS4-ECDSA-P256-SHA256 Credential=x"), "InvalidRequest");
        assert_eq!(of("AWS4-HMAC-SHA512 Credential=x"), "InvalidRequest");
        assert_eq!(of("Bearer x"), "InvalidArgument");
        assert_eq!(of("AWS4-HMAC-SHA256 Credential=A"), "AuthorizationHeaderMalformed");
        assert_eq!(find(&[], "AWSAccessKeyId=a&Signature=b&Expires=1").unwrap_err(), "InvalidRequest");
        assert_eq!(find(&[], "").unwrap_err(), "AccessDenied");
        let mut two = HeaderMap::new();
        two.append(AUTHORIZATION, "AWS4-HMAC-SHA256 x".parse().unwrap());
        two.append(AUTHORIZATION, "AWS4-HMAC-SHA256 y".parse().unwrap());
        assert_eq!(Claim::find(&two, &Query::default()).unwrap_err().code().as_str(), "InvalidArgument");
        assert_eq!(find(&[("authorization", "AWS4-HMAC-SHA256 x")], "X-Amz-Signature=a").unwrap_err(), "InvalidArgument");
    }

    #[test]
    fn timestamps_are_strict() {
        for bad in ["", "20130524", "20131324T000000Z", "20130524T250000Z", "2013-05-24T00:00Z", "20130524T0000+1Z", "２013052T000000Z"] {
            assert_eq!(parse_timestamp(bad), None, "{bad}");
        }
    }
}
