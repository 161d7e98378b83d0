//! Defects that the model and the random scripts have found, each as the shortest script that shows it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a script that cannot go on has failed")]

use std::time::Duration;

use enhanced_locking_core::{LockTable, TablePolicy};
use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, BatchOutcome, EndReason, EventKind, Lease, LockRecord, OwnerId, Priority,
    RequestState, ResourceKey, Timestamp, Wait,
};
use enhanced_locking_queue::CreditTable;

const START: Timestamp = Timestamp::from_micros(1_764_000_000_000_000);

fn table() -> LockTable {
    LockTable::new(TablePolicy { credits: CreditTable::default_aging(), ..TablePolicy::default() })
}

fn request(owner: &str) -> AcquireRequest {
    AcquireRequest::new(ResourceKey::new("k").unwrap(), OwnerId::new(owner).unwrap())
}

fn held(table: &mut LockTable, request: &AcquireRequest, now: Timestamp) -> LockRecord {
    match table.acquire(request.clone(), now).unwrap() {
        AcquireOutcome::Held(record) => record,
        other => panic!("{} should hold: {other:?}", request.owner),
    }
}

fn queued(table: &mut LockTable, request: &AcquireRequest, now: Timestamp) {
    let outcome = table.acquire(request.clone(), now).unwrap();
    assert!(matches!(outcome, AcquireOutcome::Queued(_)), "{} should wait: {outcome:?}", request.owner);
}

fn later(ms: u64) -> Timestamp {
    START.plus(Duration::from_millis(ms))
}

#[test]
fn a_hand_off_cannot_be_claimed_beyond_its_greatest_age() {
    let mut table = table();
    let first = held(&mut table, &request("a").sticky(), START);
    let aged = request("b").max_age(Duration::from_secs(1));
    queued(&mut table, &aged, START);
    table.release(&first.grant(), START).unwrap();
    // The claim window is longer, but a lock that is over must not be shown as held.
    let state = table.poll(&aged.ticket(), later(2_000));
    assert!(matches!(&state, RequestState::Finished(e) if e.reason == EndReason::Unclaimed), "{state:?}");
}

#[test]
fn changing_a_priority_is_no_sign_of_life_of_the_waiter() {
    let mut table = table();
    held(&mut table, &request("a").sticky(), START);
    let silent = request("b");
    queued(&mut table, &silent, START);
    table.reprioritise(&silent.ticket(), Priority::High, later(20_000)).unwrap();
    let state = table.poll(&silent.ticket(), later(30_000));
    assert!(matches!(&state, RequestState::Finished(e) if e.reason == EndReason::Abandoned), "{state:?}");
}

#[test]
fn a_grant_by_a_change_of_priority_must_still_be_claimed() {
    let mut table = table();
    held(&mut table, &request("a").shared().sticky(), START);
    queued(&mut table, &request("b").sticky(), START);
    let raised = request("c").shared();
    queued(&mut table, &raised, START);
    let state = table.reprioritise(&raised.ticket(), Priority::Emergency, START).unwrap();
    assert!(matches!(&state, RequestState::Held(record) if record.claim_by.is_some()), "{state:?}");
    let events = table.take_effects().events;
    assert!(events.iter().all(|event| event.kind != EventKind::Claimed), "{events:?}");
}

#[test]
fn a_batch_gives_no_second_place_to_an_owner_that_waits() {
    let mut table = table();
    held(&mut table, &request("a").shared().sticky(), START);
    let waiting = request("b").sticky();
    queued(&mut table, &waiting, START);
    // Shared fits the holder, and so high a priority ranks before its own waiting request.
    let batch = vec![request("b").shared().priority(Priority::Emergency).wait(Wait::No)];
    let outcome = table.acquire_all(batch, START).unwrap();
    assert!(matches!(&outcome, BatchOutcome::Busy(blocked) if blocked.len() == 1), "{outcome:?}");
    assert_eq!(table.check_invariants(START), Ok(()));
}

#[test]
fn a_dead_waiter_in_front_of_a_live_one_is_a_matter_of_the_next_sweep() {
    let mut table = table();
    held(&mut table, &request("a").shared().sticky(), START);
    queued(&mut table, &request("b").wait(Wait::AtMost(Duration::from_secs(1))), START);
    queued(&mut table, &request("c").shared().lease(Lease::Sticky), START);
    assert_eq!(table.check_invariants(later(1_000)), Ok(()), "nothing has looked at the line yet");
    table.sweep(1, later(1_000));
    assert_eq!(table.stats(later(1_000)).waiting, 0);
}
