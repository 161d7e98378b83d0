//! Holders that vanish: from the end of a lease to the next holder. Owns the two processes' worth of stores it takes.

use std::time::Duration;

use enhanced_locking_foundation::{AcquireOutcome, AcquireRequest, Lease, LockBackend, OwnerId, Timestamp};
use enhanced_locking_manager::{LockManager, ManagerConfig};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::Redis;
use crate::request;

/// The shortest lease, and how much longer each next one is: ends do not fall together.
const LEASES_MS: (u64, u64) = (500, 37);

/// Lets `holders` take a key each from one store and never be heard of again, while a manager on another store waits for
/// all of them. By the server's clock, in microseconds: from the end of each lease to when its waiter had been told.
pub async fn run(redis: &Redis, holders: usize) -> Histogram<u64> {
    let mut stores = redis.stores(2, None).await;
    let (vanishing, staying) = (stores.remove(0), stores.remove(0));
    let manager = LockManager::start(staying.clone(), ManagerConfig::default());
    let mut waiting = JoinSet::new();
    for number in 0..holders {
        let lease = Duration::from_millis(LEASES_MS.0 + LEASES_MS.1 * number as u64);
        let taken = vanishing.acquire(request(number).lease(Lease::For(lease))).await;
        let AcquireOutcome::Held(held) = taken.expect("the store works") else { panic!("the key is free") };
        let ends = held.expires_at.expect("a lease");
        let owner = OwnerId::new(format!("next-{number}")).expect("a valid owner");
        let wish = AcquireRequest { owner, ..request(number) };
        let (manager, store) = (manager.clone(), staying.clone());
        waiting.spawn(async move {
            let guard = manager.acquire(wish).await.expect("its turn comes");
            let now = store.now().await.expect("the store works");
            assert!(guard.record().token > held.token, "tokens rise");
            // The guard is kept to the end of the measurement: dropping it is a release.
            guard.release().await.expect("the lock is held");
            (ends, now)
        });
    }
    vanishing.close().await.expect("the store closes");
    let mut delays = Histogram::new(3).expect("a histogram");
    while let Some(done) = waiting.join_next().await {
        let (ends, now): (Timestamp, Timestamp) = done.expect("a waiter does not fail");
        assert!(now >= ends, "nobody gets a lock whose lease has not ended");
        delays.record(u64::try_from(now.since(ends).as_micros()).unwrap_or(u64::MAX)).expect("in range");
    }
    let _ = manager.shutdown(Duration::from_secs(5)).await;
    delays
}
