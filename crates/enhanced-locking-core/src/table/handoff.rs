//! Ends and hand-offs. Owns the one place where a waiter becomes a holder and where a request comes to its end.

use std::sync::Arc;

use enhanced_locking_foundation::{
    AcquireRequest, Cause, EndReason, Ended, EventKind, FencingToken, Lease, LockMode, LockRecord, Timestamp,
};

use super::LockTable;
use super::entry::{Entry, Handle, Holding, ResourceIndex, State};

impl LockTable {
    /// Ends a request: out of the table, remembered, told. The caller hands the resource on.
    pub(super) fn end(
        &mut self,
        handle: Handle,
        reason: EndReason,
        cause: Cause,
        now: Timestamp,
    ) -> ResourceIndex {
        let entry = self.remove_entry(handle);
        let token = entry.holding().map(|holding| holding.token);
        let Entry { request, hash, resource, .. } = entry;
        self.finished.remember(
            hash,
            request.id.clone(),
            request.key.clone(),
            Ended { reason, at: now, token },
            self.policy.limits.finished,
        );
        self.emit(EventKind::Ended { reason, cause }, Some((request, token)), now);
        resource
    }

    /// Ends an entry whose time has run out.
    pub(super) fn end_over(&mut self, handle: Handle, now: Timestamp) -> ResourceIndex {
        let reason = match &self.entries[handle].state {
            State::Holding(holding) if holding.claim_by.is_some() => EndReason::Unclaimed,
            State::Holding(_) => EndReason::Expired,
            State::Waiting(waiting) if waiting.gives_up_at.is_some_and(|at| at <= now) => EndReason::TimedOut,
            State::Waiting(_) => EndReason::Abandoned,
        };
        self.end(handle, reason, Cause::none(), now)
    }

    /// Ends everything of a resource whose time has run out, in the order of time, and hands on.
    ///
    /// Costs nothing while nothing in the table is over; otherwise no more than the smaller of what is over and
    /// what the resource has.
    pub(super) fn settle(&mut self, resource: ResourceIndex, now: Timestamp) {
        if !self.is_anything_over(now) {
            return;
        }
        let own = &self.resources[resource];
        let size = own.holders.len() + own.line.len();
        let mut over: Vec<Handle> = Vec::new();
        let mut walked = 0;
        for handle in self.deadlines.over(now).take(size + 1) {
            walked += 1;
            if self.entries[handle].resource == resource {
                over.push(handle);
            }
        }
        if walked > size {
            over = own.holders.iter().copied().chain(own.line.iter().map(|(_, handle)| *handle)).collect();
            over.retain(|handle| self.entries[*handle].is_over(now));
        }
        if over.is_empty() {
            return;
        }
        over.sort_by(|a, b| {
            let (a, b) = (&self.entries[*a], &self.entries[*b]);
            (a.deadline(), &a.request.id).cmp(&(b.deadline(), &b.request.id))
        });
        for handle in over {
            self.end_over(handle, now);
        }
        self.promote(resource, now);
    }

    /// Whether a request of this mode gets along with the holders.
    pub(super) fn fits(&self, resource: ResourceIndex, mode: LockMode) -> bool {
        // All holders have one mode, or there is one: looking at any of them is enough.
        let holder = self.resources[resource].holders.first();
        holder.is_none_or(|holder| self.entries[*holder].request.mode.is_compatible_with(mode))
    }

    /// Hands the resource to the best live waiters that fit: one exclusive, or the whole run of shared ones.
    ///
    /// Ends nobody. A waiter at the head whose time has run out stops it: its own end, by a sweep or by the settling
    /// of any operation on the resource, hands on. Only a sweep ever meets one, and only until it comes to it.
    pub(super) fn promote(&mut self, resource: ResourceIndex, now: Timestamp) -> Vec<LockRecord> {
        let mut granted = Vec::new();
        while let Some((_, &handle)) = self.resources[resource].line.first() {
            let head = &self.entries[handle];
            if head.is_over(now) || !self.fits(resource, head.request.mode) {
                break;
            }
            granted.push(self.grant_waiter(handle, now));
        }
        granted
    }

    /// Makes a waiter the holder, to be claimed if it is leased.
    pub(super) fn grant_waiter(&mut self, handle: Handle, now: Timestamp) -> LockRecord {
        let entry = self.remove_entry(handle);
        let waited = entry.waiting().map_or(0, |waiting| micros_between(waiting.enqueued_at, now));
        let claim_by = self.claim_by(&entry.request, now, now);
        let holding = self.new_holding(&entry.request, claim_by, now);
        self.insert_holder(entry.resource, entry.hash, Arc::clone(&entry.request), holding);
        let record = holding.record(&entry.request);
        self.emit(EventKind::Granted { waited_us: waited }, Some((entry.request, Some(holding.token))), now);
        record
    }

    /// A holding with a token of its own and its full lease.
    pub(super) fn new_holding(
        &mut self,
        request: &AcquireRequest,
        claim_by: Option<Timestamp>,
        now: Timestamp,
    ) -> Holding {
        Holding {
            token: self.next_token(now),
            acquired_at: now,
            expires_at: expiry(request, now, now),
            claim_by,
            slot: 0,
        }
    }

    /// Until when a lock handed over must be claimed: within the window, and never beyond its greatest age.
    pub(super) fn claim_by(
        &self,
        request: &AcquireRequest,
        acquired_at: Timestamp,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if request.lease.is_sticky() {
            return None;
        }
        let window = now.plus(self.policy.timing.claim_window);
        Some(request.max_age.map_or(window, |age| window.min(acquired_at.plus(age))))
    }

    /// The token of the next grant (design §4, "fencing token"). One floor for the whole table: it never forgets.
    pub(super) fn next_token(&mut self, now: Timestamp) -> FencingToken {
        self.last_token = self.last_token.next(now);
        self.last_token
    }
}

/// When a lock ends that was acquired then and is renewed now.
pub(super) fn expiry(request: &AcquireRequest, acquired_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let lease = match request.lease {
        Lease::Sticky => None,
        Lease::For(duration) => Some(now.plus(duration)),
    };
    match (lease, request.max_age.map(|age| acquired_at.plus(age))) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn micros_between(earlier: Timestamp, later: Timestamp) -> u64 {
    later.as_micros().saturating_sub(earlier.as_micros())
}
