//! Why a program did not get its lock. Owns the error of the acquire calls; refusals of the store are the foundation's.

use enhanced_locking_foundation::{
    AcquireError, BackendError, Ended, ErrorCode, LockRecord, NotHeld, QueuePlace, RequestId, ResourceKey,
};

use crate::LossReason;

/// A lock that a program asked for and does not hold.
///
/// ```
/// use enhanced_locking_foundation::{ErrorCode, ResourceKey};
/// use enhanced_locking_manager::LockError;
/// let error = LockError::Busy { key: ResourceKey::new("prod")?, holders: Vec::new() };
/// assert_eq!(error.code(), ErrorCode::LockHeld);
/// # Ok::<(), enhanced_locking_foundation::ValueError>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody else holds it and the request may not wait.
    #[error("{key} is held{}; wait for it or try again later", by(.holders))]
    Busy {
        /// The lock.
        key: ResourceKey,
        /// Who is in the way; empty if only an earlier waiter is.
        holders: Vec<LockRecord>,
    },
    /// Some locks of a set are held by others and the set may not wait. None is held.
    #[error("{} of the locks are held by others, {}{} first; wait for them or try again later", blocked.len(), .blocked.first().map_or("", |(key, _)| key.as_str()), .blocked.first().map_or_else(String::new, |(_, holders)| by(holders)))]
    SetBusy {
        /// Every lock that is in the way, with its holders.
        blocked: Vec<(ResourceKey, Vec<LockRecord>)>,
    },
    /// It waited as long as it was allowed to. It stands in no line any more.
    #[error("{key} was not free in time{}; allow a longer wait or try again later", place.as_deref().map_or_else(String::new, describe))]
    TimedOut {
        /// The lock.
        key: ResourceKey,
        /// Its last known place in the line; `None` if it never got one.
        place: Option<Box<QueuePlace>>,
    },
    /// The request came to its end while it waited: cancelled, aborted, taken away. One that may wait and only lost its
    /// place for silence is asked for again instead.
    #[error("request {id} is over: {}; use a fresh id to ask again", ended.reason)]
    Ended {
        /// The request.
        id: RequestId,
        /// How it ended.
        ended: Ended,
    },
    /// The manager was shut down. A place in the line stays in the store; ask again with the same id to take it up.
    #[error("the lock manager was shut down while {key} was asked for; the place in the line stays")]
    ShutDown {
        /// The lock.
        key: ResourceKey,
    },
    /// One lock of a set was lost while the others were waited for. Nothing is held.
    #[error("{key} was lost while waiting for the other locks of the set: {reason}")]
    LostWhileWaiting {
        /// The lock that was lost.
        key: ResourceKey,
        /// Why.
        reason: LossReason,
    },
    /// The grant to attach to is not held.
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    /// The store refused, or could not be reached in time.
    #[error(transparent)]
    Refused(#[from] AcquireError),
}

impl LockError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        use enhanced_locking_foundation::EndReason;
        match self {
            Self::Busy { .. } | Self::SetBusy { .. } => ErrorCode::LockHeld,
            Self::TimedOut { .. } => ErrorCode::WaitTimeout,
            Self::Ended { ended, .. } => match ended.reason {
                EndReason::Deadlock => ErrorCode::Deadlock,
                EndReason::TimedOut => ErrorCode::WaitTimeout,
                _ => ErrorCode::LockLost,
            },
            Self::ShutDown { .. } => ErrorCode::Unavailable,
            Self::LostWhileWaiting { .. } => ErrorCode::LockLost,
            Self::NotHeld(error) => error.code(),
            Self::Refused(error) => error.code(),
        }
    }
}

impl From<BackendError> for LockError {
    fn from(error: BackendError) -> Self {
        Self::Refused(AcquireError::Backend(error))
    }
}

fn by(holders: &[LockRecord]) -> String {
    match holders {
        [] => String::new(),
        [one] => format!(" by {}", one.owner()),
        [one, rest @ ..] => format!(" by {} and {} more", one.owner(), rest.len()),
    }
}

fn describe(place: &QueuePlace) -> String {
    format!(
        " (place {} of {}{})",
        place.position,
        place.depth,
        by(&place.holders).replacen(" by", ", held by", 1)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_request_has_the_code_of_its_end() {
        use enhanced_locking_foundation::{EndReason, Timestamp};
        let ended = |reason| LockError::Ended {
            id: RequestId::generate(),
            ended: Ended { reason, at: Timestamp::ZERO, token: None },
        };
        assert_eq!(ended(EndReason::Deadlock).code(), ErrorCode::Deadlock);
        assert_eq!(ended(EndReason::TimedOut).code(), ErrorCode::WaitTimeout);
        assert_eq!(ended(EndReason::OwnerGone).code(), ErrorCode::LockLost);
    }
}
