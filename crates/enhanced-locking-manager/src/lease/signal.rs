//! What a program is told about its lock. Owns the states, the reasons and the signal to wait for.

use std::sync::Arc;

use enhanced_locking_foundation::{EndReason, FencingToken, NotHeld};

use super::LeaseCell;

/// How a held lock is doing, judged by this process' monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Held, confirmed not long ago.
    Held,
    /// Still held, but half of the lease has passed without a confirmation, or the program is behind with its
    /// [beat](crate::LockGuard::require_beat), or the maximum age is near: bring the work to a safe point.
    AtRisk,
    /// No longer to be relied on: stop. Final.
    Lost(LossReason),
}

/// Why a lock must not be relied on any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossReason {
    /// The lease could not be confirmed in time. The store may hold it a moment longer; nobody may rely on that.
    RanOut,
    /// The program did not beat as often as it said it would, so the lease was left to run out.
    NoBeat,
    /// The store ended it.
    Ended(EndReason),
    /// The store knows a newer token for the same request: it was transferred.
    Superseded(FencingToken),
    /// The store does not know it.
    Unknown,
    /// This process gave it up: by [`LockGuard::release`](crate::LockGuard::release).
    GivenUp,
}

impl From<&NotHeld> for LossReason {
    fn from(error: &NotHeld) -> Self {
        match (&error.ended, error.current) {
            (Some(ended), _) => Self::Ended(ended.reason),
            (None, Some(token)) => Self::Superseded(token),
            (None, None) => Self::Unknown,
        }
    }
}

impl std::fmt::Display for LossReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RanOut => f.write_str("its lease could not be renewed in time"),
            Self::NoBeat => f.write_str("the program showed no progress, so its lease was not renewed"),
            Self::Ended(reason) => reason.fmt(f),
            Self::Superseded(token) => write!(f, "it was passed on with token {token}"),
            Self::Unknown => f.write_str("the store does not know it"),
            Self::GivenUp => f.write_str("it was released"),
        }
    }
}

/// Tells when a lock is at risk or lost. Cheap to clone; stays usable after the guard is gone.
///
/// It does not depend on any background task: it has its own timer.
///
/// ```
/// # use enhanced_locking_manager::{LockGuard, LossReason};
/// # async fn example(guard: LockGuard, work: impl std::future::Future<Output = ()>) {
/// let lost = guard.lost();
/// tokio::select! {
///     () = work => {}
///     () = lost.wait() => eprintln!("stopped: the lock is gone"),
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LeaseSignal {
    cell: Arc<LeaseCell>,
    lost: bool,
}

impl LeaseSignal {
    pub(crate) fn lost(cell: Arc<LeaseCell>) -> Self {
        Self { cell, lost: true }
    }

    pub(crate) fn at_risk(cell: Arc<LeaseCell>) -> Self {
        Self { cell, lost: false }
    }

    /// Whether it is so now. A lock that is lost counts as at risk as well.
    #[must_use]
    pub fn is_set(&self) -> bool {
        match self.cell.state() {
            LeaseState::Held => false,
            LeaseState::AtRisk => !self.lost,
            LeaseState::Lost(_) => true,
        }
    }

    /// Waits until it is so. "At risk" may pass; "lost" is final.
    pub async fn wait(&self) {
        let mut told = self.cell.subscribe();
        while !self.is_set() {
            let at = self.cell.due(self.lost);
            tokio::select! {
                // The cell lives as long as this signal, so that the channel cannot close.
                _ = told.changed() => {}
                // A renewal in the meantime has moved the instant: look again.
                () = sleep_until(at) => {}
            }
        }
    }

    /// How the lock is doing.
    #[must_use]
    pub fn state(&self) -> LeaseState {
        self.cell.state()
    }
}

/// Sleeps until an instant, for ever if there is none.
pub(crate) async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
