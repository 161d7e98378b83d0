//! What an owner does with its own request: release, renew, ask, leave. Owns idempotency by token and id (invariant 5).

use std::sync::Arc;

use enhanced_locking_foundation::{
    CancelOutcome, Cause, EndReason, Ended, EventKind, Grant, Lease, LockRecord, NotHeld, Priority,
    ReleaseOutcome, Renewal, ReprioritiseError, RequestState, Ticket, Timestamp,
};
use enhanced_locking_queue::Place;

use super::LockTable;
use super::entry::{Handle, ResourceIndex, State};
use super::handoff::expiry;

impl LockTable {
    /// Releases a lock and hands it to the next in line.
    ///
    /// # Errors
    /// [`NotHeld`] if the grant is not, or no longer, held.
    pub fn release(&mut self, grant: &Grant, now: Timestamp) -> Result<ReleaseOutcome, NotHeld> {
        let (resource, holder) = self.settle_key(grant, now);
        let Some((resource, handle)) = resource.zip(holder) else {
            self.tidy(resource);
            return match self.ended(&grant.id, &grant.key) {
                Some(ended) if ended.reason == EndReason::Released && ended.token == Some(grant.token) => {
                    Ok(ReleaseOutcome::AlreadyReleased)
                }
                _ => Err(self.not_held(grant)),
            };
        };
        self.end(handle, EndReason::Released, Cause::none(), now);
        let next = self.promote(resource, now);
        self.resources.release(resource);
        Ok(ReleaseOutcome::Released { next })
    }

    /// Renews a lease and claims a grant that was not claimed; a sticky lock is only confirmed.
    ///
    /// # Errors
    /// [`NotHeld`] if the grant is not, or no longer, held.
    pub fn renew(&mut self, renewal: &Renewal, now: Timestamp) -> Result<LockRecord, NotHeld> {
        let grant = &renewal.grant;
        let (resource, holder) = self.settle_key(grant, now);
        let Some(handle) = holder else {
            self.tidy(resource);
            return Err(self.not_held(grant));
        };
        if let Some(lease) = renewal.lease.filter(|_| !self.entries[handle].request.lease.is_sticky()) {
            Arc::make_mut(&mut self.entries[handle].request).lease = Lease::For(lease);
        }
        let request = Arc::clone(&self.entries[handle].request);
        let unclaimed = self.entries[handle].holding().is_some_and(|holding| holding.claim_by.is_some());
        if unclaimed {
            return self.claim(handle, now).ok_or_else(|| self.not_held(grant));
        }
        if !request.lease.is_sticky() {
            self.extend(handle, now);
            self.touch(&request);
            self.emit(EventKind::Renewed, Some((request, Some(grant.token))), now);
        }
        self.entries[handle].record().ok_or_else(|| self.not_held(grant))
    }

    /// What has become of a request. Keeps its place in the line and claims the lock it was granted.
    pub fn poll(&mut self, ticket: &Ticket, now: Timestamp) -> RequestState {
        let resource = self.settle_ticket(ticket, now);
        let state = match self.live(ticket) {
            Some(handle) => {
                self.keep_alive(handle, now);
                match self.claim(handle, now) {
                    Some(record) => RequestState::Held(record),
                    None => RequestState::Queued(self.place(handle)),
                }
            }
            None => match self.ended(&ticket.id, &ticket.key) {
                Some(ended) => RequestState::Finished(ended.clone()),
                None => RequestState::Unknown,
            },
        };
        self.tidy(resource);
        state
    }

    /// Takes a request out of the line, or gives back what it was granted and did not claim.
    ///
    /// With a `generation`, only that entry of the line is meant: a later one, or a grant, is left alone.
    pub fn cancel(
        &mut self,
        ticket: &Ticket,
        generation: Option<u64>,
        reason: EndReason,
        cause: Cause,
        now: Timestamp,
    ) -> CancelOutcome {
        let resource = self.settle_ticket(ticket, now);
        let Some((resource, handle)) = resource.zip(self.live(ticket)) else {
            self.tidy(resource);
            return self.cancel_unseen(ticket, generation, reason, cause, now);
        };
        let entry = &self.entries[handle];
        let meant = match &entry.state {
            State::Waiting(waiting) => {
                generation.is_none_or(|generation| generation == waiting.place.sequence)
            }
            State::Holding(holding) => generation.is_none() && holding.claim_by.is_some(),
        };
        if !meant {
            return match entry.record() {
                Some(record) => CancelOutcome::Held(record),
                // Another generation of the line was meant, and that one is gone.
                None => CancelOutcome::Finished(Ended { reason, at: now, token: None }),
            };
        }
        self.end(handle, reason, cause, now);
        self.promote(resource, now);
        self.resources.release(resource);
        CancelOutcome::Cancelled
    }

    /// Gives a waiting request another priority.
    ///
    /// # Errors
    /// [`ReprioritiseError::NotQueued`] if it does not wait.
    pub fn reprioritise(
        &mut self,
        ticket: &Ticket,
        priority: Priority,
        now: Timestamp,
    ) -> Result<RequestState, ReprioritiseError> {
        let resource = self.settle_ticket(ticket, now);
        let waiter = self.live(ticket).filter(|handle| self.entries[*handle].waiting().is_some());
        let Some((resource, handle)) = resource.zip(waiter) else {
            self.tidy(resource);
            return Err(ReprioritiseError::NotQueued);
        };
        let from = self.entries[handle].request.priority;
        if from != priority {
            let mut entry = self.remove_entry(handle);
            Arc::make_mut(&mut entry.request).priority = priority;
            let State::Waiting(mut waiting) = entry.state else { return Err(ReprioritiseError::NotQueued) };
            let rank = self.policy.credits.rank(waiting.enqueued_at, priority);
            waiting.place = Place { rank, ..waiting.place };
            self.insert_waiter(resource, entry.hash, Arc::clone(&entry.request), waiting);
            self.emit(EventKind::Reprioritised { from }, Some((entry.request, None)), now);
            self.promote(resource, now);
        }
        // Only told, not claimed: whoever changes a priority need not be the one who waits.
        let told = self.live(ticket).map(|handle| match self.entries[handle].record() {
            Some(record) => RequestState::Held(record),
            None => RequestState::Queued(self.place(handle)),
        });
        told.ok_or(ReprioritiseError::NotQueued)
    }

    /// Claims a grant if it was not, and returns the record if the entry holds. Owns the one way a claim is made.
    pub(super) fn claim(&mut self, handle: Handle, now: Timestamp) -> Option<LockRecord> {
        let holding = self.entries[handle].holding()?;
        if holding.claim_by.is_some() {
            let token = holding.token;
            self.extend(handle, now);
            let request = Arc::clone(&self.entries[handle].request);
            self.touch(&request);
            self.emit(EventKind::Claimed, Some((request, Some(token))), now);
        }
        self.entries[handle].record()
    }

    /// Starts a holder's lease anew, claimed.
    pub(super) fn extend(&mut self, handle: Handle, now: Timestamp) {
        let request = Arc::clone(&self.entries[handle].request);
        self.retime(handle, |state| {
            if let State::Holding(holding) = state {
                holding.claim_by = None;
                holding.expires_at = expiry(&request, holding.acquired_at, now);
            }
        });
    }

    /// The live entry a ticket names.
    pub(super) fn live(&self, ticket: &Ticket) -> Option<Handle> {
        let handle = self.request(&ticket.id)?;
        (self.entries[handle].request.key == ticket.key).then_some(handle)
    }

    /// The holder a grant names: key, id and token.
    pub(super) fn holder(&self, grant: &Grant) -> Option<Handle> {
        let handle = self.request(&grant.id)?;
        let entry = &self.entries[handle];
        let held = entry.holding().is_some_and(|holding| holding.token == grant.token);
        (held && entry.request.key == grant.key).then_some(handle)
    }

    /// Why a grant is not held.
    pub(super) fn not_held(&self, grant: &Grant) -> NotHeld {
        let live = self.request(&grant.id).map(|handle| &self.entries[handle]);
        let current = live.filter(|entry| entry.request.key == grant.key).and_then(|entry| entry.holding());
        NotHeld {
            ended: self.ended(&grant.id, &grant.key).cloned(),
            current: current.map(|holding| holding.token),
        }
    }

    /// Ends what is over on the resource of a grant. Returns the resource, and the holder if the grant is held then.
    pub(super) fn settle_key(
        &mut self,
        grant: &Grant,
        now: Timestamp,
    ) -> (Option<ResourceIndex>, Option<Handle>) {
        // A live id leads to its resource without searching the keys.
        let holder = self.holder(grant);
        let resource = match holder {
            Some(handle) => Some(self.entries[handle].resource),
            None => self.resources.find(&grant.key),
        };
        match resource {
            Some(resource) if self.is_anything_over(now) => {
                self.settle(resource, now);
                (Some(resource), self.holder(grant))
            }
            resource => (resource, holder),
        }
    }

    fn settle_ticket(&mut self, ticket: &Ticket, now: Timestamp) -> Option<ResourceIndex> {
        let resource = match self.live(ticket) {
            Some(handle) => self.entries[handle].resource,
            None => self.resources.find(&ticket.key)?,
        };
        self.settle(resource, now);
        Some(resource)
    }

    /// Lets go of a resource that an operation has looked at, if there was one.
    pub(super) fn tidy(&mut self, resource: Option<ResourceIndex>) {
        if let Some(resource) = resource {
            self.resources.release(resource);
        }
    }

    /// Notes that a request which was never seen, or is over, must not be granted when it arrives late.
    fn cancel_unseen(
        &mut self,
        ticket: &Ticket,
        generation: Option<u64>,
        reason: EndReason,
        cause: Cause,
        now: Timestamp,
    ) -> CancelOutcome {
        if let Some(ended) = self.ended(&ticket.id, &ticket.key) {
            return CancelOutcome::Finished(ended.clone());
        }
        let ended = Ended { reason, at: now, token: None };
        // Live for another key: ids are not shared, so this ticket names nothing.
        if generation.is_some() || self.request(&ticket.id).is_some() {
            return CancelOutcome::Finished(ended);
        }
        let limit = self.policy.limits.finished;
        let hash = self.ids.of(&ticket.id);
        self.finished.remember(hash, ticket.id.clone(), ticket.key.clone(), ended.clone(), limit);
        if self.track_changes {
            self.effects.refused.push((ticket.clone(), ended));
        }
        self.emit(EventKind::Ended { reason, cause }, None, now);
        CancelOutcome::Cancelled
    }
}
