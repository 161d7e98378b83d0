//! What the manager's tests share: a clock that follows tokio's, and a store that fails on demand.

mod flaky;
mod pass;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::*;
use enhanced_locking_manager::{LockManager, ManagerConfig};
use tokio::time::Instant;

pub(crate) use flaky::{Flaky, Trouble};
pub(crate) use pass::{Switch, Unclosed};

/// Server time that follows tokio's clock, paused or not.
#[derive(Debug)]
pub(crate) struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_764_000_000_000_000).plus(self.0.elapsed())
    }
}

/// A store in memory on tokio's clock.
pub(crate) fn store(policy: TablePolicy) -> Arc<MemoryBackend> {
    MemoryBackend::new(policy, Arc::new(TokioClock(Instant::now())))
}

/// The policy with other windows.
pub(crate) fn windows(claim: Duration, keep_alive: Duration) -> TablePolicy {
    TablePolicy { timing: Timing { claim_window: claim, keep_alive }, ..TablePolicy::default() }
}

pub(crate) fn key(name: &str) -> ResourceKey {
    ResourceKey::new(name).expect("a key")
}

pub(crate) fn request(name: &str, owner: &str) -> AcquireRequest {
    AcquireRequest::new(key(name), OwnerId::new(owner).expect("an owner"))
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A manager that neither sweeps nor reads events: a client.
pub(crate) fn client(backend: Arc<dyn LockBackend>) -> LockManager {
    LockManager::start(backend, ManagerConfig::remote())
}

/// Who holds a key now, expired or not.
pub(crate) async fn holders(store: &dyn LockBackend, name: &str) -> Vec<LockRecord> {
    store.resource(&key(name), 0).await.expect("the store").map_or(Vec::new(), |view| view.holders)
}

/// How many wait for a key.
pub(crate) async fn depth(store: &dyn LockBackend, name: &str) -> usize {
    store.resource(&key(name), 0).await.expect("the store").map_or(0, |view| view.depth)
}

/// Waits until a condition holds, at most ten minutes of tokio's time.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < secs(600), "never: {what}");
        tokio::time::sleep(ms(5)).await;
    }
}
