//! What a reader of the event feed knows. Owns the fold of events into who holds and who waits (invariant 9), and refuses feeds that make no sense.

use std::collections::BTreeMap;
use std::sync::Arc;

use enhanced_locking_foundation::{
    AcquireRequest, EventKind, FencingToken, LockEvent, ResourceKey, Ticket, Timestamp,
};

use super::Snapshot;

/// Who holds and who waits, told by events alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    /// The token of a holder; `None` for one that waits.
    live: BTreeMap<Ticket, (Arc<AcquireRequest>, Option<FencingToken>)>,
    /// The highest token of every key, held or not: invariant 2.
    tokens: BTreeMap<ResourceKey, FencingToken>,
    last: u64,
    at: Timestamp,
}

impl Fold {
    /// Takes in the next event.
    ///
    /// # Errors
    /// Why it cannot be the next one: a gap, a token that does not rise, something that happens to a request that
    /// is not there.
    pub fn apply(&mut self, event: &LockEvent) -> Result<(), String> {
        let refuse = |why: &str| Err(format!("{why}: {event:?} after {self:?}"));
        if event.stream != 0 || event.seq != self.last + 1 || event.at < self.at {
            return refuse("out of sequence");
        }
        let Some(request) = &event.request else {
            (self.last, self.at) = (event.seq, event.at);
            return match event.kind {
                EventKind::Resumed { .. } | EventKind::Ended { .. } => Ok(()),
                _ => Err(format!("an event of nobody: {event:?}")),
            };
        };
        let ticket = request.ticket();
        let known = self.live.get(&ticket).map(|(_, token)| *token);
        let granted = matches!(
            event.kind,
            EventKind::Acquired | EventKind::Granted { .. } | EventKind::Transferred { .. }
        );
        let possible = match (&event.kind, known) {
            (EventKind::Queued { .. } | EventKind::Acquired, None) => true,
            (EventKind::Granted { .. } | EventKind::Reprioritised { .. }, Some(None)) => true,
            (EventKind::Claimed | EventKind::Renewed, Some(Some(token))) => event.token == Some(token),
            (EventKind::Transferred { .. }, Some(_)) => true,
            (EventKind::Ended { .. }, Some(token)) => event.token == token,
            _ => false,
        };
        if !possible || granted != (granted && event.token.is_some()) {
            return refuse("it cannot happen to this request");
        }
        if granted {
            let highest = self.tokens.get(&request.key).copied().unwrap_or(FencingToken::NONE);
            let Some(token) = event.token.filter(|token| *token > highest) else {
                return refuse("the token does not rise");
            };
            self.tokens.insert(request.key.clone(), token);
        }
        if matches!(event.kind, EventKind::Ended { .. }) {
            self.live.remove(&ticket);
        } else {
            self.live.insert(ticket, (Arc::clone(request), event.token));
        }
        (self.last, self.at) = (event.seq, event.at);
        Ok(())
    }

    /// Compares what the events told with what is there.
    ///
    /// # Errors
    /// The difference.
    pub fn check(&self, snapshot: &Snapshot) -> Result<(), String> {
        let holders = snapshot.views.iter().flat_map(|view| &view.holders);
        let waiters = snapshot.views.iter().flat_map(|view| &view.waiters);
        let seen: BTreeMap<Ticket, (Arc<AcquireRequest>, Option<FencingToken>)> = holders
            .map(|record| (Arc::clone(&record.request), Some(record.token)))
            .chain(waiters.map(|waiter| (Arc::clone(&waiter.request), None)))
            .map(|(request, token)| (request.ticket(), (request, token)))
            .collect();
        if seen == self.live {
            return Ok(());
        }
        Err(format!("the events tell of\n  {:?}\nbut there is\n  {seen:?}", self.live))
    }
}
