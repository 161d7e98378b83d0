//! The pure table at a given size. Owns the background of held locks and waiters behind which operations are timed.

use enhanced_locking_core::{LockTable, TablePolicy};
use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, FencingToken, Grant, OwnerId, RequestId, Timestamp,
};

use crate::request;

/// A time of day for tables that need none.
pub const NOW: Timestamp = Timestamp::from_micros(1_764_000_000_000_000);

/// A table that holds `held` locks and has `waiting` requests in line for some of them.
#[must_use]
pub fn filled(held: usize, waiting: usize) -> LockTable {
    let mut policy = TablePolicy::default();
    policy.limits.waiters_per_key = usize::MAX;
    let mut table = LockTable::new(policy);
    for number in 0..held {
        table.acquire(request(number), NOW).expect("room");
    }
    for number in 0..waiting {
        let waiter = request(number % held.max(1));
        let owner = OwnerId::new(format!("waiter-{number}")).expect("a valid owner");
        table.acquire(AcquireRequest { owner, ..waiter }.sticky(), NOW).expect("room");
    }
    table.take_effects();
    table
}

/// The requests a caller goes through, keys of its own that nobody else asks for.
#[must_use]
pub fn own_requests(count: usize) -> Vec<AcquireRequest> {
    (0..count).map(|number| request(5_000_000 + number)).collect()
}

/// One uncontended acquire and release, with a fresh request id as a real caller has.
pub fn pair(table: &mut LockTable, request: &AcquireRequest, id: RequestId, now: Timestamp) -> FencingToken {
    let request = AcquireRequest { id, ..request.clone() };
    let Ok(AcquireOutcome::Held(record)) = table.acquire(request, now) else { return FencingToken::NONE };
    let grant: Grant = record.grant();
    let _ = table.release(&grant, now);
    table.take_effects();
    record.token
}

/// Distinct request ids, made outside the timed part: their randomness is the caller's cost, not the table's.
#[must_use]
pub fn ids(count: usize) -> Vec<RequestId> {
    (0..count).map(|_| RequestId::generate()).collect()
}
