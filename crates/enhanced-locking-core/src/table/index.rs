//! Adding and removing entries with all their indexes. Owns the bookkeeping, so that no operation can forget an index.

use std::sync::Arc;

use enhanced_locking_foundation::{AcquireRequest, Ended, OwnerId, RequestId, ResourceKey, Timestamp};

use super::LockTable;
use super::entry::{Entry, Handle, Holding, ResourceIndex, State, Waiting};
use super::lookup::NameHash;

impl LockTable {
    /// The live entry of a request id.
    pub(super) fn request(&self, id: &RequestId) -> Option<Handle> {
        self.request_of(self.ids.of(id), id)
    }

    /// The live entry of a request id whose hash is known.
    pub(super) fn request_of(&self, hash: NameHash, id: &RequestId) -> Option<Handle> {
        self.requests.find(hash, |handle| self.entries[handle].request.id == *id)
    }

    /// The entry of an owner for a resource.
    pub(super) fn owned(&self, owner: &OwnerId, key: &ResourceKey) -> Option<Handle> {
        self.owners.get(owner, key, |handle| &self.entries[handle].request)
    }

    /// How a request ended, if it is remembered.
    pub(super) fn ended(&self, id: &RequestId, key: &ResourceKey) -> Option<&Ended> {
        self.finished.of(self.ids.of(id), id, key)
    }

    /// Adds a holder. `hash` is that of the request's id.
    pub(super) fn insert_holder(
        &mut self,
        resource: ResourceIndex,
        hash: NameHash,
        request: Arc<AcquireRequest>,
        mut holding: Holding,
    ) -> Handle {
        self.in_use += usize::from(self.resources[resource].is_free());
        holding.slot = self.resources[resource].holders.len();
        let handle = self.entries.insert(Entry { request, hash, resource, state: State::Holding(holding) });
        self.resources[resource].holders.push(handle);
        self.held += 1;
        self.index(handle);
        handle
    }

    /// Adds a waiter. `hash` is that of the request's id.
    pub(super) fn insert_waiter(
        &mut self,
        resource: ResourceIndex,
        hash: NameHash,
        request: Arc<AcquireRequest>,
        waiting: Waiting,
    ) -> Handle {
        self.in_use += usize::from(self.resources[resource].is_free());
        if self.resources[resource].line.is_empty() {
            self.queued.insert(request.key.clone());
        }
        *self.waiting_by_owner.entry(request.owner.clone()).or_default() += 1;
        self.waiting_by_priority[request.priority.index()] += 1;
        self.arrivals.insert((waiting.enqueued_at, waiting.place.sequence));
        let handle = self.entries.insert(Entry { request, hash, resource, state: State::Waiting(waiting) });
        self.resources[resource].line.insert(waiting.place, handle);
        self.index(handle);
        handle
    }

    /// Takes an entry out of everything. The resource stays, even if nothing is left of it: see [`Resources::release`](super::resources::Resources::release).
    pub(super) fn remove_entry(&mut self, handle: Handle) -> Entry {
        if let Some(deadline) = self.entries[handle].deadline() {
            self.deadlines.remove(deadline, handle, || self.entries[handle].request.ticket());
        }
        self.owners.remove(handle, |handle| &self.entries[handle].request);
        let entry = self.entries.remove(handle);
        let request = &entry.request;
        self.requests.remove(entry.hash, handle);
        if let Some(pull) = &request.pull {
            self.pulls.remove(&(pull.clone(), request.key.clone(), request.id.clone()));
        }
        match &entry.state {
            State::Holding(holding) => {
                self.held -= 1;
                let holders = &mut self.resources[entry.resource].holders;
                holders.swap_remove(holding.slot);
                if let Some(&moved) = holders.get(holding.slot)
                    && let State::Holding(other) = &mut self.entries[moved].state
                {
                    other.slot = holding.slot;
                }
            }
            State::Waiting(waiting) => {
                self.arrivals.remove(&(waiting.enqueued_at, waiting.place.sequence));
                self.waiting_by_priority[request.priority.index()] -= 1;
                if let Some(count) = self.waiting_by_owner.get_mut(&request.owner) {
                    *count -= 1;
                    if *count == 0 {
                        self.waiting_by_owner.remove(&request.owner);
                    }
                }
                let line = &mut self.resources[entry.resource].line;
                line.remove(waiting.place);
                if line.is_empty() {
                    self.queued.remove(&request.key);
                }
            }
        }
        self.in_use -= usize::from(self.resources[entry.resource].is_free());
        self.touch(&entry.request);
        entry
    }

    /// Changes the times of an entry and keeps the order of deadlines right.
    pub(super) fn retime(&mut self, handle: Handle, change: impl FnOnce(&mut State)) {
        let entry = &mut self.entries[handle];
        let before = entry.deadline();
        change(&mut entry.state);
        let after = entry.deadline();
        if before != after {
            if let Some(deadline) = before {
                self.deadlines.remove(deadline, handle, || entry.request.ticket());
            }
            if let Some(deadline) = after {
                self.deadlines.insert(deadline, handle);
            }
        }
    }

    /// Whether the time of anything in the table has run out.
    pub(super) fn is_anything_over(&self, now: Timestamp) -> bool {
        self.earliest_deadline().is_some_and(|earliest| earliest <= now)
    }

    /// The earliest time at which anything in the table is over.
    pub(super) fn earliest_deadline(&self) -> Option<Timestamp> {
        self.deadlines.earliest()
    }

    fn index(&mut self, handle: Handle) {
        let entry = &self.entries[handle];
        let request = &entry.request;
        if let Some(deadline) = entry.deadline() {
            self.deadlines.insert(deadline, handle);
        }
        self.requests.insert(entry.hash, handle);
        self.owners.insert(handle, |handle| &self.entries[handle].request);
        if let Some(pull) = &request.pull {
            self.pulls.insert((pull.clone(), request.key.clone(), request.id.clone()), handle);
        }
        if self.track_changes {
            self.effects.dirty.push(Arc::clone(request));
        }
    }
}
