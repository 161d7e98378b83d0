//! Trouble below the lock rules: a store that does not answer. Owns the three-valued outcome: happened, did not happen, unknown.

use crate::ErrorCode;

/// A store could not do its work. The driver's own error is in `source`, boxed so that its type stays private.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct BackendError {
    kind: BackendErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl BackendError {
    /// An error of a kind, with what happened and what to do about it.
    #[must_use]
    pub fn new(kind: BackendErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Adds the error below.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of trouble.
    #[must_use]
    pub fn kind(&self) -> BackendErrorKind {
        self.kind
    }

    /// What happened and what to do about it, without the kind in front.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the change may have happened all the same. Ask again with the same request id; never guess.
    #[must_use]
    pub fn is_indeterminate(&self) -> bool {
        self.kind == BackendErrorKind::Indeterminate
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            BackendErrorKind::Unavailable | BackendErrorKind::Indeterminate | BackendErrorKind::Draining
        )
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self.kind {
            BackendErrorKind::Unavailable
            | BackendErrorKind::Indeterminate
            | BackendErrorKind::Draining
            | BackendErrorKind::Closed
            | BackendErrorKind::Internal => ErrorCode::Unavailable,
            BackendErrorKind::Full => ErrorCode::ResourceExhausted,
            BackendErrorKind::Corrupt => ErrorCode::Corrupt,
            BackendErrorKind::Denied => ErrorCode::Denied,
            BackendErrorKind::Invalid => ErrorCode::InvalidRequest,
        }
    }
}

/// Kinds of trouble. Small and closed, so that callers can decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackendErrorKind {
    /// Not reached: the change did not happen.
    Unavailable,
    /// Sent, but no answer: the change may or may not have happened.
    Indeterminate,
    /// Going down in good order; the change did not happen. Another replica, or this one later, will do it.
    Draining,
    /// The backend was closed by this process.
    Closed,
    /// No room left: disk, memory, map. The change did not happen.
    Full,
    /// Stored data or an answer makes no sense.
    Corrupt,
    /// Not allowed.
    Denied,
    /// A value that this backend does not take.
    Invalid,
    /// A defect of this software.
    Internal,
}

impl std::fmt::Display for BackendErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "store is not available",
            Self::Indeterminate => "outcome is unknown",
            Self::Draining => "service is draining",
            Self::Closed => "store is closed",
            Self::Full => "store is full",
            Self::Corrupt => "stored data is damaged",
            Self::Denied => "not allowed",
            Self::Invalid => "value is not accepted",
            Self::Internal => "internal error",
        })
    }
}
