//! Why one of Atlantis' operations did nothing. Owns the words; what the store says is passed on.

use enhanced_locking_foundation::{AcquireError, BackendError, BackendErrorKind, ReleaseError, ValueError};

use crate::json::EncodeError;
use crate::key::{NotALockKey, PullKeyError};
use crate::record::RecordError;

/// An operation that did nothing, unless it [may have](Self::is_indeterminate).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LegacyError {
    /// The text is no key of a lock.
    #[error(transparent)]
    Key(#[from] NotALockKey),
    /// The key of a pull request cannot be made.
    #[error(transparent)]
    PullKey(#[from] PullKeyError),
    /// Something is too long, empty or has control characters.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// What is to be stored is not what Atlantis stores there.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The lock does not say whose it is.
    #[error("the lock names no repository, so that nobody knows whose it is; set Project.RepoFullName")]
    Nobody,
    /// A command that is locked already. The text begins as Atlantis' own.
    #[error("lock already exists; unlock the command first")]
    CommandLocked,
    /// A command that is not locked. The text begins as Atlantis' own.
    #[error("no lock exists; the command is not locked")]
    CommandNotLocked,
    /// More entries than an answer may have.
    #[error(
        "there are more than {limit} {what}, which is the most one answer may have; list them in pages by the API"
    )]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many may be.
        limit: usize,
    },
    /// Others changed the same thing again and again.
    #[error("others changed the same value {attempts} times meanwhile; try again")]
    Contended {
        /// How often it was tried.
        attempts: usize,
    },
    /// A value cannot be written as JSON.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The store refused the lock.
    #[error(transparent)]
    Acquire(AcquireError),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] BackendError),
}

impl LegacyError {
    /// Whether it may have happened all the same. It was asked about again already.
    #[must_use]
    pub fn is_indeterminate(&self) -> bool {
        self.store().is_some_and(BackendError::is_indeterminate)
    }

    /// Whether it did not happen, and may well do if it is tried again.
    #[must_use]
    pub fn is_worth_another_try(&self) -> bool {
        let kind = self.store().map(BackendError::kind);
        matches!(self, Self::Contended { .. })
            || matches!(kind, Some(BackendErrorKind::Unavailable | BackendErrorKind::Draining))
    }

    /// Whether it is the store that could not, and not something about this one thing.
    #[must_use]
    pub fn is_of_the_store(&self) -> bool {
        self.store().is_some()
    }

    fn store(&self) -> Option<&BackendError> {
        match self {
            Self::Store(error) | Self::Acquire(AcquireError::Backend(error)) => Some(error),
            _ => None,
        }
    }
}

impl From<AcquireError> for LegacyError {
    fn from(error: AcquireError) -> Self {
        match error {
            AcquireError::Backend(error) => Self::Store(error),
            AcquireError::Value(error) => Self::Value(error),
            error => Self::Acquire(error),
        }
    }
}

/// A release that was refused is no failure for Atlantis, and is told apart before.
pub(super) fn of_release(error: ReleaseError) -> Option<BackendError> {
    match error {
        ReleaseError::Backend(error) => Some(error),
        _ => None,
    }
}
