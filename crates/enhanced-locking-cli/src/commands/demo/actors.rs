//! Who plays in the demonstration, and what each does. Owns the script; what is seen of it is told by `story`.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireError, AcquireRequest, Cause, Lease, LockBackend, OwnerId, Priority, PullRequest, ResourceKey,
    ValueError, Wait,
};
use enhanced_locking_manager::{LockError, LockManager};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::failure::Failure;

/// What they contend for.
pub(super) const KEYS: [&str; 3] = ["demo/prod/network", "demo/prod/database", "demo/staging/app"];

const REPO: &str = "acme/infra";
const PEOPLE: [&str; 8] = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];
const FIRST_PULL: i64 = 101;

/// Starts everybody. All are done soon after `end`, and hold nothing then.
pub(super) fn start(
    manager: &LockManager,
    store: Arc<dyn LockBackend>,
    pulls: u8,
    end: Instant,
) -> JoinSet<Result<(), Failure>> {
    let mut cast = JoinSet::new();
    let length = end.saturating_duration_since(Instant::now());
    for number in 0..i64::from(pulls) {
        cast.spawn(pull_request(manager.clone(), number, end));
    }
    let now = Instant::now();
    cast.spawn(crashed_process(store.clone(), now + length / 4));
    cast.spawn(stuck_process(manager.clone(), store, now + length / 2, end));
    cast
}

fn request(number: i64, key: &str) -> Result<AcquireRequest, ValueError> {
    let pull = PullRequest::new(REPO, FIRST_PULL + number)?;
    let person = usize::try_from(number).unwrap_or_default() % PEOPLE.len();
    let request = AcquireRequest::new(ResourceKey::new(key)?, OwnerId::new(pull.to_string())?);
    Ok(request.user(PEOPLE[person]).pull(pull))
}

/// Plans and applies one project after another. Every fifth is in a hurry.
async fn pull_request(manager: LockManager, number: i64, end: Instant) -> Result<(), Failure> {
    let step = u64::try_from(number).unwrap_or_default();
    for round in 0.. {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let key = KEYS[usize::try_from(step + round).unwrap_or_default() % KEYS.len()];
        let priority = if number % 5 == 4 { Priority::Critical } else { Priority::Normal };
        let wish = request(number, key)?.priority(priority).wait(Wait::AtMost(left));
        match manager.acquire(wish).await {
            Ok(guard) => {
                let work = Duration::from_millis(400 + (step * 370 + round * 530) % 1_300);
                sleep(work.min(end.saturating_duration_since(Instant::now()))).await;
                guard.release().await?;
            }
            Err(LockError::TimedOut { .. }) => break,
            Err(LockError::Refused(error)) => return Err(error.into()),
            Err(error) => return Err(Failure::new(error.to_string())),
        }
        // Somebody reads the plan before the next step.
        sleep(Duration::from_millis(150 + (step * 90) % 400)).await;
    }
    Ok(())
}

/// Takes a lock and is gone, without releasing it: its lease runs out, and the next one goes on.
async fn crashed_process(store: Arc<dyn LockBackend>, at: Instant) -> Result<(), Failure> {
    sleep_until(at).await;
    let mut wish =
        request(64, KEYS[0])?.lease(Lease::For(Duration::from_secs(2))).user("a process that crashes");
    wish.wait = Wait::AtMost(Duration::from_secs(5));
    let ticket = wish.ticket();
    if let enhanced_locking_foundation::AcquireOutcome::Queued(_) = store.acquire(wish).await? {
        store.await_turn(&ticket, Duration::from_secs(5)).await.map_err(AcquireError::from)?;
    }
    Ok(())
}

/// Holds a lock and does not come to an end, until an operator takes the lock away.
async fn stuck_process(
    manager: LockManager,
    store: Arc<dyn LockBackend>,
    at: Instant,
    end: Instant,
) -> Result<(), Failure> {
    sleep_until(at).await;
    let left = end.saturating_duration_since(Instant::now());
    let wish = request(65, KEYS[1])?.user("a stuck apply").wait(Wait::AtMost(left / 2));
    let key = wish.key.clone();
    let Ok(guard) = manager.acquire(wish).await else { return Ok(()) };
    sleep((left / 4).min(Duration::from_secs(2))).await;
    let cause = Cause::new("dana, on call", "apply hangs since noon")?;
    store.force_release(&key, Some(guard.id()), cause).await?;
    guard.lost().wait().await;
    Ok(())
}
