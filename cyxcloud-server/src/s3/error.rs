//! Errors as S3 clients read them.

use std::error::Error as _;

use cyxcloud_sdk::core::{Error, ErrorKind};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use s3s::{S3Error, S3ErrorCode};

use crate::rate_limit::TooMany;

/// Result of everything behind the S3 seam.
pub(super) type S3Result<T> = Result<T, S3Error>;

/// What is wrong with the body a client sends. It travels as the error of the body stream through the engine and back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    /// Fewer bytes than declared, or the connection broke.
    #[error("the body ended after {received} of {declared} bytes")]
    Incomplete {
        /// Bytes that came.
        received: u64,
        /// Bytes that were announced.
        declared: u64,
    },
    /// The connection broke.
    #[error("the body could not be read: {0}")]
    Broken(String),
    /// More bytes than declared.
    #[error("the body has more than the {declared} bytes declared")]
    TooLong {
        /// Bytes that were announced.
        declared: u64,
    },
    /// The body does not follow the aws-chunked format.
    #[error("the aws-chunked body is malformed: {0}")]
    Malformed(&'static str),
    /// The signature of a chunk or of the trailer is wrong.
    #[error("the signature of a chunk does not match")]
    ChunkSignature,
    /// The body does not hash to `x-amz-content-sha256`.
    #[error("the body does not match x-amz-content-sha256")]
    Sha256,
    /// The body does not match a checksum or `Content-MD5`.
    #[error("the {0} you specified does not match what was received")]
    Digest(&'static str),
    /// The trailer that was announced is missing or not understood.
    #[error("the trailer is malformed: {0}")]
    Trailer(&'static str),
}

impl From<BodyError> for S3Error {
    fn from(error: BodyError) -> Self {
        let message = error.to_string();
        match error {
            BodyError::Incomplete { .. } | BodyError::Broken(_) | BodyError::TooLong { .. } => with(S3ErrorCode::IncompleteBody, message),
            BodyError::Malformed(_) => with(S3ErrorCode::IncompleteBody, message),
            BodyError::ChunkSignature => with(S3ErrorCode::SignatureDoesNotMatch, message),
            BodyError::Sha256 => custom("XAmzContentSHA256Mismatch", StatusCode::BAD_REQUEST, message),
            BodyError::Digest(_) => with(S3ErrorCode::BadDigest, message),
            BodyError::Trailer(_) => custom("MalformedTrailerError", StatusCode::BAD_REQUEST, message),
        }
    }
}

/// An error with a message.
pub(super) fn with(code: S3ErrorCode, message: impl Into<String>) -> S3Error {
    S3Error::with_message(code, message.into())
}

/// An error whose code s3s does not know.
pub(super) fn custom(code: &'static str, status: StatusCode, message: impl Into<String>) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message.into());
    error.set_status_code(status);
    error
}

/// A 503 that says when to come again.
pub(super) fn slow_down(too_many: TooMany) -> S3Error {
    let mut error = with(S3ErrorCode::SlowDown, "Please reduce your request rate.");
    error.set_headers([(RETRY_AFTER, HeaderValue::from(too_many.retry_after_seconds))].into_iter().collect());
    error
}

/// A 501 that says what is missing.
pub(super) fn not_implemented(what: &str) -> S3Error {
    with(S3ErrorCode::NotImplemented, format!("{what} is not implemented"))
}

/// An InvalidArgument.
pub(super) fn invalid(message: impl Into<String>) -> S3Error {
    with(S3ErrorCode::InvalidArgument, message)
}

/// An error of the engine; `missing` is the code for what it did not find.
pub(super) fn from_engine(error: &Error, missing: &S3ErrorCode) -> S3Error {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::Invalid => invalid(message),
        ErrorKind::NotFound => with(missing.clone(), usual_message(missing).unwrap_or(&message)),
        ErrorKind::AlreadyExists => usual(S3ErrorCode::BucketAlreadyExists),
        ErrorKind::NotEmpty => usual(S3ErrorCode::BucketNotEmpty),
        ErrorKind::Precondition => with(S3ErrorCode::PreconditionFailed, "At least one of the preconditions you specified did not hold."),
        ErrorKind::Conflict => with(S3ErrorCode::OperationAborted, message),
        ErrorKind::Unavailable | ErrorKind::Full | ErrorKind::Corrupt => with(S3ErrorCode::ServiceUnavailable, message),
        ErrorKind::Quota => custom("QuotaExceeded", StatusCode::FORBIDDEN, message),
        ErrorKind::Body => from_body(error, message),
        _ => internal(error),
    }
}

/// What AWS says; people search for it.
fn usual_message(code: &S3ErrorCode) -> Option<&'static str> {
    Some(match *code {
        S3ErrorCode::NoSuchKey => "The specified key does not exist.",
        S3ErrorCode::NoSuchBucket => "The specified bucket does not exist",
        S3ErrorCode::NoSuchUpload => {
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
        }
        S3ErrorCode::BucketAlreadyExists => {
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a \
             different name and try again."
        }
        S3ErrorCode::BucketNotEmpty => "The bucket you tried to delete is not empty",
        S3ErrorCode::InvalidAccessKeyId => "The AWS Access Key Id you provided does not exist in our records.",
        _ => return None,
    })
}

/// An error with the message AWS gives it.
pub(super) fn usual(code: S3ErrorCode) -> S3Error {
    match usual_message(&code) {
        Some(message) => with(code, message),
        None => S3Error::new(code),
    }
}

/// The body's own error: the client's, or, where an object is copied, that of reading the source.
fn from_body(error: &Error, message: String) -> S3Error {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(body) = error.downcast_ref::<BodyError>() {
            return body.clone().into();
        }
        if let Some(read) = error.downcast_ref::<Error>() {
            return from_engine(read, &S3ErrorCode::ServiceUnavailable);
        }
        cause = error.source();
    }
    with(S3ErrorCode::IncompleteBody, message)
}

/// A defect: the log has the story, the client an id to ask with.
pub(super) fn internal(error: &dyn std::fmt::Debug) -> S3Error {
    tracing::error!(?error, "internal error in an S3 request");
    with(S3ErrorCode::InternalError, "We encountered an internal error. Please try again.")
}

/// Shorthand for the conversions of one operation: `engine.call().await.map_err(missing(NoSuchKey))`.
pub(super) fn missing(code: S3ErrorCode) -> impl Fn(Error) -> S3Error {
    move |error| from_engine(&error, &code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_error_comes_back_out_of_the_engine() {
        let error = Error::body("the body failed").with_source(BodyError::Digest("CRC32"));
        assert_eq!(from_engine(&error, &S3ErrorCode::NoSuchKey).code(), &S3ErrorCode::BadDigest);
        let error = Error::body("the body failed").with_source(BodyError::ChunkSignature);
        assert_eq!(from_engine(&error, &S3ErrorCode::NoSuchKey).status_code(), Some(StatusCode::FORBIDDEN));
        let error = Error::body("the body failed").with_source(BodyError::Sha256);
        assert_eq!(from_engine(&error, &S3ErrorCode::NoSuchKey).status_code(), Some(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn kinds_have_their_status() {
        let status = |error: Error| from_engine(&error, &S3ErrorCode::NoSuchKey).status_code().unwrap().as_u16();
        assert_eq!(status(Error::invalid("x")), 400);
        assert_eq!(status(Error::not_found("x")), 404);
        assert_eq!(status(Error::precondition("x")), 412);
        assert_eq!(status(Error::conflict("x")), 409);
        assert_eq!(status(Error::quota("x")), 403);
        for error in [Error::unavailable("x"), Error::full("x"), Error::corrupt("x")] {
            assert_eq!(status(error), 503);
        }
        assert_eq!(status(Error::internal("x")), 500);
    }
}
