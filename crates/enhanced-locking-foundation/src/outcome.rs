//! What becomes of requests. Owns the answers of the backend port; failures are in `error`.

use std::sync::Arc;

use crate::{AcquireRequest, FencingToken, LockRecord, RequestId, Timestamp};

/// The answer to an acquire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcquireOutcome {
    /// Held now, or held already by the same owner.
    Held(LockRecord),
    /// Standing in line.
    Queued(QueuePlace),
    /// Held by others, and the request may not wait. At most [`QueuePlace::MAX_BLOCKERS`] holders are named.
    Busy(Vec<LockRecord>),
}

/// A place in the line for a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePlace {
    /// The request that waits; an earlier one of the same owner if there was one.
    pub request: Arc<AcquireRequest>,
    /// 1 for the next in line.
    pub position: usize,
    /// How many wait, this one included.
    pub depth: usize,
    /// When it joined.
    pub enqueued_at: Timestamp,
    /// When it gives up; `None` if it may wait for ever.
    pub gives_up_at: Option<Timestamp>,
    /// Who holds the resource now, at most [`QueuePlace::MAX_BLOCKERS`].
    pub holders: Vec<LockRecord>,
    /// Changes whenever this entry of the line is a new one: deadlock detection acts on generations.
    pub generation: u64,
}

impl QueuePlace {
    /// The most holders named as blockers of one request.
    pub const MAX_BLOCKERS: usize = 16;
}

/// What has become of a request that was made earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// It holds the lock.
    Held(LockRecord),
    /// It waits.
    Queued(QueuePlace),
    /// It is over.
    Finished(Ended),
    /// Never seen, or over for longer than the store remembers.
    Unknown,
}

/// How and when a request came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// When.
    pub at: Timestamp,
    /// The token it held last; `None` if it never held the lock.
    pub token: Option<FencingToken>,
}

/// Why a request came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndReason {
    /// Its owner released the lock.
    Released,
    /// Its lease or maximum age ran out.
    Expired,
    /// It was granted the lock and did not claim it in time.
    Unclaimed,
    /// It left the line.
    Cancelled,
    /// It waited as long as it was allowed to.
    TimedOut,
    /// It waited, and nobody asked about it for longer than the keep-alive.
    Abandoned,
    /// The lock was handed to somebody else.
    Transferred,
    /// An operator took the lock away.
    ForceReleased,
    /// Its pull request was closed, or its owner is gone.
    OwnerGone,
    /// It was the victim of a deadlock.
    Deadlock,
}

impl EndReason {
    /// All reasons.
    pub const ALL: [Self; 10] = [
        Self::Released,
        Self::Expired,
        Self::Unclaimed,
        Self::Cancelled,
        Self::TimedOut,
        Self::Abandoned,
        Self::Transferred,
        Self::ForceReleased,
        Self::OwnerGone,
        Self::Deadlock,
    ];

    /// The reason of a name, as [`Self::as_str`] writes it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// The name used in the API, in metrics and on disk.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Unclaimed => "unclaimed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Abandoned => "abandoned",
            Self::Transferred => "transferred",
            Self::ForceReleased => "force_released",
            Self::OwnerGone => "owner_gone",
            Self::Deadlock => "deadlock",
        }
    }
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Released => "it was released",
            Self::Expired => "its lease ran out",
            Self::Unclaimed => "it was not claimed in time",
            Self::Cancelled => "it left the line",
            Self::TimedOut => "its wait timed out",
            Self::Abandoned => "nobody kept its place in the line",
            Self::Transferred => "it was transferred",
            Self::ForceReleased => "an operator released it by force",
            Self::OwnerGone => "its owner is gone",
            Self::Deadlock => "it was chosen to end a deadlock",
        })
    }
}

/// The answer to an all-or-nothing batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchOutcome {
    /// All are held, in the order they were asked for.
    Held(Vec<LockRecord>),
    /// None is held. Every request that could not be granted, with those in its way.
    Busy(Vec<(RequestId, Vec<LockRecord>)>),
}

/// The answer to a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// Released now. The holders that follow, already written down (design §4, "hand-off, not race").
    Released {
        /// Who holds the resource next; empty if nobody waits.
        next: Vec<LockRecord>,
    },
    /// Released before, by this very grant: a retry.
    AlreadyReleased,
}

/// The answer to a request that leaves the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It is out: it waited, or it was granted and had not claimed. It will never be granted.
    Cancelled,
    /// Too late: it holds the lock, which must be released instead.
    Held(LockRecord),
    /// It had come to an end before.
    Finished(Ended),
}

/// What was cleared away for an owner or a pull request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Locks that were released.
    pub released: Vec<LockRecord>,
    /// Requests that left their lines.
    pub cancelled: Vec<Arc<AcquireRequest>>,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepOutcome {
    /// Entries whose time had run out.
    pub ended: usize,
    /// When the next entry's time runs out; `None` if nothing is waiting for time to pass.
    pub next: Option<Timestamp>,
}
