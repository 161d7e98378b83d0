//! The memory of requests that came to their end. Owns how many are remembered; the answers made of it belong to the operations.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use enhanced_locking_foundation::{Ended, RequestId, ResourceKey};
use hashbrown::{DefaultHashBuilder, HashTable};

/// The most recent ends, so that a late retry is answered and not granted anew (invariant 5).
///
/// The ends stand in a queue, oldest first; the table finds them by id through their numbers, eight bytes each, so
/// that remembering and forgetting touches little memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Finished {
    oldest_first: VecDeque<End>,
    /// Number of the oldest end.
    first: u64,
    /// Numbers by the hash of their ids.
    by_id: HashTable<u64>,
    hasher: DefaultHashBuilder,
}

#[derive(Clone, Debug)]
struct End {
    id: RequestId,
    key: ResourceKey,
    ended: Ended,
}

impl Finished {
    /// Remembers an end, and forgets the oldest beyond `limit`.
    pub(super) fn remember(&mut self, id: RequestId, key: ResourceKey, ended: Ended, limit: usize) {
        let Self { oldest_first, first, by_id, hasher } = self;
        let end = End { id, key, ended };
        let hash = hasher.hash_one(&end.id);
        let first_now = *first;
        if let Some(&known) = by_id.find(hash, |n| at(oldest_first, first_now, *n).is_some_and(|e| e.id == end.id)) {
            if let Some(known) = oldest_first.get_mut(index(first_now, known)) {
                *known = end;
            }
            return;
        }
        let number = first_now + oldest_first.len() as u64;
        oldest_first.push_back(end);
        by_id.insert_unique(hash, number, |n| {
            at(oldest_first, first_now, *n).map_or(0, |end| hasher.hash_one(&end.id))
        });
        while oldest_first.len() > limit {
            let Some(oldest) = oldest_first.pop_front() else { break };
            if let Ok(entry) = by_id.find_entry(hasher.hash_one(&oldest.id), |n| *n == *first) {
                entry.remove();
            }
            *first += 1;
        }
    }

    /// How a request for `key` ended.
    pub(super) fn of(&self, id: &RequestId, key: &ResourceKey) -> Option<&Ended> {
        self.find(id).filter(|(of, _)| *of == key).map(|(_, ended)| ended)
    }

    /// How a request ended, whatever it was for.
    pub(super) fn find(&self, id: &RequestId) -> Option<(&ResourceKey, &Ended)> {
        let is_it = |n: &u64| at(&self.oldest_first, self.first, *n).is_some_and(|end| end.id == *id);
        let number = self.by_id.find(self.hasher.hash_one(id), is_it)?;
        at(&self.oldest_first, self.first, *number).map(|end| (&end.key, &end.ended))
    }
}

fn index(first: u64, number: u64) -> usize {
    usize::try_from(number - first).unwrap_or(usize::MAX)
}

fn at(ends: &VecDeque<End>, first: u64, number: u64) -> Option<&End> {
    ends.get(index(first, number))
}

#[cfg(test)]
mod tests {
    use enhanced_locking_foundation::{EndReason, Timestamp};

    use super::*;

    #[test]
    fn the_newest_ends_are_remembered_and_older_ones_forgotten() {
        let mut finished = Finished::default();
        let key = ResourceKey::new("k").unwrap();
        let id = |n: usize| RequestId::new(format!("r{n}")).unwrap();
        let ended = |n: usize| Ended { reason: EndReason::Released, at: Timestamp::from_micros(n as u64), token: None };
        for n in 0..1_000 {
            finished.remember(id(n), key.clone(), ended(n), 100);
            // Remembered again: the newer end counts, and takes no second place.
            finished.remember(id(n), key.clone(), ended(n + 1), 100);
            for old in n.saturating_sub(120)..=n {
                let want = (n - old < 100).then(|| ended(old + 1));
                assert_eq!(finished.of(&id(old), &key), want.as_ref(), "{old} of {n}");
            }
        }
        assert_eq!(finished.oldest_first.len(), 100);
        assert_eq!(finished.by_id.len(), 100);
    }
}
