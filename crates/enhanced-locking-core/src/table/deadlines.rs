//! When entries are over. Owns their order: by time, and at the same time by key and request id, byte by byte, so
//! that every store ends them in the same order; what is done to an entry that is over is the operations'.

use std::collections::{BTreeMap, BTreeSet};

use enhanced_locking_foundation::{Ticket, Timestamp};

use super::entry::Handle;

/// The deadlines of all entries that have one.
///
/// Names are looked at only when it matters: entries of the same time are put in the order of their names once a
/// sweep has come to that time. Until then an entry costs two numbers, also when thousands are over at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines {
    by_time: BTreeSet<(Timestamp, Handle)>,
    /// The entries of the times a sweep has come to.
    due: BTreeMap<(Timestamp, Ticket), Handle>,
}

impl Deadlines {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_time.len() + self.due.len()
    }

    /// Whether an entry is over at that time.
    pub(super) fn contains(&self, at: Timestamp, handle: Handle, ticket: &Ticket) -> bool {
        self.by_time.contains(&(at, handle)) || self.due.get(&(at, ticket.clone())) == Some(&handle)
    }

    /// Adds the deadline of an entry.
    pub(super) fn insert(&mut self, at: Timestamp, handle: Handle) {
        self.by_time.insert((at, handle));
    }

    /// Removes the deadline of an entry.
    pub(super) fn remove(&mut self, at: Timestamp, handle: Handle, ticket: impl FnOnce() -> Ticket) {
        if !self.by_time.remove(&(at, handle)) {
            self.due.remove(&(at, ticket()));
        }
    }

    /// The earliest time at which anything is over.
    pub(super) fn earliest(&self) -> Option<Timestamp> {
        let due = self.due.first_key_value().map(|((at, _), _)| *at);
        let later = self.by_time.first().map(|(at, _)| *at);
        due.into_iter().chain(later).min()
    }

    /// What is over at `now` and ends first.
    pub(super) fn first_over(&mut self, now: Timestamp, ticket: impl Fn(Handle) -> Ticket) -> Option<Handle> {
        while let Some(&(at, handle)) = self.by_time.first()
            && at <= now
            && self.due.first_key_value().is_none_or(|((first, _), _)| at <= *first)
        {
            self.by_time.pop_first();
            self.due.insert((at, ticket(handle)), handle);
        }
        self.due.first_key_value().filter(|((at, _), _)| *at <= now).map(|(_, handle)| *handle)
    }

    /// Everything that is over at `now`, in no particular order.
    pub(super) fn over(&self, now: Timestamp) -> impl Iterator<Item = Handle> + '_ {
        let due =
            self.due.iter().map(|((at, _), handle)| (*at, *handle)).take_while(move |(at, _)| *at <= now);
        due.chain(self.by_time.iter().copied().take_while(move |(at, _)| *at <= now))
            .map(|(_, handle)| handle)
    }
}

#[cfg(test)]
mod tests {
    use enhanced_locking_foundation::{RequestId, ResourceKey};

    use super::*;

    fn ticket(name: &str) -> Ticket {
        let (key, id) = name.split_once(' ').unwrap();
        Ticket { key: ResourceKey::new(key).unwrap(), id: RequestId::new(id).unwrap() }
    }

    #[test]
    fn equal_times_are_in_the_order_of_keys_and_ids_also_when_they_join_late() {
        let names = ["b 1", "a 2", "a/b 1", "a 1", "a 0"];
        let at = Timestamp::from_micros(7);
        let mut deadlines = Deadlines::default();
        for handle in 0..4 {
            deadlines.insert(at, handle);
        }
        deadlines.insert(Timestamp::from_micros(8), 9);
        assert_eq!(deadlines.first_over(Timestamp::from_micros(6), |_| ticket("x x")), None);
        let mut order = Vec::new();
        while let Some(handle) = deadlines.first_over(at, |handle| ticket(names[handle])) {
            order.push(names[handle]);
            assert!(deadlines.contains(at, handle, &ticket(names[handle])));
            deadlines.remove(at, handle, || ticket(names[handle]));
            if order.len() == 1 {
                deadlines.insert(at, 4);
            }
        }
        assert_eq!(order, ["a 1", "a 0", "a 2", "a/b 1", "b 1"]);
        assert_eq!((deadlines.len(), deadlines.earliest()), (1, Some(Timestamp::from_micros(8))));
    }
}
