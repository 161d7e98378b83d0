//! More keys than the table keeps after they fell free: nothing is lost, nothing is kept for ever.
#![expect(clippy::unwrap_used, reason = "names written down here are valid")]

use enhanced_locking_core::{LockTable, TablePolicy};
use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, Cause, LockQuery, OwnerId, ResourceKey, Selector, Timestamp,
};

const NOW: Timestamp = Timestamp::from_micros(1_764_000_000_000_000);

fn request(owner: &str, key: usize) -> AcquireRequest {
    AcquireRequest::new(ResourceKey::new(format!("k{key:05}")).unwrap(), OwnerId::new(owner).unwrap())
}

#[test]
fn keys_that_fall_free_in_turn_and_come_back_are_all_in_order() {
    let mut table = LockTable::new(TablePolicy::default());
    for round in 0..3 {
        for key in 0..3_000 {
            let outcome = table.acquire(request("me", (key * 7) % 3_000), NOW).unwrap();
            let AcquireOutcome::Held(record) = outcome else { panic!("{key} is free in round {round}") };
            if key % 3 != round {
                table.release(&record.grant(), NOW).unwrap();
            }
        }
        table.check_invariants(NOW).unwrap();
    }
    assert_eq!((table.stats(NOW).held, table.stats(NOW).resources), (1_000, 1_000));
    let page = table.locks(&LockQuery { limit: 3, ..LockQuery::default() }).unwrap();
    let keys: Vec<&str> = page.items.iter().map(|record| record.request.key.as_str()).collect();
    assert_eq!(keys, ["k00002", "k00005", "k00008"]);
}

#[test]
fn clearing_an_owner_of_thousands_hands_every_key_on() {
    let mut table = LockTable::new(TablePolicy::default());
    for key in 0..3_000 {
        // Fallen free before, and in use again when the owner is cleared.
        let AcquireOutcome::Held(record) = table.acquire(request("early", key), NOW).unwrap() else {
            panic!()
        };
        table.release(&record.grant(), NOW).unwrap();
        table.acquire(request("gone", key), NOW).unwrap();
        if key % 2 == 0 {
            table.acquire(request("next", key), NOW).unwrap();
        }
    }
    let gone = Selector::Owner(OwnerId::new("gone").unwrap());
    let cleared = table.clear(&gone, &Cause::new("test", "it is gone").unwrap(), NOW);
    assert_eq!(cleared.released.len(), 3_000);
    table.check_invariants(NOW).unwrap();
    assert_eq!((table.stats(NOW).held, table.stats(NOW).resources), (1_500, 1_500));
}
