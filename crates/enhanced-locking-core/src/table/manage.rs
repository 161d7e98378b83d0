//! What is done to locks from outside: transfer, force, clearing an owner, sweeping. Owns no new rules: ends and hand-offs are in `handoff`.

use std::sync::Arc;

use enhanced_locking_foundation::{
    Cause, Cleared, EndReason, EventKind, Grant, LockRecord, RequestId, ResourceKey, Selector, SweepOutcome,
    Timestamp, TransferError, Transferee,
};

use super::LockTable;
use super::entry::{Handle, ResourceIndex, State};

impl LockTable {
    /// Hands a lock to another owner with a new token; to its waiting request, if it has one.
    ///
    /// # Errors
    /// [`TransferError`] if the grant is not held, or the new owner cannot take it. Nothing was changed.
    pub fn transfer(
        &mut self,
        grant: &Grant,
        to: Transferee,
        now: Timestamp,
    ) -> Result<LockRecord, TransferError> {
        let (resource, holder) = self.settle_key(grant, now);
        let Some((resource, handle)) = resource.zip(holder) else {
            let repeated = self.transferred_before(grant, &to);
            self.tidy(resource);
            return repeated.ok_or_else(|| self.not_held(grant).into());
        };
        let request = Arc::clone(&self.entries[handle].request);
        if request.owner == to.owner {
            return self.entries[handle].record().ok_or_else(|| self.not_held(grant).into());
        }
        match self.owned(&to.owner, &grant.key) {
            Some(other) => self.transfer_to_waiter(resource, handle, other, now),
            None => {
                let mut entry = self.remove_entry(handle);
                let changed = Arc::make_mut(&mut entry.request);
                (changed.owner, changed.user, changed.pull) = (to.owner, to.user, to.pull);
                let holding = self.new_holding(&entry.request, None, now);
                self.insert_holder(resource, entry.hash, Arc::clone(&entry.request), holding);
                let record = holding.record(&entry.request);
                let kind = EventKind::Transferred { from: request.owner.clone() };
                self.emit(kind, Some((entry.request, Some(holding.token))), now);
                Ok(record)
            }
        }
    }

    /// Takes a lock away from one holder or from all. Returns what they held.
    pub fn force_release(
        &mut self,
        key: &ResourceKey,
        id: Option<&RequestId>,
        cause: &Cause,
        now: Timestamp,
    ) -> Vec<LockRecord> {
        let Some(resource) = self.resources.find(key) else { return Vec::new() };
        self.settle(resource, now);
        let mut holders = self.resources[resource].holders.clone();
        // In the order of their ids, which every store can keep.
        holders.sort_by(|a, b| self.entries[*a].request.id.cmp(&self.entries[*b].request.id));
        let mut ended = Vec::new();
        for handle in holders {
            if id.is_none_or(|id| self.entries[handle].request.id == *id) {
                ended.extend(self.entries[handle].record());
                self.end(handle, EndReason::ForceReleased, cause.clone(), now);
            }
        }
        self.promote(resource, now);
        self.resources.release(resource);
        ended
    }

    /// Releases everything of an owner or a pull request, and leaves all its lines.
    pub fn clear(&mut self, selector: &Selector, cause: &Cause, now: Timestamp) -> Cleared {
        let mut cleared = Cleared::default();
        let selected = self.selected(selector).into_iter();
        // In the order of keys, so that equal ones are beside each other.
        let mut resources: Vec<ResourceIndex> =
            selected.map(|handle| self.entries[handle].resource).collect();
        resources.dedup();
        for resource in &resources {
            self.settle(*resource, now);
        }
        // Every end comes before any hand-off, so that nothing is handed to what is being cleared.
        for handle in self.selected(selector) {
            let entry = &self.entries[handle];
            match entry.record() {
                Some(record) => cleared.released.push(record),
                None => cleared.cancelled.push(Arc::clone(&entry.request)),
            }
            self.end(handle, EndReason::OwnerGone, cause.clone(), now);
        }
        for resource in &resources {
            self.promote(*resource, now);
        }
        // Letting go of one may forget another: not before all have been handed on.
        for resource in resources {
            self.resources.release(resource);
        }
        cleared
    }

    /// Ends at most `budget` entries whose time has run out, and hands on after each.
    ///
    /// They end in the order of deadline, key and request id. A hand-off stops at a waiter that is over itself: its
    /// own turn in that order hands on.
    pub fn sweep(&mut self, budget: usize, now: Timestamp) -> SweepOutcome {
        let mut ended = 0;
        while ended < budget {
            let entries = &self.entries;
            let first = self.deadlines.first_over(now, |handle| entries[handle].request.ticket());
            let Some(handle) = first else { break };
            let resource = self.end_over(handle, now);
            ended += 1;
            self.promote(resource, now);
            self.resources.release(resource);
        }
        SweepOutcome { ended, next: self.earliest_deadline() }
    }

    /// The lock as a transfer that was sent before has left it: a retry after a lost reply.
    fn transferred_before(&self, grant: &Grant, to: &Transferee) -> Option<LockRecord> {
        let handle = self.owned(&to.owner, &grant.key)?;
        let entry = &self.entries[handle];
        let ended = self.ended(&grant.id, &grant.key);
        let same = entry.request.id == grant.id || ended.is_some_and(|e| e.reason == EndReason::Transferred);
        entry.record().filter(|record| same && record.token > grant.token)
    }

    fn transfer_to_waiter(
        &mut self,
        resource: ResourceIndex,
        from: Handle,
        to: Handle,
        now: Timestamp,
    ) -> Result<LockRecord, TransferError> {
        let State::Waiting(_) = self.entries[to].state else { return Err(TransferError::AlreadyHolds) };
        if self.entries[from].request.mode != self.entries[to].request.mode {
            return Err(TransferError::OtherMode);
        }
        let owner = self.entries[from].request.owner.clone();
        self.end(from, EndReason::Transferred, Cause::none(), now);
        let to = self.remove_entry(to);
        let claim_by = self.claim_by(&to.request, now, now);
        let holding = self.new_holding(&to.request, claim_by, now);
        self.insert_holder(resource, to.hash, Arc::clone(&to.request), holding);
        let record = holding.record(&to.request);
        let kind = EventKind::Transferred { from: owner };
        self.emit(kind, Some((to.request, Some(holding.token))), now);
        // A waiter that left the head of the line may have been what kept shared ones behind it waiting.
        self.promote(resource, now);
        Ok(record)
    }

    /// Everything of an owner or a pull request, in the order of keys.
    pub(super) fn selected(&self, selector: &Selector) -> Vec<Handle> {
        match selector {
            Selector::Owner(owner) => self.owners.of(owner, |handle| &self.entries[handle].request),
            Selector::Pull(pull) => {
                let mine = self.pulls.range((pull.clone(), ResourceKey::floor(), RequestId::floor())..);
                mine.take_while(|((of, _, _), _)| of == pull).map(|(_, handle)| *handle).collect()
            }
        }
    }
}
