//! Many held locks: memory per lock, listing them and releasing those of a pull request. Owns filling a store.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{AcquireOutcome, Cause, LockBackend, LockQuery, PullRequest, Selector};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::request;

/// Callers that fill a store.
const CALLERS: usize = 256;
/// Locks of one pull request.
pub const OF_ONE_PULL: usize = 5_000;

/// Takes the locks with these numbers. With `pulls`, they have a user and belong to pull requests, 5,000 to each, as
/// those of a service do; without, they have a key and an owner only.
pub async fn fill(store: &Arc<impl LockBackend + 'static>, numbers: std::ops::Range<usize>, pulls: bool) {
    let mut tasks = JoinSet::new();
    for caller in 0..CALLERS {
        let (store, numbers) = (Arc::clone(store), numbers.clone());
        tasks.spawn(async move {
            for number in numbers.skip(caller).step_by(CALLERS) {
                // They are never renewed: nothing may run out while it is counted.
                let mut wish = request(number).sticky();
                if pulls {
                    wish = wish.user("alice").pull(pull(number / OF_ONE_PULL));
                }
                let outcome = store.acquire(wish).await.expect("the store works");
                assert!(matches!(outcome, AcquireOutcome::Held(_)), "{outcome:?}");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a caller does not fail");
    }
}

/// Lists all locks of a pull request, page by page; how many there are, and how long it took.
pub async fn list(store: &dyn LockBackend, number: usize) -> (usize, Duration) {
    let start = Instant::now();
    let mut query = LockQuery { pull: Some(pull(number)), ..LockQuery::default() };
    let mut count = 0;
    loop {
        let page = store.locks(&query).await.expect("the store works");
        count += page.items.len();
        query.cursor = page.next;
        if query.cursor.is_none() {
            return (count, start.elapsed());
        }
    }
}

/// Releases all locks of a pull request; how many there were, and how long it took.
pub async fn clear(store: &dyn LockBackend, number: usize) -> (usize, Duration) {
    let start = Instant::now();
    let cleared = store.clear(&Selector::Pull(pull(number)), Cause::none()).await.expect("the store works");
    (cleared.released.len(), start.elapsed())
}

fn pull(number: usize) -> PullRequest {
    let number = i64::try_from(number + 1).unwrap_or(i64::MAX);
    PullRequest::new("acme/infra", number).expect("a valid pull request")
}
