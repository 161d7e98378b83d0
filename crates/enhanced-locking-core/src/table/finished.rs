//! The memory of requests that came to their end. Owns how many are remembered; the answers made of it belong to the operations.

use std::collections::{HashMap, VecDeque};

use enhanced_locking_foundation::{Ended, RequestId, ResourceKey};

/// The most recent ends, so that a late retry is answered and not granted anew (invariant 5).
///
/// The map is only ever asked for one id, never walked: its order cannot show.
#[derive(Clone, Debug, Default)]
pub(super) struct Finished {
    by_id: HashMap<RequestId, (ResourceKey, Ended)>,
    oldest_first: VecDeque<RequestId>,
}

impl Finished {
    /// Remembers an end, and forgets the oldest beyond `limit`.
    pub(super) fn remember(&mut self, id: RequestId, key: ResourceKey, ended: Ended, limit: usize) {
        if self.by_id.insert(id.clone(), (key, ended)).is_none() {
            self.oldest_first.push_back(id);
        }
        while self.oldest_first.len() > limit {
            if let Some(oldest) = self.oldest_first.pop_front() {
                self.by_id.remove(&oldest);
            }
        }
    }

    /// How a request for `key` ended.
    pub(super) fn of(&self, id: &RequestId, key: &ResourceKey) -> Option<&Ended> {
        self.by_id.get(id).filter(|(of, _)| of == key).map(|(_, ended)| ended)
    }

    /// How a request ended, whatever it was for.
    pub(super) fn find(&self, id: &RequestId) -> Option<(&ResourceKey, &Ended)> {
        self.by_id.get(id).map(|(key, ended)| (key, ended))
    }
}
