//! The memory of requests that came to their end. Owns how many are remembered; the answers made of it belong to the operations.

use enhanced_locking_foundation::{Ended, RequestId, ResourceKey};

use super::lookup::{Lookup, NameHash};

/// The most recent ends, so that a late retry is answered and not granted anew (invariant 5).
///
/// A ring of places, filled in turn: remembering one end forgets the one whose place it takes. Ids come with their
/// hashes, which the table needs elsewhere as well.
#[derive(Clone, Debug, Default)]
pub(super) struct Finished {
    ring: Vec<End>,
    /// Place of the oldest end, once the ring is full.
    oldest: usize,
    limit: usize,
    by_id: Lookup,
}

#[derive(Clone, Debug)]
struct End {
    hash: NameHash,
    id: RequestId,
    key: ResourceKey,
    ended: Ended,
}

impl Finished {
    /// Remembers an end, and forgets the oldest beyond `limit`.
    pub(super) fn remember(
        &mut self,
        hash: NameHash,
        id: RequestId,
        key: ResourceKey,
        ended: Ended,
        limit: usize,
    ) {
        let end = End { hash, id, key, ended };
        if let Some(known) = self.by_id.find(hash, |place| self.ring[place].id == end.id) {
            self.ring[known] = end;
            return;
        }
        if self.limit != limit {
            self.resize(limit);
        }
        if limit == 0 {
            return;
        }
        if self.ring.len() < limit {
            self.by_id.insert(hash, self.ring.len());
            self.ring.push(end);
            return;
        }
        let place = self.oldest;
        self.by_id.remove(self.ring[place].hash, place);
        self.by_id.insert(hash, place);
        self.ring[place] = end;
        self.oldest = (place + 1) % limit;
    }

    /// How a request for `key` ended.
    pub(super) fn of(&self, hash: NameHash, id: &RequestId, key: &ResourceKey) -> Option<&Ended> {
        self.find(hash, id).filter(|(of, _)| *of == key).map(|(_, ended)| ended)
    }

    /// How a request ended, whatever it was for.
    pub(super) fn find(&self, hash: NameHash, id: &RequestId) -> Option<(&ResourceKey, &Ended)> {
        let place = self.by_id.find(hash, |place| self.ring[place].id == *id)?;
        let end = &self.ring[place];
        Some((&end.key, &end.ended))
    }

    /// Keeps the newest ends that the new limit allows.
    fn resize(&mut self, limit: usize) {
        let mut ends = std::mem::take(&mut self.ring);
        ends.rotate_left(self.oldest);
        ends.drain(..ends.len().saturating_sub(limit));
        *self = Self { limit, ..Self::default() };
        for (place, end) in ends.iter().enumerate() {
            self.by_id.insert(end.hash, place);
        }
        self.ring = ends;
    }
}

#[cfg(test)]
mod tests {
    use enhanced_locking_foundation::{EndReason, Timestamp};

    use super::super::lookup::Hasher;
    use super::*;

    #[test]
    fn the_newest_ends_are_remembered_and_older_ones_forgotten() {
        let (mut finished, hasher) = (Finished::default(), Hasher::default());
        let key = ResourceKey::new("k").unwrap();
        let id = |n: usize| RequestId::new(format!("r{n}")).unwrap();
        let ended = |n: usize| Ended {
            reason: EndReason::Released,
            at: Timestamp::from_micros(n as u64),
            token: None,
        };
        for n in 0..1_000 {
            let hash = hasher.of(&id(n));
            finished.remember(hash, id(n), key.clone(), ended(n), 100);
            // Remembered again: the newer end counts, and takes no second place.
            finished.remember(hash, id(n), key.clone(), ended(n + 1), 100);
            for old in n.saturating_sub(120)..=n {
                let want = (n - old < 100).then(|| ended(old + 1));
                assert_eq!(finished.of(hasher.of(&id(old)), &id(old), &key), want.as_ref(), "{old} of {n}");
            }
        }
        assert_eq!((finished.ring.len(), finished.by_id.len()), (100, 100));
    }

    #[test]
    fn another_limit_keeps_the_newest() {
        let (mut finished, hasher) = (Finished::default(), Hasher::default());
        let key = ResourceKey::new("k").unwrap();
        let id = |n: usize| RequestId::new(format!("r{n}")).unwrap();
        let ended = Ended { reason: EndReason::Released, at: Timestamp::ZERO, token: None };
        for (n, limit) in [5, 5, 5, 5, 5, 5, 5, 3, 3, 6, 6, 6, 0, 2].into_iter().enumerate() {
            finished.remember(hasher.of(&id(n)), id(n), key.clone(), ended.clone(), limit);
            let is_known = |n: &usize| finished.of(hasher.of(&id(*n)), &id(*n), &key).is_some();
            let known: Vec<usize> = (0..=n).filter(is_known).collect();
            assert!(
                known.len() <= limit
                    && known.iter().rev().eq((0..=n).rev().take(known.len()).collect::<Vec<_>>().iter()),
                "{known:?}"
            );
        }
    }
}
