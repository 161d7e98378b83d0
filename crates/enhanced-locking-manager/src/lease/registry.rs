//! Which grants this process holds. Owns the sharing of one grant by several guards, and the order of letting go and asking again.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use enhanced_locking_foundation::{EventKind, FencingToken, Grant, LockEvent, RequestId, ResourceKey};
use parking_lot::Mutex;

use super::{Held, LeaseState, LossReason};

#[derive(Clone, Debug)]
enum Entry {
    /// Guards exist, or existed until this very moment.
    Live(Weak<Held>),
    /// The last guard is gone and a release is under way.
    Leaving,
}

/// What this process has of a grant.
#[derive(Debug)]
pub(crate) enum Found {
    /// A guard that may be shared.
    Live(Arc<Held>),
    /// It is being released: wait, then ask the store again.
    Leaving,
    /// Nothing.
    Nothing,
}

/// The grants of this process, by address.
///
/// The same owner asking twice gets the same grant. Were two guards of it independent, dropping one would release
/// the lock under the other; and a grant that is just being released must not be handed out again.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<HashMap<Grant, Entry>>);

// Dropping the last `Arc<Held>` takes the lock of the map, so none may be dropped while it is locked.
impl Registry {
    pub(crate) fn find(&self, grant: &Grant) -> Found {
        let entry = self.0.lock().get(grant).cloned();
        entry.map_or(Found::Nothing, |entry| judge(&entry).0)
    }

    /// Adds a grant, or answers what another task has made of it in the meantime.
    ///
    /// A guard that lost the same grant before loses its say about it: its drop must not release the lock again.
    pub(crate) fn add(&self, held: &Arc<Held>) -> Found {
        // Declared before the lock is taken, so that it is dropped after the lock is.
        let before;
        let mut map = self.0.lock();
        let grant = held.cell().grant();
        let found;
        (found, before) = map.get(grant).map_or((Found::Nothing, None), judge);
        if matches!(found, Found::Nothing) {
            map.insert(grant.clone(), Entry::Live(Arc::downgrade(held)));
        }
        drop(map);
        if let (Found::Nothing, Some(before)) = (&found, before) {
            before.settle();
        }
        found
    }

    /// A release of the grant begins, unless a guard relies on it: then that is answered, and nothing is changed.
    pub(crate) fn leaving_unless_live(&self, grant: &Grant) -> Option<Arc<Held>> {
        // Declared before the lock is taken, so that it is dropped after the lock is.
        let _lost;
        let mut map = self.0.lock();
        let found;
        (found, _lost) = map.get(grant).map_or((Found::Nothing, None), judge);
        match found {
            Found::Live(held) => {
                drop(map);
                Some(held)
            }
            Found::Leaving | Found::Nothing => {
                map.insert(grant.clone(), Entry::Leaving);
                None
            }
        }
    }

    /// The release is over.
    pub(crate) fn gone(&self, grant: &Grant) {
        let mut map = self.0.lock();
        if matches!(map.get(grant), Some(Entry::Leaving)) {
            map.remove(grant);
        }
    }

    /// The guards of a grant are gone and nothing else is to be done; unless others took their place.
    pub(crate) fn forget(&self, grant: &Grant, held: *const Held) {
        let mut map = self.0.lock();
        if matches!(map.get(grant), Some(Entry::Live(other)) if std::ptr::eq(other.as_ptr(), held)) {
            map.remove(grant);
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
        let entry = self.0.lock().get(grant).cloned();
        if let Some(Entry::Live(held)) = entry
            && let Some(held) = held.upgrade()
        {
            held.cell().lose(reason);
        }
    }

    fn older(&self, key: &ResourceKey, id: &RequestId, token: FencingToken) -> Vec<Grant> {
        let map = self.0.lock();
        map.keys()
            .filter(|grant| grant.key == *key && grant.id == *id && grant.token < token)
            .cloned()
            .collect()
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
