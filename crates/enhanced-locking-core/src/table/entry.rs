//! What the table keeps of one request. Owns entries and resources as stored in memory; how they change is in the sibling modules.

use std::sync::Arc;

use enhanced_locking_foundation::{AcquireRequest, FencingToken, LockRecord, Timestamp};
use enhanced_locking_queue::{Line, Place};

use super::lookup::NameHash;

/// Index of an entry in the table's slab.
pub(super) type Handle = usize;
/// Index of a resource in the table's slab.
pub(super) type ResourceIndex = usize;

/// One request that holds or waits.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) request: Arc<AcquireRequest>,
    /// Of the request's id.
    pub(super) hash: NameHash,
    pub(super) resource: ResourceIndex,
    pub(super) state: State,
}

/// What the request is doing.
#[derive(Clone, Debug)]
pub(super) enum State {
    Holding(Holding),
    Waiting(Waiting),
}

/// A request that holds its resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holding {
    pub(super) token: FencingToken,
    pub(super) acquired_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) claim_by: Option<Timestamp>,
    /// Its index among the resource's holders.
    pub(super) slot: usize,
}

/// A request that stands in line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) place: Place,
    pub(super) enqueued_at: Timestamp,
    pub(super) gives_up_at: Option<Timestamp>,
    pub(super) keep_alive_by: Option<Timestamp>,
}

impl Entry {
    pub(super) fn holding(&self) -> Option<&Holding> {
        match &self.state {
            State::Holding(holding) => Some(holding),
            State::Waiting(_) => None,
        }
    }

    pub(super) fn waiting(&self) -> Option<&Waiting> {
        match &self.state {
            State::Waiting(waiting) => Some(waiting),
            State::Holding(_) => None,
        }
    }

    /// When time ends this entry, if it does.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match &self.state {
            State::Holding(holding) => holding.claim_by.or(holding.expires_at),
            State::Waiting(waiting) => match (waiting.gives_up_at, waiting.keep_alive_by) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        }
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// The record of a holder; `None` for a waiter.
    pub(super) fn record(&self) -> Option<LockRecord> {
        self.holding().map(|holding| holding.record(&self.request))
    }
}

impl Holding {
    /// What others see of it.
    pub(super) fn record(&self, request: &Arc<AcquireRequest>) -> LockRecord {
        LockRecord {
            request: Arc::clone(request),
            token: self.token,
            acquired_at: self.acquired_at,
            expires_at: self.expires_at,
            claim_by: self.claim_by,
        }
    }
}

/// What is held or waited for.
#[derive(Clone, Debug, Default)]
pub(super) struct Resource {
    /// One exclusive holder, or shared ones.
    pub(super) holders: Vec<Handle>,
    pub(super) line: Line<Handle>,
}

impl Resource {
    /// Whether nobody holds it or waits for it.
    pub(super) fn is_free(&self) -> bool {
        self.holders.is_empty() && self.line.is_empty()
    }
}
