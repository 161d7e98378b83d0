//! The state of the reference and the questions about it. Owns the plain vectors; what changes them is in `operations` and `handoff`.

use std::sync::Arc;

use enhanced_locking_foundation::{
    AcquireRequest, Ended, EventKind, FencingToken, LockEvent, LockRecord, QueuePlace, QueueView, RequestId,
    RequestState, ResourceKey, Stats, Ticket, Timestamp, WaitEdge,
};

use super::Snapshot;
use super::entry::{Entry, State, claim_by, expiry, gets_along};
use crate::conformance::FixturePolicy;

/// The reference: all requests in one vector, everything found by looking.
#[derive(Clone, Debug)]
pub struct Reference {
    pub(super) policy: FixturePolicy,
    pub(super) entries: Vec<Entry>,
    /// The newest ends, oldest first.
    pub(super) finished: Vec<(Ticket, Ended)>,
    pub(super) last_token: FencingToken,
    pub(super) last_sequence: u64,
    last_event: u64,
    events: Vec<LockEvent>,
}

impl Reference {
    /// An empty store.
    #[must_use]
    pub fn new(policy: FixturePolicy) -> Self {
        Self {
            policy,
            entries: Vec::new(),
            finished: Vec::new(),
            last_token: FencingToken::NONE,
            last_sequence: 0,
            last_event: 0,
            events: Vec::new(),
        }
    }

    /// The events that nobody has taken yet, in order.
    #[must_use]
    pub fn events(&self) -> &[LockEvent] {
        &self.events
    }

    /// The events since the last call, in order.
    pub fn take_events(&mut self) -> Vec<LockEvent> {
        std::mem::take(&mut self.events)
    }

    /// A durable store was closed and opened again: leases, claim windows and keep-alives begin anew.
    pub fn restart(&mut self, now: Timestamp) {
        let mut extended = 0;
        for entry in &mut self.entries {
            if entry.is_sticky() {
                continue;
            }
            match &mut entry.state {
                State::Holds(holds) => {
                    let before = (holds.expires_at, holds.claim_by);
                    holds.expires_at = expiry(&entry.request, holds.acquired_at, now);
                    if holds.claim_by.is_some() {
                        holds.claim_by = claim_by(&self.policy, &entry.request, holds.acquired_at, now);
                    }
                    extended += usize::from(before != (holds.expires_at, holds.claim_by));
                }
                State::Waits(waits) => {
                    waits.keep_alive_by = Some(now.plus(self.policy.timing.keep_alive));
                    extended += 1;
                }
            }
        }
        if extended > 0 {
            self.emit(EventKind::Resumed { extended }, None, now);
        }
        // Who was over and stands first has come to life again: it may be owed what is free.
        let mut keys: Vec<ResourceKey> = self.entries.iter().map(|e| e.request.key.clone()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            self.hand_on(&key, now);
        }
    }

    /// The requests that hold or wait, in the order of their ids.
    #[must_use]
    pub fn live(&self) -> Vec<Ticket> {
        let mut tickets: Vec<Ticket> = self.entries.iter().map(|entry| entry.request.ticket()).collect();
        tickets.sort_by(|a, b| a.id.cmp(&b.id));
        tickets
    }

    /// The records of all holders, in the order of keys and ids.
    #[must_use]
    pub fn held(&self) -> Vec<LockRecord> {
        let mut records: Vec<LockRecord> = self.entries.iter().filter_map(Entry::record).collect();
        records.sort_by(|a, b| (&a.request.key, &a.request.id).cmp(&(&b.request.key, &b.request.id)));
        records
    }

    /// The request for a key that came to its end last.
    #[must_use]
    pub fn newest_end(&self, key: &ResourceKey) -> Option<(Ticket, Ended)> {
        self.finished.iter().rev().find(|(ticket, _)| ticket.key == *key).cloned()
    }

    /// When anything is over next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.entries.iter().filter_map(|entry| Some(entry.deadline()?.0)).min()
    }

    /// The generation of a waiting request.
    #[must_use]
    pub fn generation(&self, ticket: &Ticket) -> Option<u64> {
        let entry = &self.entries[self.find_live(ticket)?];
        entry.waits().map(|waits| waits.sequence)
    }

    /// The state as a text that is equal for states with the same future: times count from now, keys and ids have no
    /// names, tokens and sequences only an order. Two keys that have changed places are the same.
    #[must_use]
    pub fn canonical(&self, now: Timestamp) -> String {
        let away =
            |at: Option<Timestamp>| at.map(|at| i128::from(at.as_micros()) - i128::from(now.as_micros()));
        let mut keys: Vec<&ResourceKey> = self.entries.iter().map(|entry| &entry.request.key).collect();
        keys.extend(self.finished.iter().map(|(ticket, _)| &ticket.key));
        keys.sort();
        keys.dedup();
        let credits = self.policy.credits.iter().any(|credit| !credit.is_zero());
        let mut words: Vec<String> = Vec::new();
        for key in keys {
            let mut entries: Vec<&Entry> =
                self.entries.iter().filter(|entry| entry.request.key == *key).collect();
            entries.sort_by_key(|entry| (entry.rank(&self.policy), entry.holds().map(|holds| holds.token)));
            let mut word = String::new();
            for entry in entries {
                let request = &entry.request;
                let state = match &entry.state {
                    State::Holds(holds) => {
                        let aged = request.max_age.and(away(Some(holds.acquired_at)));
                        (away(holds.expires_at), away(holds.claim_by), aged)
                    }
                    State::Waits(waits) => {
                        let joined = away(Some(waits.enqueued_at)).filter(|_| credits);
                        (away(waits.gives_up_at), away(waits.keep_alive_by), joined)
                    }
                };
                word += &format!(
                    "{} {} {} {:?} {:?} {} {state:?};",
                    request.owner,
                    request.mode,
                    request.priority,
                    request.lease,
                    request.wait,
                    entry.holds().is_some(),
                );
            }
            let last = self.newest_end(key).map(|(_, ended)| (ended.reason, ended.token.is_some()));
            words.push(format!("{word} {last:?}"));
        }
        words.sort();
        words.join("\n")
    }

    /// Everything that can be seen from outside.
    #[must_use]
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let mut keys: Vec<&ResourceKey> = self.entries.iter().map(|entry| &entry.request.key).collect();
        keys.sort();
        keys.dedup();
        let views: Vec<QueueView> = keys.iter().map(|key| self.view(key)).collect();
        let mut edges: Vec<WaitEdge> = self.entries.iter().filter_map(|entry| self.edge(entry)).collect();
        edges.sort_by(|a, b| (&a.request.key, &a.request.id).cmp(&(&b.request.key, &b.request.id)));
        let mut snapshot = Snapshot { views, locks: self.held(), edges, stats: self.stats(now) };
        snapshot.normalise();
        snapshot
    }

    /// The line for a key, head first: indexes of entries.
    pub(super) fn line(&self, key: &ResourceKey) -> Vec<usize> {
        let mut line: Vec<usize> = (0..self.entries.len())
            .filter(|i| self.entries[*i].request.key == *key && self.entries[*i].waits().is_some())
            .collect();
        line.sort_by_key(|i| self.entries[*i].rank(&self.policy));
        line
    }

    /// The holders of a key.
    pub(super) fn holders(&self, key: &ResourceKey) -> Vec<LockRecord> {
        self.held().into_iter().filter(|record| record.request.key == *key).collect()
    }

    /// Those of them that are named to whom they block.
    pub(super) fn blockers(&self, key: &ResourceKey) -> Vec<LockRecord> {
        let mut holders = self.holders(key);
        holders.truncate(QueuePlace::MAX_BLOCKERS);
        holders
    }

    pub(super) fn find_live(&self, ticket: &Ticket) -> Option<usize> {
        self.entries.iter().position(|entry| entry.request.ticket() == *ticket)
    }

    pub(super) fn ended(&self, ticket: &Ticket) -> Option<&Ended> {
        self.finished.iter().find(|(of, _)| of == ticket).map(|(_, ended)| ended)
    }

    /// What has become of a request, without touching it.
    pub(super) fn state_of(&self, ticket: &Ticket) -> RequestState {
        match (self.find_live(ticket), self.ended(ticket)) {
            (Some(index), _) => match self.entries[index].record() {
                Some(record) => RequestState::Held(record),
                None => RequestState::Queued(self.place(index)),
            },
            (None, Some(ended)) => RequestState::Finished(ended.clone()),
            (None, None) => RequestState::Unknown,
        }
    }

    /// Finds a request by its id.
    pub(super) fn find(&self, id: &RequestId) -> Option<(ResourceKey, RequestState)> {
        let live = self.entries.iter().map(|entry| entry.request.ticket());
        let over = self.finished.iter().map(|(ticket, _)| ticket.clone());
        let ticket = live.chain(over).find(|ticket| ticket.id == *id)?;
        let state = self.state_of(&ticket);
        Some((ticket.key, state))
    }

    pub(super) fn place(&self, index: usize) -> QueuePlace {
        let entry = &self.entries[index];
        let line = self.line(&entry.request.key);
        let waits = entry.waits();
        QueuePlace {
            request: Arc::clone(&entry.request),
            position: line.iter().position(|other| *other == index).map_or(0, |at| at + 1),
            depth: line.len(),
            enqueued_at: waits.map_or(Timestamp::ZERO, |waits| waits.enqueued_at),
            gives_up_at: waits.and_then(|waits| waits.gives_up_at),
            holders: self.blockers(&entry.request.key),
            generation: waits.map_or(0, |waits| waits.sequence),
        }
    }

    pub(super) fn emit(
        &mut self,
        kind: EventKind,
        of: Option<(Arc<AcquireRequest>, Option<FencingToken>)>,
        at: Timestamp,
    ) {
        self.last_event += 1;
        let (request, token) = of.map_or((None, None), |(request, token)| (Some(request), token));
        self.events.push(LockEvent { stream: 0, seq: self.last_event, at, kind, request, token });
    }

    fn view(&self, key: &ResourceKey) -> QueueView {
        let line = self.line(key);
        let waiters = line.iter().enumerate().filter_map(|(n, i)| self.entries[*i].waiter_view(n + 1));
        QueueView {
            key: key.clone(),
            holders: self.holders(key),
            depth: line.len(),
            waiters: waiters.collect(),
        }
    }

    fn edge(&self, entry: &Entry) -> Option<WaitEdge> {
        let waits = entry.waits()?;
        let key = &entry.request.key;
        let blocks = |other: &AcquireRequest| !gets_along(other.mode, entry.request.mode);
        let own = entry.rank(&self.policy);
        let ahead = self
            .line(key)
            .into_iter()
            .map(|i| &self.entries[i])
            .filter(|other| other.rank(&self.policy) < own && blocks(&other.request));
        Some(WaitEdge {
            request: Arc::clone(&entry.request),
            generation: waits.sequence,
            holders: self
                .holders(key)
                .iter()
                .filter(|record| blocks(&record.request))
                .map(|record| (record.request.owner.clone(), record.token))
                .collect(),
            ahead: ahead
                .filter_map(|other| Some((other.request.owner.clone(), other.waits()?.sequence)))
                .collect(),
        })
    }

    fn stats(&self, now: Timestamp) -> Stats {
        let mut stats = Stats { now, ..Stats::default() };
        let mut keys: Vec<&ResourceKey> = Vec::new();
        for entry in &self.entries {
            keys.push(&entry.request.key);
            match &entry.state {
                State::Holds(_) => stats.held += 1,
                State::Waits(waits) => {
                    stats.waiting += 1;
                    stats.waiting_by_priority[entry.request.priority.index()] += 1;
                    stats.oldest_wait = stats.oldest_wait.max(now.since(waits.enqueued_at));
                }
            }
        }
        keys.sort();
        keys.dedup();
        stats.resources = keys.len();
        stats
    }
}
