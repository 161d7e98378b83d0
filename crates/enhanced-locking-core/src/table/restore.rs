//! Out of the table and back: what a durable store writes down. Owns what of an entry must survive; formats on disk belong to the stores.

use std::sync::Arc;

use enhanced_locking_foundation::{
    AcquireRequest, Ended, EventKind, FencingToken, LockEvent, RequestId, ResourceKey, Ticket, Timestamp,
};
use enhanced_locking_queue::Place;

use super::LockTable;
use super::entry::{Holding, State, Waiting};
use super::handoff::expiry;
use crate::TablePolicy;

/// One request as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// The request.
    pub request: Arc<AcquireRequest>,
    /// What it is doing.
    pub state: StoredState,
}

/// What a stored request is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredState {
    /// It holds the resource.
    Held {
        /// The token of the grant.
        token: FencingToken,
        /// When it was granted.
        acquired_at: Timestamp,
        /// When it ends.
        expires_at: Option<Timestamp>,
        /// Until when it must be claimed.
        claim_by: Option<Timestamp>,
    },
    /// It stands in line. Its rank is computed anew from the credits in force.
    Waiting {
        /// When it joined.
        enqueued_at: Timestamp,
        /// The number of its arrival.
        sequence: u64,
        /// When it gives up.
        gives_up_at: Option<Timestamp>,
    },
}

/// The counters of a table: none of them may ever go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableMeta {
    /// The token granted last.
    pub last_token: FencingToken,
    /// The number of the last arrival.
    pub last_sequence: u64,
    /// The sequence of the last event.
    pub last_event: u64,
    /// The latest time of any change.
    pub time: Timestamp,
}

impl LockTable {
    /// The counters as they stand.
    #[must_use]
    pub fn meta(&self) -> TableMeta {
        TableMeta {
            last_token: self.last_token,
            last_sequence: self.last_sequence,
            last_event: self.last_event,
            time: self.time,
        }
    }

    /// Asks for [`Effects::dirty`](super::Effects::dirty) from now on.
    pub fn track_changes(&mut self) {
        self.track_changes = true;
    }

    /// The stored form of what a request is now; `None` if it neither holds nor waits.
    #[must_use]
    pub fn stored(&self, key: &ResourceKey, id: &RequestId) -> Option<StoredEntry> {
        let entry = &self.entries[self.request(id)?];
        if entry.request.key != *key {
            return None;
        }
        let state = match &entry.state {
            State::Holding(holding) => StoredState::Held {
                token: holding.token,
                acquired_at: holding.acquired_at,
                expires_at: holding.expires_at,
                claim_by: holding.claim_by,
            },
            State::Waiting(waiting) => StoredState::Waiting {
                enqueued_at: waiting.enqueued_at,
                sequence: waiting.place.sequence,
                gives_up_at: waiting.gives_up_at,
            },
        };
        Some(StoredEntry { request: Arc::clone(&entry.request), state })
    }

    /// A table with what a store has kept. [`Self::resume`] must follow before it is used.
    ///
    /// # Errors
    /// Which entry contradicts another: two of one owner for one key, or holders that do not get along.
    pub fn restore(
        policy: TablePolicy,
        meta: TableMeta,
        stored: impl IntoIterator<Item = StoredEntry>,
    ) -> Result<Self, String> {
        let mut table = Self::new(policy);
        table.last_token = meta.last_token;
        table.last_sequence = meta.last_sequence;
        table.last_event = meta.last_event;
        table.time = meta.time;
        for StoredEntry { request, state } in stored {
            if table.request(&request.id).is_some() || table.owned(&request.owner, &request.key).is_some() {
                return Err(format!(
                    "{} of {} for {} is there twice",
                    request.id, request.owner, request.key
                ));
            }
            let hash = table.ids.of(&request.id);
            let resource = table.resources.find_or_new(&request.key);
            match state {
                StoredState::Held { token, acquired_at, expires_at, claim_by } => {
                    if !table.fits(resource, request.mode) {
                        return Err(format!("{} has two holders that do not get along", request.key));
                    }
                    table.last_token = table.last_token.max(token);
                    let holding = Holding { token, acquired_at, expires_at, claim_by, slot: 0 };
                    table.insert_holder(resource, hash, request, holding);
                }
                StoredState::Waiting { enqueued_at, sequence, gives_up_at } => {
                    table.last_sequence = table.last_sequence.max(sequence);
                    let rank = table.policy.credits.rank(enqueued_at, request.priority);
                    let keep_alive_by = (!request.lease.is_sticky()).then_some(enqueued_at);
                    let waiting =
                        Waiting { place: Place { rank, sequence }, enqueued_at, gives_up_at, keep_alive_by };
                    table.insert_waiter(resource, hash, request, waiting);
                }
            }
        }
        Ok(table)
    }

    /// Remembers ends that a store has kept, oldest first: from its events and from what it was told to refuse.
    pub fn restore_finished(&mut self, ends: impl IntoIterator<Item = (Ticket, Ended)>) {
        for (ticket, ended) in ends {
            let hash = self.ids.of(&ticket.id);
            self.finished.remember(hash, ticket.id, ticket.key, ended, self.policy.limits.finished);
        }
    }

    /// The end an event tells of, if it tells of one and of whom.
    #[must_use]
    pub fn end_of(event: &LockEvent) -> Option<(&AcquireRequest, Ended)> {
        match (&event.kind, &event.request) {
            (EventKind::Ended { reason, .. }, Some(request)) => {
                Some((request, Ended { reason: *reason, at: event.at, token: event.token }))
            }
            _ => None,
        }
    }

    /// Begins again after a stop: whoever holds or waits by a lease gets its full time anew.
    ///
    /// A renewal may have been acknowledged at any moment before the stop, and a clock may have been set during
    /// it. A full lease from now on is never shorter than what a holder was promised (as etcd's new leader does).
    /// Every line is then handed on, in the order of keys: nobody waits who could hold.
    pub fn resume(&mut self, now: Timestamp) {
        let keep_alive = self.policy.timing.keep_alive;
        let handles: Vec<_> = self.entries.iter().map(|(handle, _)| handle).collect();
        let mut extended = 0;
        for handle in handles {
            let request = Arc::clone(&self.entries[handle].request);
            let acquired_at = self.entries[handle].holding().map_or(now, |holding| holding.acquired_at);
            let claim_by = self.claim_by(&request, acquired_at, now);
            let mut changed = false;
            let mut stored = false;
            self.retime(handle, |state| match state {
                State::Holding(holding) => {
                    let before = (holding.claim_by, holding.expires_at);
                    holding.claim_by = holding.claim_by.and(claim_by);
                    if !request.lease.is_sticky() {
                        holding.expires_at = expiry(&request, holding.acquired_at, now);
                    }
                    changed = before != (holding.claim_by, holding.expires_at);
                    stored = changed;
                }
                State::Waiting(waiting) => {
                    waiting.keep_alive_by = waiting.keep_alive_by.map(|_| now.plus(keep_alive));
                    changed = waiting.keep_alive_by.is_some();
                }
            });
            extended += usize::from(changed);
            if stored {
                self.touch(&request);
            }
        }
        if extended > 0 {
            self.emit(EventKind::Resumed { extended }, None, now);
        }
        // Who stood first without a sign of life was given time, and may be owed what is free; other credits may
        // have put somebody else first.
        let queued: Vec<_> = self.queued.iter().filter_map(|key| self.resources.find(key)).collect();
        for resource in queued {
            self.promote(resource, now);
        }
    }
}
