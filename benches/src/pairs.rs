//! Acquire and release through the backend port, by many callers at once. Owns the loop that is the same for every store.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{AcquireOutcome, AcquireRequest, LockBackend, RequestId};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::request;

/// Lets `callers` each take and release `pairs` locks of their own, and tells how long they all took.
pub async fn run(backend: Arc<dyn LockBackend>, callers: usize, pairs: usize) -> Duration {
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for caller in 0..callers {
        let backend = Arc::clone(&backend);
        tasks.spawn(async move {
            let template = request(caller);
            for _ in 0..pairs {
                pair(&*backend, &template).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a caller does not fail");
    }
    start.elapsed()
}

/// One acquire and release.
pub async fn pair(backend: &dyn LockBackend, template: &AcquireRequest) {
    let request = AcquireRequest { id: RequestId::generate(), ..template.clone() };
    let outcome = backend.acquire(request).await.expect("the store works");
    let AcquireOutcome::Held(record) = outcome else { panic!("nobody else asks for this key: {outcome:?}") };
    backend.release(&record.grant()).await.expect("the lock is held");
}
