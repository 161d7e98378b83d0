//! Hand-off: from the release being called to the next holder being told. Owns the queue of waiting tasks it is timed with.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, LockBackend, LockRecord, OwnerId, RequestState, Ticket,
};
use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::request;

/// Lets `waiters` tasks wait for one key and hands it from each to the next, until everybody had it.
/// Returns the latencies in nanoseconds.
pub async fn run(backend: Arc<dyn LockBackend>, waiters: usize) -> Histogram<u64> {
    let first = request(0);
    let AcquireOutcome::Held(mut held) = backend.acquire(first.clone()).await.expect("the store works")
    else {
        panic!("the key is free");
    };
    let (told, mut next) = mpsc::unbounded_channel::<(Instant, LockRecord)>();
    for number in 0..waiters {
        let owner = OwnerId::new(format!("waiter-{number}")).expect("a valid owner");
        let waiter = AcquireRequest { owner, ..request(0) };
        let ticket: Ticket = waiter.ticket();
        let queued = backend.acquire(waiter).await.expect("room in the line");
        assert!(matches!(queued, AcquireOutcome::Queued(_)), "{queued:?}");
        let (backend, told) = (Arc::clone(&backend), told.clone());
        tokio::spawn(async move {
            let state = backend.await_turn(&ticket, Duration::from_secs(600)).await.expect("the store works");
            let RequestState::Held(record) = state else {
                panic!("{ticket:?} did not get its turn: {state:?}")
            };
            let _ = told.send((Instant::now(), record));
        });
    }
    // Only for the figures: whoever is not waiting yet finds its grant in the data all the same.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut latencies = Histogram::new(3).expect("a histogram");
    for _ in 0..waiters {
        let released = Instant::now();
        backend.release(&held.grant()).await.expect("the lock is held");
        let (at, record) = next.recv().await.expect("somebody is next");
        latencies.record(u64::try_from((at - released).as_nanos()).unwrap_or(u64::MAX)).expect("in range");
        held = record;
    }
    backend.release(&held.grant()).await.expect("the lock is held");
    latencies
}
