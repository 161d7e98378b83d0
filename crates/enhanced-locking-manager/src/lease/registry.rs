//! Which grants this process holds. Owns the sharing of one grant by several guards, and the order of letting go and asking again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use enhanced_locking_foundation::{EventKind, FencingToken, Grant, LockEvent, RequestId, ResourceKey};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Held, LeaseState, LossReason};

#[derive(Clone, Debug)]
enum Entry {
    /// Guards exist, or existed until this very moment.
    Live(Weak<Held>),
    /// The last guard is gone and a release is under way.
    Leaving,
    /// It was released. An answer that still speaks of it was sent before.
    Gone,
}

/// What this process has of a grant.
#[derive(Debug)]
pub(crate) enum Found {
    /// A guard that may be shared.
    Live(Arc<Held>),
    /// It is being released, or was: ask the store again.
    Leaving,
    /// Nothing.
    Nothing,
}

/// The grants of this process, by address.
///
/// The same owner asking twice gets the same grant. Were two guards of it independent, dropping one would release
/// the lock under the other. And a grant that is being released must not be handed out again, not even when an answer
/// about it was under way while it was released: so those are remembered while anybody asks for the key.
#[derive(Debug)]
pub(crate) struct Registry {
    state: Mutex<State>,
    /// No answer is under way for longer.
    answers_within: Duration,
}

#[derive(Debug, Default)]
struct State {
    grants: HashMap<Grant, Entry>,
    asked: HashMap<ResourceKey, Asked>,
}

/// How many ask for a key, and what was released meanwhile.
#[derive(Debug, Default)]
struct Asked {
    askers: usize,
    gone: VecDeque<(Instant, Grant)>,
}

// Dropping the last `Arc<Held>` takes the lock of the state, so none may be dropped while it is locked.
impl Registry {
    pub(crate) fn new(answers_within: Duration) -> Self {
        Self { state: Mutex::default(), answers_within }
    }

    /// Somebody asks for a key, until what this returns is dropped.
    pub(crate) fn ask(&self, key: &ResourceKey) -> Ask<'_> {
        self.state.lock().asked.entry(key.clone()).or_default().askers += 1;
        Ask { registry: self, key: key.clone() }
    }

    pub(crate) fn find(&self, grant: &Grant) -> Found {
        let entry = self.state.lock().grants.get(grant).cloned();
        entry.map_or(Found::Nothing, |entry| judge(&entry).0)
    }

    /// Adds a grant, or answers what another task has made of it in the meantime.
    ///
    /// A guard that lost the same grant before loses its say about it: its drop must not release the lock again.
    pub(crate) fn add(&self, held: &Arc<Held>) -> Found {
        // Declared before the lock is taken, so that it is dropped after the lock is.
        let before;
        let mut state = self.state.lock();
        let grant = held.cell().grant();
        let found;
        (found, before) = state.grants.get(grant).map_or((Found::Nothing, None), judge);
        if matches!(found, Found::Nothing) {
            state.grants.insert(grant.clone(), Entry::Live(Arc::downgrade(held)));
        }
        drop(state);
        if let (Found::Nothing, Some(before)) = (&found, before) {
            before.settle();
        }
        found
    }

    /// A release of the grant begins, unless a guard relies on it: then that is answered, and nothing is changed.
    pub(crate) fn leaving_unless_live(&self, grant: &Grant) -> Option<Arc<Held>> {
        // Declared before the lock is taken, so that it is dropped after the lock is.
        let _lost;
        let mut state = self.state.lock();
        let found;
        (found, _lost) = state.grants.get(grant).map_or((Found::Nothing, None), judge);
        match found {
            Found::Live(held) => {
                drop(state);
                Some(held)
            }
            Found::Leaving | Found::Nothing => {
                state.grants.insert(grant.clone(), Entry::Leaving);
                None
            }
        }
    }

    /// The release is over.
    pub(crate) fn gone(&self, grant: &Grant) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let State { grants, asked } = &mut *state;
        if !matches!(grants.get(grant), Some(Entry::Leaving)) {
            return;
        }
        let Some(asked) = asked.get_mut(&grant.key) else {
            grants.remove(grant);
            return;
        };
        grants.insert(grant.clone(), Entry::Gone);
        asked.gone.push_back((now, grant.clone()));
        while asked
            .gone
            .front()
            .is_some_and(|(at, _)| now.saturating_duration_since(*at) > self.answers_within)
        {
            if let Some((_, old)) = asked.gone.pop_front() {
                forget_gone(grants, &old);
            }
        }
    }

    /// The guards of a grant are gone and nothing else is to be done; unless others took their place.
    pub(crate) fn forget(&self, grant: &Grant, held: *const Held) {
        let mut state = self.state.lock();
        if matches!(state.grants.get(grant), Some(Entry::Live(other)) if std::ptr::eq(other.as_ptr(), held)) {
            state.grants.remove(grant);
        }
    }

    /// Tells guards what the event feed says about their grants: sooner than the next renewal would.
    pub(crate) fn hear(&self, event: &LockEvent) {
        let Some(request) = &event.request else { return };
        match (&event.kind, event.token) {
            (EventKind::Ended { reason, .. }, Some(token)) => {
                let grant = Grant { key: request.key.clone(), id: request.id.clone(), token };
                self.lose(&grant, LossReason::Ended(*reason));
            }
            (EventKind::Transferred { .. }, Some(token)) => {
                for grant in self.older(&request.key, &request.id, token) {
                    self.lose(&grant, LossReason::Superseded(token));
                }
            }
            _ => {}
        }
    }

    fn lose(&self, grant: &Grant, reason: LossReason) {
        let entry = self.state.lock().grants.get(grant).cloned();
        if let Some(Entry::Live(held)) = entry
            && let Some(held) = held.upgrade()
        {
            held.cell().lose(reason);
        }
    }

    fn older(&self, key: &ResourceKey, id: &RequestId, token: FencingToken) -> Vec<Grant> {
        let state = self.state.lock();
        state
            .grants
            .keys()
            .filter(|grant| grant.key == *key && grant.id == *id && grant.token < token)
            .cloned()
            .collect()
    }
}

/// Somebody asks for a key.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    registry: &'a Registry,
    key: ResourceKey,
}

impl Drop for Ask<'_> {
    fn drop(&mut self) {
        let mut state = self.registry.state.lock();
        let State { grants, asked } = &mut *state;
        let Some(asks) = asked.get_mut(&self.key) else { return };
        asks.askers -= 1;
        if asks.askers == 0 {
            for (_, grant) in std::mem::take(&mut asks.gone) {
                forget_gone(grants, &grant);
            }
            asked.remove(&self.key);
        }
    }
}

fn forget_gone(grants: &mut HashMap<Grant, Entry>, grant: &Grant) {
    if matches!(grants.get(grant), Some(Entry::Gone)) {
        grants.remove(grant);
    }
}

/// What an entry means, and the guards of it that are lost.
fn judge(entry: &Entry) -> (Found, Option<Arc<Held>>) {
    let Entry::Live(held) = entry else { return (Found::Leaving, None) };
    // Guards on their way out may not have said so yet.
    let Some(held) = held.upgrade() else { return (Found::Leaving, None) };
    match held.cell().state() {
        LeaseState::Held | LeaseState::AtRisk => (Found::Live(held), None),
        LeaseState::Lost(LossReason::GivenUp) if !held.is_settled() => (Found::Leaving, Some(held)),
        // Lost or detached here, yet the store answers with it: whoever asks now starts afresh.
        LeaseState::Lost(_) => (Found::Nothing, Some(held)),
    }
}
