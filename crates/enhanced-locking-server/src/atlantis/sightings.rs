//! Which holder of a lock a client saw last. Owns a short and bounded memory, so that a `DEL` hits who was read.
//!
//! By the machine and not by the connection: clients take any connection of their pool for each command. What is
//! forgotten costs the check, not the delete.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use enhanced_locking_foundation::Grant;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Between reading and deleting, Atlantis does nothing else.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How many are remembered in all, the latest.
const ENTRIES_MAX: usize = 4_096;

type Place = (IpAddr, Box<str>);

#[derive(Debug, Default)]
pub(crate) struct Sightings(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    seen: HashMap<Place, (Grant, u64)>,
    /// In the order they were noted; those that were noted again since have another number.
    order: VecDeque<(Instant, u64, Place)>,
    noted_total: u64,
}

impl Sightings {
    /// Notes who holds what a text stands for: nobody is forgotten at once.
    pub(super) fn note(&self, client: IpAddr, text: &str, holder: Option<Grant>) {
        let place = (client, Box::from(text));
        let memory = &mut *self.0.lock();
        memory.forget();
        let Some(grant) = holder else {
            memory.seen.remove(&place);
            return;
        };
        memory.noted_total += 1;
        memory.order.push_back((Instant::now(), memory.noted_total, place.clone()));
        memory.seen.insert(place, (grant, memory.noted_total));
    }

    /// The holder that was seen last. Remembered also when it was deleted: a delete that is sent twice hits nobody else.
    pub(super) fn last(&self, client: IpAddr, text: &str) -> Option<Grant> {
        let memory = &mut *self.0.lock();
        memory.forget();
        memory.seen.get(&(client, Box::from(text))).map(|(grant, _)| grant.clone())
    }
}

impl Memory {
    fn forget(&mut self) {
        let now = Instant::now();
        while let Some((at, number, place)) = self.order.front() {
            if now.duration_since(*at) < REMEMBERED && self.order.len() < ENTRIES_MAX {
                return;
            }
            if self.seen.get(place).is_some_and(|(_, latest)| latest == number) {
                self.seen.remove(place);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use enhanced_locking_foundation::{FencingToken, RequestId, ResourceKey};

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn grant() -> Grant {
        let key = ResourceKey::new("k").unwrap();
        Grant { key, id: RequestId::generate(), token: FencingToken::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_seen_is_remembered_for_a_minute() {
        let (sightings, grant) = (Sightings::default(), grant());
        sightings.note(CLIENT, "a", Some(grant.clone()));
        assert_eq!(sightings.last(CLIENT, "a"), Some(grant));
        assert_eq!(sightings.last(CLIENT, "b"), None);
        tokio::time::advance(REMEMBERED).await;
        assert_eq!(sightings.last(CLIENT, "a"), None);
    }

    #[tokio::test]
    async fn the_memory_is_bounded_and_the_latest_sighting_counts() {
        let sightings = Sightings::default();
        let latest = grant();
        for number in 0..ENTRIES_MAX * 2 {
            sightings.note(CLIENT, &number.to_string(), Some(grant()));
            sightings.note(CLIENT, "same", Some(latest.clone()));
        }
        let memory = sightings.0.lock();
        assert!(memory.seen.len() <= ENTRIES_MAX && memory.order.len() <= ENTRIES_MAX);
        drop(memory);
        assert_eq!(sightings.last(CLIENT, "same"), Some(latest));
        sightings.note(CLIENT, "same", None);
        assert_eq!(sightings.last(CLIENT, "same"), None);
    }
}
