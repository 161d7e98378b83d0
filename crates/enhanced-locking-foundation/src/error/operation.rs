//! One error enum per operation of the backend port. Owns which refusals an operation knows.

use crate::{BackendError, Ended, ErrorCode, FencingToken, RequestId, ResourceKey, ValueError};

/// An acquire that was refused. That somebody else holds the lock is an outcome, not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// The line is full.
    #[error(
        "{waiting} requests wait already {scope}, at most {limit} may; try again later or raise the limit"
    )]
    QueueFull {
        /// Which line: "for this key", "for this owner", "in all".
        scope: &'static str,
        /// How many wait.
        waiting: usize,
        /// How many may.
        limit: usize,
    },
    /// A limit of the store other than the line.
    #[error("the store has {limit} {what} already, which is its limit; release some or raise the limit")]
    LimitReached {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// The owner holds the lock shared, or waits to, and asks for it exclusive.
    #[error("the owner has this key shared and asks for it exclusive; release it first")]
    Upgrade,
    /// The request id names another request.
    #[error("request id {id} was used for another request; use a fresh id for every request")]
    IdReused {
        /// The id.
        id: RequestId,
    },
    /// The request came to its end before: a late retry is not granted anew.
    #[error("request {id} is over: {}; use a fresh id to ask again", ended.reason)]
    Finished {
        /// The id.
        id: RequestId,
        /// How it ended.
        ended: Ended,
    },
    /// A batch names one key twice.
    #[error("the batch asks for {key} twice")]
    DuplicateKey {
        /// The key.
        key: ResourceKey,
    },
    /// A value of the request is not allowed.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The store could not do it.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl AcquireError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::QueueFull { .. } => ErrorCode::QueueOverflow,
            Self::LimitReached { .. } => ErrorCode::ResourceExhausted,
            Self::Upgrade => ErrorCode::LockHeld,
            Self::IdReused { .. } | Self::Finished { .. } => ErrorCode::RequestReused,
            Self::DuplicateKey { .. } => ErrorCode::InvalidRequest,
            Self::Value(error) => error.code(),
            Self::Backend(error) => error.code(),
        }
    }

    /// Whether the change may have happened all the same.
    #[must_use]
    pub fn is_indeterminate(&self) -> bool {
        matches!(self, Self::Backend(error) if error.is_indeterminate())
    }
}

/// A grant that is not, or no longer, held. Nothing was changed (invariant 5).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", describe(.ended.as_ref(), *.current))]
pub struct NotHeld {
    /// How the grant ended, if the store remembers.
    pub ended: Option<Ended>,
    /// The token the request holds now, if it holds one: the one given was stale.
    pub current: Option<FencingToken>,
}

impl NotHeld {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        if self.ended.is_some() || self.current.is_some() { ErrorCode::LockLost } else { ErrorCode::NotFound }
    }
}

fn describe(ended: Option<&Ended>, current: Option<FencingToken>) -> String {
    match (ended, current) {
        (Some(ended), _) => format!("the lock is no longer held: {}", ended.reason),
        (None, Some(current)) => format!("the token is stale, the lock is held with token {current}"),
        (None, None) => "no such lock is held".to_owned(),
    }
}

/// A release that changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// Not held with this token.
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    /// The store could not do it.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl ReleaseError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotHeld(error) => error.code(),
            Self::Backend(error) => error.code(),
        }
    }
}

/// A transfer that changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// Not held with this token.
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    /// The new owner holds the resource already (shared).
    #[error("the new owner holds this lock already")]
    AlreadyHolds,
    /// The new owner waits for the resource in a mode that does not fit.
    #[error("the new owner waits for this lock in another mode")]
    OtherMode,
    /// The store could not do it.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl TransferError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotHeld(error) => error.code(),
            Self::AlreadyHolds | Self::OtherMode => ErrorCode::LockHeld,
            Self::Backend(error) => error.code(),
        }
    }
}

/// A change of priority that changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReprioritiseError {
    /// The request does not wait.
    #[error("the request does not wait in line")]
    NotQueued,
    /// The store could not do it.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl ReprioritiseError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotQueued => ErrorCode::NotFound,
            Self::Backend(error) => error.code(),
        }
    }
}
