//! One error type with few kinds; the kind tells the caller what to do next.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// Result of every fallible operation of CyxCloud.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is wrong; change it. Nothing was stored.
    Invalid,
    /// The named bucket, object, upload or shard does not exist.
    NotFound,
    /// The name is taken; choose another or use what is there.
    AlreadyExists,
    /// A bucket still holds objects; delete them first.
    NotEmpty,
    /// The caller's condition (`If-Match`, `If-None-Match`) does not hold; read again and decide.
    Precondition,
    /// Somebody else won a race or a lease ran out; nothing was stored, the whole operation may be tried again.
    Conflict,
    /// Too few nodes or no metadata store right now; try again later.
    Unavailable,
    /// No space left where it is needed; add space, or try again later.
    Full,
    /// The account's quota does not allow as much; delete something, or have the quota raised. Nothing became visible.
    Quota,
    /// Bytes failed verification; they were not used.
    Corrupt,
    /// The body the caller streamed in failed; its own error is the [`source`](StdError::source).
    Body,
    /// A defect or a broken machine; report it.
    Internal,
}

/// An error with its [`ErrorKind`], a message for people and, where there is one, the cause.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A new error without a cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with `source` as its cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// What the caller should do next.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),* $(,)?) => {
        impl Error {
            $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Self { Self::new(ErrorKind::$kind, message) })*
        }
    };
}

constructors! {
    /// An [`ErrorKind::Invalid`].
    invalid => Invalid,
    /// An [`ErrorKind::NotFound`].
    not_found => NotFound,
    /// An [`ErrorKind::AlreadyExists`].
    already_exists => AlreadyExists,
    /// An [`ErrorKind::NotEmpty`].
    not_empty => NotEmpty,
    /// An [`ErrorKind::Precondition`].
    precondition => Precondition,
    /// An [`ErrorKind::Conflict`].
    conflict => Conflict,
    /// An [`ErrorKind::Unavailable`].
    unavailable => Unavailable,
    /// An [`ErrorKind::Full`].
    full => Full,
    /// An [`ErrorKind::Quota`].
    quota => Quota,
    /// An [`ErrorKind::Corrupt`].
    corrupt => Corrupt,
    /// An [`ErrorKind::Body`].
    body => Body,
    /// An [`ErrorKind::Internal`].
    internal => Internal,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        if let Some(source) = &self.source {
            write!(f, " (cause: {source})")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|s| &**s as &(dyn StdError + 'static))
    }
}
