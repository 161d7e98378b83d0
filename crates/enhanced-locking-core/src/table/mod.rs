//! The lock table. Owns its state and indexes; each kind of operation has a module of its own.
//!
//! ```text
//!   acquire ──► free and nobody ahead? ──► holder ──► release, expiry, force, transfer, clear
//!                  │ no                       ▲                       │
//!                  ▼                          │ hand-off              ▼
//!               in line ──────────────────────┴───────── best live waiter that fits
//!                  │
//!                  └──► cancelled, timed out, abandoned
//! ```
//!
//! Every change first ends what is over on the resource it touches, so that no operation ever meets an expired
//! holder; every end hands the resource on in the same step.

mod acquire;
mod change;
mod deadlines;
mod documents;
mod entry;
mod finished;
mod handoff;
mod index;
mod invariant;
mod lookup;
mod manage;
mod owners;
mod read;
mod resources;
mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use enhanced_locking_foundation::{
    AcquireRequest, DocumentName, Ended, EventKind, FencingToken, Limits, LockEvent, OwnerId, Priority,
    PullRequest, RequestId, ResourceKey, Ticket, Timestamp,
};
use hashbrown::HashMap;
use slab::Slab;

use self::deadlines::Deadlines;
pub use self::documents::DocumentPut;
use self::documents::Documents;
use self::entry::{Entry, Handle};
use self::finished::Finished;
pub use self::invariant::Violation;
use self::lookup::{Hasher, Lookup};
use self::owners::Owners;
use self::resources::Resources;
pub use self::restore::{StoredEntry, StoredState, TableMeta};
use crate::TablePolicy;

/// All locks and lines of one store, the rules about them, and the documents beside them.
///
/// ```
/// use enhanced_locking_core::{LockTable, TablePolicy};
/// use enhanced_locking_foundation::{AcquireOutcome, AcquireRequest, OwnerId, ResourceKey, Timestamp};
///
/// let mut table = LockTable::new(TablePolicy::default());
/// let now = Timestamp::from_micros(1_000_000);
/// let request = |owner| Ok::<_, enhanced_locking_foundation::ValueError>(
///     AcquireRequest::new(ResourceKey::new("demo")?, OwnerId::new(owner)?));
///
/// let AcquireOutcome::Held(first) = table.acquire(request("a")?, now)? else { panic!("it was free") };
/// assert!(matches!(table.acquire(request("b")?, now)?, AcquireOutcome::Queued(place) if place.position == 1));
/// let next = table.release(&first.grant(), now)?;
/// # let enhanced_locking_foundation::ReleaseOutcome::Released { next } = next else { panic!() };
/// assert_eq!(next[0].owner().as_str(), "b");
/// assert!(next[0].token > first.token);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LockTable {
    policy: TablePolicy,
    entries: Slab<Entry>,
    resources: Resources,
    /// How many resources are held or waited for.
    in_use: usize,
    /// Hashes request ids, for the live and for those that have come to their end.
    ids: Hasher,
    requests: Lookup,
    owners: Owners,
    pulls: BTreeMap<(PullRequest, ResourceKey, RequestId), Handle>,
    /// Resources with a line.
    queued: BTreeSet<ResourceKey>,
    deadlines: Deadlines,
    /// When each waiting request joined, by its sequence.
    arrivals: BTreeSet<(Timestamp, u64)>,
    /// How many requests of an owner wait. Only ever asked for one owner, never walked.
    waiting_by_owner: HashMap<OwnerId, usize>,
    waiting_by_priority: [usize; Priority::ALL.len()],
    held: usize,
    finished: Finished,
    documents: Documents,
    last_token: FencingToken,
    last_sequence: u64,
    last_event: u64,
    /// The latest time any change was made at.
    time: Timestamp,
    track_changes: bool,
    effects: Effects,
}

impl LockTable {
    /// An empty table.
    #[must_use]
    pub fn new(policy: TablePolicy) -> Self {
        Self {
            policy,
            entries: Slab::new(),
            resources: Resources::default(),
            in_use: 0,
            ids: Hasher::default(),
            requests: Lookup::default(),
            owners: Owners::default(),
            pulls: BTreeMap::new(),
            queued: BTreeSet::new(),
            deadlines: Deadlines::default(),
            arrivals: BTreeSet::new(),
            waiting_by_owner: HashMap::new(),
            waiting_by_priority: [0; Priority::ALL.len()],
            held: 0,
            finished: Finished::default(),
            documents: Documents::default(),
            last_token: FencingToken::NONE,
            last_sequence: 0,
            last_event: 0,
            time: Timestamp::ZERO,
            track_changes: false,
            effects: Effects::default(),
        }
    }

    /// The limits, windows and credits it keeps.
    #[must_use]
    pub fn policy(&self) -> &TablePolicy {
        &self.policy
    }

    /// Changes the limits from now on. What is over a lowered limit stays, and nothing is added.
    pub fn set_limits(&mut self, limits: Limits) {
        self.policy.limits = limits;
    }

    /// What the changes since the last call have caused, in order. Whoever drives the table drains it after every change.
    pub fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    /// Takes only the events, and keeps the memory they were in: for drivers that store nothing.
    pub fn drain_events(&mut self) -> impl ExactSizeIterator<Item = LockEvent> + '_ {
        self.effects.refused.clear();
        self.effects.events.drain(..)
    }

    /// Whether there is anything to take.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// Notes an event.
    fn emit(
        &mut self,
        kind: EventKind,
        entry: Option<(Arc<AcquireRequest>, Option<FencingToken>)>,
        now: Timestamp,
    ) {
        self.last_event += 1;
        self.time = self.time.max(now);
        let (request, token) = entry.map_or((None, None), |(request, token)| (Some(request), token));
        self.effects.events.push(LockEvent {
            stream: 0,
            seq: self.last_event,
            at: now,
            kind,
            request,
            token,
        });
    }

    /// Notes that the stored record of a request is out of date.
    fn touch(&mut self, request: &Arc<AcquireRequest>) {
        if self.track_changes {
            self.effects.dirty.push(Arc::clone(request));
        }
    }
}

/// What a driver of the table must do after a change: store, publish.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// What happened, in order.
    pub events: Vec<LockEvent>,
    /// Requests whose stored record changed or went away; filled only if the table was asked to track changes.
    pub dirty: Vec<Arc<AcquireRequest>>,
    /// Requests refused before they were ever seen: part of the memory of ends, and not told by an event's request.
    pub refused: Vec<(Ticket, Ended)>,
    /// Documents that changed or went away; filled only if changes are tracked.
    pub documents: BTreeSet<DocumentName>,
}

impl Effects {
    /// Whether nothing has happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.dirty.is_empty()
            && self.refused.is_empty()
            && self.documents.is_empty()
    }
}
