//! Ends and hand-offs of the reference: "every operation first ends what is over, and every end hands on".

use std::sync::Arc;

use enhanced_locking_foundation::{
    AcquireRequest, Cause, EndReason, Ended, EventKind, LockMode, LockRecord, ResourceKey, SweepOutcome,
    Timestamp,
};

use super::Reference;
use super::entry::{Entry, Holds, State, claim_by, expiry, gets_along, micros};

impl Reference {
    /// Takes a request out, remembers and tells its end.
    pub(super) fn end(&mut self, index: usize, reason: EndReason, cause: &Cause, now: Timestamp) -> Entry {
        let entry = self.entries.remove(index);
        let token = entry.holds().map(|holds| holds.token);
        self.finished.push((entry.request.ticket(), Ended { reason, at: now, token }));
        self.forget();
        let kind = EventKind::Ended { reason, cause: cause.clone() };
        self.emit(kind, Some((Arc::clone(&entry.request), token)), now);
        entry
    }

    /// Keeps the memory of ends within its limit.
    pub(super) fn forget(&mut self) {
        while self.finished.len() > self.policy.limits.finished {
            self.finished.remove(0);
        }
    }

    /// Ends what is over on a key, first come first, then hands on.
    pub(super) fn settle(&mut self, key: &ResourceKey, now: Timestamp) {
        let mut any = false;
        while let Some(index) = self.next_over(now, |entry| entry.request.key == *key) {
            self.end_over(index, now);
            any = true;
        }
        if any {
            self.hand_on(key, now);
        }
    }

    /// Ends up to `budget` entries that are over, in the order of time, key and id, handing on after each.
    pub(super) fn sweep(&mut self, budget: usize, now: Timestamp) -> SweepOutcome {
        let mut ended = 0;
        while ended < budget {
            let Some(index) = self.next_over(now, |_| true) else { break };
            let key = self.entries[index].request.key.clone();
            self.end_over(index, now);
            self.hand_on(&key, now);
            ended += 1;
        }
        SweepOutcome { ended, next: self.next_deadline() }
    }

    /// Makes the best waiters that fit holders, up to the first that does not fit or is over: its own end hands on.
    pub(super) fn hand_on(&mut self, key: &ResourceKey, now: Timestamp) -> Vec<LockRecord> {
        let mut granted = Vec::new();
        while let Some(&head) = self.line(key).first() {
            let entry = &self.entries[head];
            if entry.over(now).is_some() || !self.fits(key, entry.request.mode) {
                break;
            }
            granted.extend(self.grant_waiter(head, now));
        }
        granted
    }

    /// Whether a mode gets along with all holders.
    pub(super) fn fits(&self, key: &ResourceKey, mode: LockMode) -> bool {
        self.holders(key).iter().all(|holder| gets_along(holder.request.mode, mode))
    }

    /// A new grant: a token above every other, the full lease.
    pub(super) fn grant(&mut self, request: &AcquireRequest, claimed: bool, now: Timestamp) -> Holds {
        self.last_token = self.last_token.next(now);
        Holds {
            token: self.last_token,
            acquired_at: now,
            expires_at: expiry(request, now, now),
            claim_by: if claimed { None } else { claim_by(&self.policy, request, now, now) },
        }
    }

    fn grant_waiter(&mut self, index: usize, now: Timestamp) -> Option<LockRecord> {
        let request = Arc::clone(&self.entries[index].request);
        let joined = self.entries[index].waits()?.enqueued_at;
        let holds = self.grant(&request, false, now);
        self.entries[index].state = State::Holds(holds);
        let kind = EventKind::Granted { waited_us: micros(now.since(joined)) };
        self.emit(kind, Some((request, Some(holds.token))), now);
        self.entries[index].record()
    }

    fn end_over(&mut self, index: usize, now: Timestamp) {
        if let Some(reason) = self.entries[index].over(now) {
            self.end(index, reason, &Cause::none(), now);
        }
    }

    /// What ends first of what is over; of several at the same instant, the first by its names.
    fn next_over(&self, now: Timestamp, which: impl Fn(&Entry) -> bool) -> Option<usize> {
        (0..self.entries.len())
            .filter(|i| which(&self.entries[*i]) && self.entries[*i].over(now).is_some())
            .min_by_key(|i| {
                let entry = &self.entries[*i];
                (entry.deadline().map(|(at, _)| at), entry.request.ticket())
            })
    }
}
