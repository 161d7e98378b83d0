//! The invariants of design §3 that a table alone can show. Owns the predicates; model tests, simulations and debug builds ask them.

use std::collections::BTreeMap;

use enhanced_locking_foundation::{FencingToken, LockMode, ResourceKey, Timestamp};

use super::LockTable;
use super::entry::State;

/// A rule that does not hold, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The number of the invariant in design §3; 0 for the bookkeeping of indexes.
    pub invariant: u8,
    /// What was found.
    pub found: String,
}

impl LockTable {
    /// Checks everything a single state can show: invariants 1, 2, 3, 4 and the indexes. Slow; for tests.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check_invariants(&self, now: Timestamp) -> Result<(), Violation> {
        for (key, index) in self.resources.in_order(std::ops::Bound::Unbounded) {
            self.check_resource(key, index, now)?;
        }
        self.check_indexes()
    }

    /// The highest token of every key that is held: compared over time, it shows invariant 2.
    #[must_use]
    pub fn tokens(&self) -> BTreeMap<ResourceKey, FencingToken> {
        let mut tokens = BTreeMap::new();
        for (_, entry) in &self.entries {
            if let Some(holding) = entry.holding() {
                let token: &mut FencingToken = tokens.entry(entry.request.key.clone()).or_default();
                *token = holding.token.max(*token);
            }
        }
        tokens
    }

    fn check_resource(&self, key: &ResourceKey, index: usize, now: Timestamp) -> Result<(), Violation> {
        let resource = &self.resources[index];
        let violated =
            |invariant, found: String| Err(Violation { invariant, found: format!("{key}: {found}") });
        let modes: Vec<LockMode> = resource.holders.iter().map(|h| self.entries[*h].request.mode).collect();
        if modes.len() > 1 && modes.contains(&LockMode::Exclusive) {
            return violated(1, format!("an exclusive holder is not alone: {modes:?}"));
        }
        for handle in &resource.holders {
            let token = self.entries[*handle].holding().map(|holding| holding.token);
            if token.is_none_or(|token| token > self.last_token) {
                return violated(
                    2,
                    format!("token {token:?} is above the last one granted, {}", self.last_token),
                );
            }
        }
        // Whoever is over, in front or in the way, is ended by the next sweep or operation, which hands on.
        let head =
            resource.line.first().map(|(_, handle)| &self.entries[*handle]).filter(|e| !e.is_over(now));
        let over = resource.holders.iter().any(|handle| self.entries[*handle].is_over(now));
        if let Some(head) = head
            && !over
            && self.fits(index, head.request.mode)
        {
            return violated(3, format!("{} could hold and still waits", head.request.id));
        }
        for (place, handle) in &resource.line {
            let entry = &self.entries[*handle];
            let State::Waiting(waiting) = &entry.state else {
                return violated(0, format!("{} holds and stands in line", entry.request.id));
            };
            let rank = self.policy.credits.rank(waiting.enqueued_at, entry.request.priority);
            if waiting.place != place || place.rank != rank {
                return violated(4, format!("{} does not stand where its rank says", entry.request.id));
            }
        }
        Ok(())
    }

    fn check_indexes(&self) -> Result<(), Violation> {
        let violated = |found: String| Err(Violation { invariant: 0, found });
        let mut held = 0;
        let mut deadlines = 0;
        for (handle, entry) in &self.entries {
            let request = &entry.request;
            let mut known = self.request(&request.id) == Some(handle)
                && self.owned(&request.owner, &request.key) == Some(handle)
                && self.resources.find(&request.key) == Some(entry.resource);
            if let Some(deadline) = entry.deadline() {
                deadlines += 1;
                known &= self.deadlines.contains(deadline, handle, &request.ticket());
            }
            match &entry.state {
                State::Holding(holding) => {
                    held += 1;
                    known &= self.resources[entry.resource].holders.get(holding.slot) == Some(&handle);
                }
                State::Waiting(waiting) => {
                    known &= self.resources[entry.resource].line.get(waiting.place) == Some(&handle)
                        && self.queued.contains(&request.key)
                        && self.arrivals.contains(&(waiting.enqueued_at, waiting.place.sequence));
                }
            }
            if !known {
                return violated(format!("{} is missing in an index", request.id));
            }
        }
        let pulls = self.entries.iter().filter(|(_, entry)| entry.request.pull.is_some()).count();
        let waiting = self.entries.len() - held;
        let resources = self.resources.in_order(std::ops::Bound::Unbounded);
        let used = resources.filter(|(_, index)| !self.resources[*index].is_free()).count();
        let counts = [
            ("requests", self.requests.len(), self.entries.len()),
            ("owners", self.owners.len(), self.entries.len()),
            ("pulls", self.pulls.len(), pulls),
            ("deadlines", self.deadlines.len(), deadlines),
            ("held", self.held, held),
            ("arrivals", self.arrivals.len(), waiting),
            ("waiting by owner", self.waiting_by_owner.values().sum(), waiting),
            ("waiting by priority", self.waiting_by_priority.iter().sum(), waiting),
            ("in use", self.in_use, used),
        ];
        if let Some((what, has, wants)) = counts.into_iter().find(|(_, has, wants)| has != wants) {
            return violated(format!("index {what} has {has} entries instead of {wants}"));
        }
        let found = self.resources.violation().or_else(|| self.documents.violation());
        found.map_or(Ok(()), violated)
    }
}
