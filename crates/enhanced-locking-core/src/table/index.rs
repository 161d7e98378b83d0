//! Adding and removing entries with all their indexes. Owns the bookkeeping, so that no operation can forget an index.

use std::sync::Arc;

use enhanced_locking_foundation::{AcquireRequest, RequestId, ResourceKey, Timestamp};

use super::entry::{Entry, Handle, Holding, ResourceIndex, State, Waiting};
use super::{LockTable, Resource};

impl LockTable {
    /// The resource of a key, made if nobody holds it or waits for it.
    pub(super) fn resource_or_new(&mut self, key: &ResourceKey) -> ResourceIndex {
        if let Some(&resource) = self.keys.get(key) {
            return resource;
        }
        let resource = self.resources.insert(Resource::default());
        self.keys.insert(key.clone(), resource);
        resource
    }

    /// Forgets a resource that nobody holds or waits for.
    pub(super) fn drop_if_free(&mut self, resource: ResourceIndex, key: &ResourceKey) {
        let Resource { holders, line } = &self.resources[resource];
        if holders.is_empty() && line.is_empty() {
            self.resources.remove(resource);
            self.keys.remove(key);
        }
    }

    /// The live entry of a request id.
    pub(super) fn request(&self, id: &RequestId) -> Option<Handle> {
        self.requests.find(id, |handle| self.entries[handle].request.id == *id)
    }

    /// Adds a holder.
    pub(super) fn insert_holder(
        &mut self,
        resource: ResourceIndex,
        request: Arc<AcquireRequest>,
        mut holding: Holding,
    ) -> Handle {
        let holders = &mut self.resources[resource].holders;
        holding.slot = holders.len();
        let handle = self.entries.insert(Entry { request, resource, state: State::Holding(holding) });
        self.resources[resource].holders.push(handle);
        self.held += 1;
        self.index(handle);
        handle
    }

    /// Adds a waiter.
    pub(super) fn insert_waiter(
        &mut self,
        resource: ResourceIndex,
        request: Arc<AcquireRequest>,
        waiting: Waiting,
    ) -> Handle {
        if self.resources[resource].line.is_empty() {
            self.queued.insert(request.key.clone());
        }
        *self.waiting_by_owner.entry(request.owner.clone()).or_default() += 1;
        self.waiting_by_priority[request.priority.index()] += 1;
        self.arrivals.insert((waiting.enqueued_at, waiting.place.sequence));
        let handle = self.entries.insert(Entry { request, resource, state: State::Waiting(waiting) });
        self.resources[resource].line.insert(waiting.place, handle);
        self.index(handle);
        handle
    }

    /// Takes an entry out of everything. The resource stays, even if nothing is left of it: see [`Self::drop_if_free`].
    pub(super) fn remove_entry(&mut self, handle: Handle) -> Entry {
        if let Some(deadline) = self.entries[handle].deadline() {
            self.deadlines.remove(&(deadline, handle));
        }
        let entry = self.entries.remove(handle);
        let request = &entry.request;
        self.requests.remove(&request.id, handle);
        self.owners.remove(&request.owner, &request.key);
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
                self.deadlines.remove(&(deadline, handle));
            }
            if let Some(deadline) = after {
                self.deadlines.insert((deadline, handle));
            }
        }
    }

    /// The earliest time at which anything in the table is over.
    pub(super) fn earliest_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    fn index(&mut self, handle: Handle) {
        let entry = &self.entries[handle];
        let request = Arc::clone(&entry.request);
        if let Some(deadline) = entry.deadline() {
            self.deadlines.insert((deadline, handle));
        }
        self.requests.insert(&request.id, handle);
        self.owners.insert(&request.owner, &request.key, handle);
        if let Some(pull) = &request.pull {
            self.pulls.insert((pull.clone(), request.key.clone(), request.id.clone()), handle);
        }
        self.touch(&request);
    }
}
