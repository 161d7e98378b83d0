//! The operations of the reference, rule by rule.

use std::sync::Arc;

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BatchOutcome, CancelOutcome, Cause, Cleared, EndReason,
    Ended, EventKind, Grant, Lease, LockRecord, NotHeld, OwnerId, Priority, ReleaseOutcome, Renewal,
    ReprioritiseError, RequestId, RequestState, ResourceKey, Selector, Ticket, Timestamp, TransferError,
    Transferee, Wait,
};

use super::entry::{Entry, State, Waits, covers, expiry, rank};
use super::{Answer, Command, Reference};

impl Reference {
    /// Does what a command says.
    pub fn perform(&mut self, command: &Command, now: Timestamp) -> Answer {
        match command {
            Command::Acquire(request) => Answer::Acquire(self.acquire(request, now)),
            Command::AcquireAll(requests) => Answer::AcquireAll(self.acquire_all(requests, now)),
            Command::Poll(ticket) => {
                self.settle(&ticket.key, now);
                if let Some(index) = self.find_live(ticket) {
                    self.sign_of_life(index, now);
                }
                Answer::State(self.state_of(ticket))
            }
            Command::Find(id) => Answer::Found(self.find(id)),
            Command::Cancel { ticket, generation, reason, cause } => {
                Answer::Cancel(self.cancel(ticket, *generation, *reason, cause, now))
            }
            Command::Reprioritise(ticket, priority) => {
                Answer::Reprioritise(self.reprioritise(ticket, *priority, now))
            }
            Command::Release(grant) => Answer::Release(self.release(grant, now)),
            Command::Renew(renewals) => {
                Answer::Renew(renewals.iter().map(|renewal| self.renew(renewal, now)).collect())
            }
            Command::Transfer(grant, to) => Answer::Transfer(self.transfer(grant, to, now)),
            Command::Force(key, id, cause) => Answer::Force(self.force(key, id.as_ref(), cause, now)),
            Command::Clear(selector, cause) => Answer::Clear(self.clear(selector, cause, now)),
            Command::Sweep(budget) => Answer::Sweep(self.sweep(*budget, now)),
        }
    }

    fn acquire(&mut self, request: &AcquireRequest, now: Timestamp) -> Result<AcquireOutcome, AcquireError> {
        request.check()?;
        let key = &request.key;
        self.settle(key, now);
        if let Some(index) = self.own(request)? {
            self.sign_of_life(index, now);
            return Ok(match self.entries[index].record() {
                Some(record) => AcquireOutcome::Held(record),
                None => AcquireOutcome::Queued(self.place(index)),
            });
        }
        if self.is_free_for(request, now) {
            self.check_room(1)?;
            return Ok(AcquireOutcome::Held(self.grant_at_once(request, now)));
        }
        if request.wait == Wait::No {
            return Ok(AcquireOutcome::Busy(self.blockers(key)));
        }
        self.check_line(request)?;
        self.last_sequence += 1;
        let request = Arc::new(request.clone());
        self.entries.push(Entry {
            request: Arc::clone(&request),
            state: State::Waits(Waits {
                enqueued_at: now,
                sequence: self.last_sequence,
                gives_up_at: match request.wait {
                    Wait::AtMost(limit) => Some(now.plus(limit)),
                    Wait::No | Wait::Forever => None,
                },
                keep_alive_by: match request.lease {
                    Lease::Sticky => None,
                    Lease::For(_) => Some(now.plus(self.policy.timing.keep_alive)),
                },
            }),
        });
        let place = self.place(self.entries.len() - 1);
        self.emit(EventKind::Queued { position: place.position }, Some((request, None)), now);
        Ok(AcquireOutcome::Queued(place))
    }

    fn acquire_all(
        &mut self,
        requests: &[AcquireRequest],
        now: Timestamp,
    ) -> Result<BatchOutcome, AcquireError> {
        let limit = self.policy.limits.batch;
        if requests.len() > limit {
            return Err(AcquireError::LimitReached { what: "locks in one batch", limit });
        }
        for (n, request) in requests.iter().enumerate() {
            request.check()?;
            if requests[..n].iter().any(|other| other.key == request.key) {
                return Err(AcquireError::DuplicateKey { key: request.key.clone() });
            }
            if requests[..n].iter().any(|other| other.id == request.id) {
                return Err(AcquireError::IdReused { id: request.id.clone() });
            }
        }
        let mut keys: Vec<&ResourceKey> = requests.iter().map(|request| &request.key).collect();
        keys.sort();
        for key in keys {
            self.settle(key, now);
        }
        let mut new = 0;
        let mut blocked = Vec::new();
        for request in requests {
            match self.own(request)? {
                Some(index) if self.entries[index].holds().is_some() => {}
                None if self.is_free_for(request, now) => new += 1,
                _ => blocked.push((request.id.clone(), self.blockers(&request.key))),
            }
        }
        if !blocked.is_empty() {
            return Ok(BatchOutcome::Busy(blocked));
        }
        self.check_room(new)?;
        let mut records = Vec::new();
        for request in requests {
            match self.own(request)? {
                Some(index) => {
                    self.sign_of_life(index, now);
                    records.extend(self.entries[index].record());
                }
                None => records.push(self.grant_at_once(request, now)),
            }
        }
        Ok(BatchOutcome::Held(records))
    }

    /// The entry that answers a request already. In this order: finished, id, owner.
    fn own(&self, request: &AcquireRequest) -> Result<Option<usize>, AcquireError> {
        if let Some(ended) = self.ended(&request.ticket()) {
            return Err(AcquireError::Finished { id: request.id.clone(), ended: ended.clone() });
        }
        // An id lives once, whatever its key.
        if let Some(index) = self.entries.iter().position(|entry| entry.request.id == request.id) {
            if !request.is_retry_of(&self.entries[index].request) {
                return Err(AcquireError::IdReused { id: request.id.clone() });
            }
            return Ok(Some(index));
        }
        let own = self
            .entries
            .iter()
            .position(|entry| entry.request.key == request.key && entry.request.owner == request.owner);
        match own {
            Some(index) if !covers(self.entries[index].request.mode, request.mode) => {
                Err(AcquireError::Upgrade)
            }
            own => Ok(own),
        }
    }

    /// As if it joined the line and the line were settled.
    fn is_free_for(&self, request: &AcquireRequest, now: Timestamp) -> bool {
        let own = rank(&self.policy, request, now, self.last_sequence + 1);
        self.fits(&request.key, request.mode)
            && self.line(&request.key).iter().all(|i| self.entries[*i].rank(&self.policy) > own)
    }

    fn grant_at_once(&mut self, request: &AcquireRequest, now: Timestamp) -> LockRecord {
        let request = Arc::new(request.clone());
        let holds = self.grant(&request, true, now);
        let entry = Entry { request: Arc::clone(&request), state: State::Holds(holds) };
        self.emit(EventKind::Acquired, Some((Arc::clone(&request), Some(holds.token))), now);
        self.entries.push(entry);
        LockRecord {
            request,
            token: holds.token,
            acquired_at: holds.acquired_at,
            expires_at: holds.expires_at,
            claim_by: None,
        }
    }

    fn check_room(&self, more: usize) -> Result<(), AcquireError> {
        let limit = self.policy.limits.locks_total;
        if self.held().len() + more > limit {
            return Err(AcquireError::LimitReached { what: "locks", limit });
        }
        Ok(())
    }

    fn check_line(&self, request: &AcquireRequest) -> Result<(), AcquireError> {
        let limits = &self.policy.limits;
        let waiting = |which: &dyn Fn(&AcquireRequest) -> bool| {
            self.entries.iter().filter(|entry| entry.waits().is_some() && which(&entry.request)).count()
        };
        let bounds = [
            ("for this key", waiting(&|other| other.key == request.key), limits.waiters_per_key),
            ("for this owner", waiting(&|other| other.owner == request.owner), limits.waiters_per_owner),
            ("in all", waiting(&|_| true), limits.waiters_total),
        ];
        for (scope, waiting, limit) in bounds {
            if waiting >= limit {
                return Err(AcquireError::QueueFull { scope, waiting, limit });
            }
        }
        Ok(())
    }

    /// Keeps the place of a leased waiter; claims the grant of one that was handed the lock.
    fn sign_of_life(&mut self, index: usize, now: Timestamp) {
        let keep_alive = self.policy.timing.keep_alive;
        let entry = &mut self.entries[index];
        let request = Arc::clone(&entry.request);
        match &mut entry.state {
            State::Waits(waits) => {
                waits.keep_alive_by = waits.keep_alive_by.map(|_| now.plus(keep_alive));
            }
            State::Holds(holds) if holds.claim_by.is_some() => {
                holds.claim_by = None;
                holds.expires_at = expiry(&request, holds.acquired_at, now);
                let token = holds.token;
                self.emit(EventKind::Claimed, Some((request, Some(token))), now);
            }
            State::Holds(_) => {}
        }
    }

    fn cancel(
        &mut self,
        ticket: &Ticket,
        generation: Option<u64>,
        reason: EndReason,
        cause: &Cause,
        now: Timestamp,
    ) -> CancelOutcome {
        self.settle(&ticket.key, now);
        let without_effect = CancelOutcome::Finished(Ended { reason, at: now, token: None });
        let Some(index) = self.find_live(ticket) else {
            if let Some(ended) = self.ended(ticket) {
                return CancelOutcome::Finished(ended.clone());
            }
            if generation.is_some() {
                return without_effect;
            }
            self.finished.push((ticket.clone(), Ended { reason, at: now, token: None }));
            self.forget();
            self.emit(EventKind::Ended { reason, cause: cause.clone() }, None, now);
            return CancelOutcome::Cancelled;
        };
        match (&self.entries[index].state, self.entries[index].record()) {
            (State::Waits(waits), _) if generation.is_some_and(|meant| meant != waits.sequence) => {
                return without_effect;
            }
            (State::Holds(holds), Some(record)) if generation.is_some() || holds.claim_by.is_none() => {
                return CancelOutcome::Held(record);
            }
            _ => {}
        }
        self.end(index, reason, cause, now);
        self.hand_on(&ticket.key, now);
        CancelOutcome::Cancelled
    }

    fn reprioritise(
        &mut self,
        ticket: &Ticket,
        priority: Priority,
        now: Timestamp,
    ) -> Result<RequestState, ReprioritiseError> {
        self.settle(&ticket.key, now);
        let index = self.find_live(ticket).filter(|index| self.entries[*index].waits().is_some());
        let Some(index) = index else { return Err(ReprioritiseError::NotQueued) };
        let from = self.entries[index].request.priority;
        if from != priority {
            Arc::make_mut(&mut self.entries[index].request).priority = priority;
            let request = Arc::clone(&self.entries[index].request);
            self.emit(EventKind::Reprioritised { from }, Some((request, None)), now);
            self.hand_on(&ticket.key, now);
        }
        Ok(self.state_of(ticket))
    }

    /// The holder that a grant names by key, id and token.
    fn holder(&self, grant: &Grant) -> Option<usize> {
        let ticket = Ticket { key: grant.key.clone(), id: grant.id.clone() };
        let index = self.find_live(&ticket)?;
        self.entries[index].holds().is_some_and(|holds| holds.token == grant.token).then_some(index)
    }

    fn not_held(&self, grant: &Grant) -> NotHeld {
        let ticket = Ticket { key: grant.key.clone(), id: grant.id.clone() };
        let live = self.find_live(&ticket).and_then(|index| self.entries[index].holds());
        NotHeld { ended: self.ended(&ticket).cloned(), current: live.map(|holds| holds.token) }
    }

    fn release(&mut self, grant: &Grant, now: Timestamp) -> Result<ReleaseOutcome, NotHeld> {
        self.settle(&grant.key, now);
        if let Some(index) = self.holder(grant) {
            self.end(index, EndReason::Released, &Cause::none(), now);
            return Ok(ReleaseOutcome::Released { next: self.hand_on(&grant.key, now) });
        }
        let refused = self.not_held(grant);
        match &refused.ended {
            Some(Ended { reason: EndReason::Released, token, .. }) if *token == Some(grant.token) => {
                Ok(ReleaseOutcome::AlreadyReleased)
            }
            _ => Err(refused),
        }
    }

    fn renew(&mut self, renewal: &Renewal, now: Timestamp) -> Result<LockRecord, NotHeld> {
        let grant = &renewal.grant;
        self.settle(&grant.key, now);
        let Some(index) = self.holder(grant) else { return Err(self.not_held(grant)) };
        if !self.entries[index].is_sticky() {
            if let Some(lease) = renewal.lease {
                Arc::make_mut(&mut self.entries[index].request).lease = Lease::For(lease);
            }
            let request = Arc::clone(&self.entries[index].request);
            if let State::Holds(holds) = &mut self.entries[index].state {
                let kind = if holds.claim_by.is_some() { EventKind::Claimed } else { EventKind::Renewed };
                holds.claim_by = None;
                holds.expires_at = expiry(&request, holds.acquired_at, now);
                self.emit(kind, Some((request, Some(grant.token))), now);
            }
        }
        self.entries[index].record().ok_or_else(|| self.not_held(grant))
    }

    fn transfer(
        &mut self,
        grant: &Grant,
        to: &Transferee,
        now: Timestamp,
    ) -> Result<LockRecord, TransferError> {
        self.settle(&grant.key, now);
        let theirs = self
            .entries
            .iter()
            .position(|entry| entry.request.key == grant.key && entry.request.owner == to.owner);
        let Some(index) = self.holder(grant) else {
            let refused = self.not_held(grant);
            // A retry of a transfer that was done: the new owner holds what came of it, with a later token.
            let done = theirs.and_then(|index| self.entries[index].record()).filter(|record| {
                let moved = refused.ended.as_ref().is_some_and(|e| e.reason == EndReason::Transferred);
                (record.request.id == grant.id || moved) && record.token > grant.token
            });
            return done.ok_or_else(|| refused.into());
        };
        let from = self.entries[index].request.owner.clone();
        if from == to.owner {
            return self.entries[index].record().ok_or_else(|| self.not_held(grant).into());
        }
        let Some(theirs) = theirs else {
            let request = Arc::make_mut(&mut self.entries[index].request);
            request.owner = to.owner.clone();
            request.user = to.user.clone();
            request.pull = to.pull.clone();
            let request = Arc::clone(&self.entries[index].request);
            return self
                .take_over(index, from, true, &request, now)
                .ok_or_else(|| self.not_held(grant).into());
        };
        if self.entries[theirs].holds().is_some() {
            return Err(TransferError::AlreadyHolds);
        }
        if self.entries[theirs].request.mode != self.entries[index].request.mode {
            return Err(TransferError::OtherMode);
        }
        let request = Arc::clone(&self.entries[theirs].request);
        self.end(index, EndReason::Transferred, &Cause::none(), now);
        let Some(theirs) = self.find_live(&request.ticket()) else { return Err(TransferError::OtherMode) };
        let record = self.take_over(theirs, from, false, &request, now);
        self.hand_on(&grant.key, now);
        record.ok_or_else(|| self.not_held(grant).into())
    }

    fn take_over(
        &mut self,
        index: usize,
        from: OwnerId,
        claimed: bool,
        request: &Arc<AcquireRequest>,
        now: Timestamp,
    ) -> Option<LockRecord> {
        let holds = self.grant(request, claimed, now);
        self.entries[index].state = State::Holds(holds);
        let kind = EventKind::Transferred { from };
        self.emit(kind, Some((Arc::clone(request), Some(holds.token))), now);
        self.entries[index].record()
    }

    fn force(
        &mut self,
        key: &ResourceKey,
        id: Option<&RequestId>,
        cause: &Cause,
        now: Timestamp,
    ) -> Vec<LockRecord> {
        self.settle(key, now);
        let mut records = self.holders(key);
        records.retain(|record| id.is_none_or(|id| record.request.id == *id));
        for record in &records {
            if let Some(index) = self.find_live(&record.request.ticket()) {
                self.end(index, EndReason::ForceReleased, cause, now);
            }
        }
        if !records.is_empty() {
            self.hand_on(key, now);
        }
        records
    }

    fn clear(&mut self, selector: &Selector, cause: &Cause, now: Timestamp) -> Cleared {
        let meant = |request: &AcquireRequest| match selector {
            Selector::Owner(owner) => request.owner == *owner,
            Selector::Pull(pull) => request.pull.as_ref() == Some(pull),
        };
        let tickets = |reference: &Self| {
            let entries = reference.entries.iter().filter(|entry| meant(&entry.request));
            let mut tickets: Vec<Ticket> = entries.map(|entry| entry.request.ticket()).collect();
            tickets.sort();
            tickets
        };
        let mut keys: Vec<ResourceKey> = tickets(self).into_iter().map(|ticket| ticket.key).collect();
        keys.dedup();
        for key in &keys {
            self.settle(key, now);
        }
        let mut cleared = Cleared::default();
        for ticket in tickets(self) {
            let Some(index) = self.find_live(&ticket) else { continue };
            let entry = self.end(index, EndReason::OwnerGone, cause, now);
            match entry.record() {
                Some(record) => cleared.released.push(record),
                None => cleared.cancelled.push(entry.request),
            }
        }
        for key in &keys {
            self.hand_on(key, now);
        }
        cleared
    }
}
