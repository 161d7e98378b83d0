//! What the reference keeps of one request. Owns deadlines and ranks as the rules word them.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireRequest, EndReason, FencingToken, Lease, LockMode, LockRecord, Timestamp, WaiterView,
};

use crate::conformance::FixturePolicy;

/// One request that holds or waits.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) request: Arc<AcquireRequest>,
    pub(super) state: State,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    Holds(Holds),
    Waits(Waits),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Holds {
    pub(super) token: FencingToken,
    pub(super) acquired_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) claim_by: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    pub(super) enqueued_at: Timestamp,
    pub(super) sequence: u64,
    pub(super) gives_up_at: Option<Timestamp>,
    pub(super) keep_alive_by: Option<Timestamp>,
}

impl Entry {
    pub(super) fn holds(&self) -> Option<&Holds> {
        match &self.state {
            State::Holds(holds) => Some(holds),
            State::Waits(_) => None,
        }
    }

    pub(super) fn waits(&self) -> Option<&Waits> {
        match &self.state {
            State::Waits(waits) => Some(waits),
            State::Holds(_) => None,
        }
    }

    pub(super) fn is_sticky(&self) -> bool {
        self.request.lease == Lease::Sticky
    }

    /// When time ends it, and as what.
    pub(super) fn deadline(&self) -> Option<(Timestamp, EndReason)> {
        match &self.state {
            State::Holds(Holds { claim_by: Some(claim_by), .. }) => Some((*claim_by, EndReason::Unclaimed)),
            State::Holds(holds) => holds.expires_at.map(|at| (at, EndReason::Expired)),
            State::Waits(waits) => {
                let patience = waits.gives_up_at.map(|at| (at, EndReason::TimedOut));
                let silence = waits.keep_alive_by.map(|at| (at, EndReason::Abandoned));
                patience.into_iter().chain(silence).min_by_key(|(at, _)| *at)
            }
        }
    }

    /// Why it is over, if it is. A waiter whose patience and keep-alive have both passed has timed out.
    pub(super) fn over(&self, now: Timestamp) -> Option<EndReason> {
        let (at, reason) = self.deadline()?;
        if at > now {
            return None;
        }
        match self.waits().and_then(|waits| waits.gives_up_at) {
            Some(at) if at <= now => Some(EndReason::TimedOut),
            _ => Some(reason),
        }
    }

    /// Its place in the line: lowest first.
    pub(super) fn rank(&self, policy: &FixturePolicy) -> (i128, u64) {
        match &self.state {
            State::Holds(_) => (i128::MIN, 0),
            State::Waits(waits) => rank(policy, &self.request, waits.enqueued_at, waits.sequence),
        }
    }

    /// The record of a holder.
    pub(super) fn record(&self) -> Option<LockRecord> {
        let holds = self.holds()?;
        Some(LockRecord {
            request: Arc::clone(&self.request),
            token: holds.token,
            acquired_at: holds.acquired_at,
            expires_at: holds.expires_at,
            claim_by: holds.claim_by,
        })
    }

    pub(super) fn waiter_view(&self, position: usize) -> Option<WaiterView> {
        let waits = self.waits()?;
        Some(WaiterView {
            request: Arc::clone(&self.request),
            position,
            enqueued_at: waits.enqueued_at,
            gives_up_at: waits.gives_up_at,
            generation: waits.sequence,
        })
    }
}

/// rank = time of joining − credit of the priority; ties by the order of joining.
pub(super) fn rank(
    policy: &FixturePolicy,
    request: &AcquireRequest,
    joined: Timestamp,
    sequence: u64,
) -> (i128, u64) {
    let credit = policy.credits[request.priority.index()];
    (i128::from(joined.as_micros()) - i128::from(micros(credit)), sequence)
}

/// A lock ends `lease` after its last sign of life, and `max_age` after its grant at the latest.
pub(super) fn expiry(request: &AcquireRequest, acquired_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let by_lease = request.lease.duration().map(|lease| now.plus(lease));
    let by_age = request.max_age.map(|age| acquired_at.plus(age));
    by_lease.into_iter().chain(by_age).min()
}

/// A leased grant by hand-off must be claimed within the window, and is never older than its greatest age.
pub(super) fn claim_by(
    policy: &FixturePolicy,
    request: &AcquireRequest,
    acquired_at: Timestamp,
    now: Timestamp,
) -> Option<Timestamp> {
    if request.lease == Lease::Sticky {
        return None;
    }
    let by_age = request.max_age.map(|age| acquired_at.plus(age));
    by_age.into_iter().chain([now.plus(policy.timing.claim_window)]).min()
}

/// Exclusive gets along with nothing.
pub(super) fn gets_along(a: LockMode, b: LockMode) -> bool {
    a == LockMode::Shared && b == LockMode::Shared
}

/// Whether somebody who has `has` need not ask for `wants`.
pub(super) fn covers(has: LockMode, wants: LockMode) -> bool {
    has == LockMode::Exclusive || wants == LockMode::Shared
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
