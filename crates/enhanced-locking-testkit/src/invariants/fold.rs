//! Rebuilds holders and lines from the event feed alone (invariant 9). Owns the folding; comparing is in `checks`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireRequest, EventKind, FencingToken, LockEvent, Priority, RequestId, ResourceKey, Timestamp,
};

/// The state that a feed tells.
#[derive(Clone, Debug)]
pub struct Fold {
    credits: [Duration; Priority::ALL.len()],
    keys: BTreeMap<ResourceKey, FoldedKey>,
}

/// One key of a [`Fold`].
#[derive(Clone, Debug, Default)]
pub struct FoldedKey {
    /// Who holds it.
    pub holders: BTreeMap<RequestId, Holding>,
    /// Who waits, in line.
    pub line: Vec<Waiting>,
}

/// A holder.
#[derive(Clone, Debug)]
pub struct Holding {
    /// The request as last told.
    pub request: Arc<AcquireRequest>,
    /// Its token.
    pub token: Option<FencingToken>,
}

/// A waiter.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The request as last told.
    pub request: Arc<AcquireRequest>,
    /// When it joined.
    pub since: Timestamp,
    /// Its rank in microseconds: lower goes first.
    pub rank: i128,
    /// The sequence of the event with which it joined.
    pub joined: u64,
}

impl Fold {
    /// Nothing held, nobody waiting. The credits rank the lines, by [`Priority::index`].
    #[must_use]
    pub fn new(credits: [Duration; Priority::ALL.len()]) -> Self {
        Self { credits, keys: BTreeMap::new() }
    }

    /// A key's state; empty if it is free.
    #[must_use]
    pub fn key(&self, key: &ResourceKey) -> FoldedKey {
        self.keys.get(key).cloned().unwrap_or_default()
    }

    /// The keys that are held or waited for.
    pub fn keys(&self) -> impl Iterator<Item = &ResourceKey> {
        self.keys
            .iter()
            .filter(|(_, key)| !key.holders.is_empty() || !key.line.is_empty())
            .map(|(key, _)| key)
    }

    /// The rank of a request that joined at a time: time − credit (design §4, "order").
    #[must_use]
    pub fn rank(&self, at: Timestamp, priority: Priority) -> i128 {
        let credit = self.credits[priority.index()].as_micros();
        i128::from(at.as_micros()) - i128::try_from(credit).unwrap_or(i128::MAX)
    }

    /// Takes one event in.
    ///
    /// # Errors
    /// What is wrong with it: it does not fit the state before.
    pub fn apply(&mut self, event: &LockEvent) -> Result<(), String> {
        let Some(request) = &event.request else { return Ok(()) };
        let joining = Waiting {
            request: Arc::clone(request),
            since: event.at,
            rank: self.rank(event.at, request.priority),
            joined: event.seq,
        };
        let credits = self.credits;
        let key = self.keys.entry(request.key.clone()).or_default();
        let id = &request.id;
        let place = key.line.iter().position(|waiting| waiting.request.id == *id);
        let holding = Holding { request: Arc::clone(request), token: event.token };
        let name = event.kind.as_str();
        match &event.kind {
            EventKind::Queued { .. } if place.is_none() && !key.holders.contains_key(id) => {
                key.line.push(joining);
                key.sort();
            }
            EventKind::Acquired if place.is_none() && !key.holders.contains_key(id) => {
                key.holders.insert(id.clone(), holding);
            }
            EventKind::Granted { .. } => {
                let Some(place) = place else { return Err(format!("{id} was granted and did not wait")) };
                key.line.remove(place);
                key.holders.insert(id.clone(), holding);
            }
            EventKind::Claimed | EventKind::Renewed => match key.holders.get_mut(id) {
                Some(held) if held.token == event.token => held.request = Arc::clone(request),
                _ => return Err(format!("{id} was {name} and did not hold with {:?}", event.token)),
            },
            EventKind::Reprioritised { from } => {
                let Some(place) = place else { return Err(format!("{id} was {name} and did not wait")) };
                let waiting = &mut key.line[place];
                if waiting.request.priority != *from {
                    return Err(format!("{id} had {}, not {from}", waiting.request.priority));
                }
                let fold = Self { credits, keys: BTreeMap::new() };
                waiting.rank = fold.rank(waiting.since, request.priority);
                waiting.request = Arc::clone(request);
                key.sort();
            }
            EventKind::Transferred { .. } => {
                if let Some(place) = place {
                    key.line.remove(place);
                } else if !key.holders.contains_key(id) {
                    return Err(format!("{id} was transferred to and neither held nor waited"));
                }
                key.holders.insert(id.clone(), holding);
            }
            EventKind::Ended { .. } => {
                if let Some(place) = place {
                    key.line.remove(place);
                } else if key.holders.remove(id).is_none() {
                    return Err(format!("{id} ended ({name}) and neither held nor waited"));
                }
            }
            _ if matches!(event.kind, EventKind::Queued { .. } | EventKind::Acquired) => {
                return Err(format!("{id} was {name} and was there already"));
            }
            _ => {}
        }
        Ok(())
    }
}

impl FoldedKey {
    fn sort(&mut self) {
        self.line.sort_by_key(|waiting| (waiting.rank, waiting.joined));
    }
}
