//! Joining the line again after a place was lost for silence. Owns when that is right; one way through the line is `asking`'s.

use std::sync::Arc;

use enhanced_locking_foundation::{AcquireRequest, EndReason, Ended, RequestId};
use tokio::time::Instant;

use super::{Progress, Watcher, asking};
use crate::inner::Inner;
use crate::{LockError, LockGuard};

/// Asks for a lock, waits if the request may, and takes charge of it.
///
/// A place in the line that was lost for silence, while this process was frozen, starved or cut off, ends nothing: it
/// joins the line again, with a fresh id, until the time it may wait is over.
pub(super) async fn acquire(
    inner: &Arc<Inner>,
    mut request: AcquireRequest,
    mut resumed: bool,
    mut watcher: Option<&mut Watcher<'_>>,
) -> Result<LockGuard, LockError> {
    inner.admit()?;
    let _ask = inner.registry.ask(&request.key);
    let began = Instant::now();
    let deadline = request.wait.limit().and_then(|limit| began.checked_add(limit));
    let mut rejoined = 0;
    loop {
        let mut place = None;
        let answer =
            asking::attempt(inner, &request, resumed, began, deadline, watcher.as_deref_mut(), &mut place)
                .await;
        let ended = match answer {
            Err(LockError::Ended { id, ended }) if is_lost_place(&request, &ended, resumed) => (id, ended),
            answer => return answer,
        };
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(LockError::TimedOut { key: request.key, place: place.map(Box::new) });
        }
        let id = RequestId::generate();
        tracing::info!(key = %request.key, was = %ended.0, %id, reason = %ended.1.reason, "joining the line again");
        if let Some(watcher) = &mut watcher {
            watcher(Progress::Rejoining { ended: &ended.1, id: &id });
        }
        (request.id, resumed) = (id, false);
        if rejoined > 0 {
            // A store that ends places faster than they can be kept is not asked as fast as it answers.
            let pause = inner.config.retry.delay(rejoined - 1);
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = tokio::time::sleep(pause.min(left.unwrap_or(pause))) => {}
                () = inner.shut.cancelled() => return Err(LockError::ShutDown { key: request.key }),
            }
        }
        rejoined += 1;
    }
}

/// Whether a request came to its end only because nobody spoke up for it in time: nobody decided against it, and
/// nobody was told that it held the lock.
///
/// A lease that ran out counts as well, unless the id is from before: then somebody may have worked with the lock.
fn is_lost_place(request: &AcquireRequest, ended: &Ended, resumed: bool) -> bool {
    request.wait.may_queue()
        && match ended.reason {
            EndReason::Unclaimed | EndReason::Abandoned => true,
            EndReason::Expired => !resumed,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use enhanced_locking_foundation::{OwnerId, ResourceKey, Timestamp, Wait};

    use super::*;

    #[test]
    fn only_what_nobody_decided_is_asked_for_again() {
        let request = AcquireRequest::new(ResourceKey::new("k").unwrap(), OwnerId::new("o").unwrap());
        let of = |reason| Ended { reason, at: Timestamp::ZERO, token: None };
        let lost = |wait, resumed| -> Vec<EndReason> {
            let request = request.clone().wait(wait);
            let lost = |reason: &EndReason| is_lost_place(&request, &of(*reason), resumed);
            EndReason::ALL.into_iter().filter(lost).collect()
        };
        use EndReason::{Abandoned, Expired, Unclaimed};
        assert_eq!(lost(Wait::Forever, false), [Expired, Unclaimed, Abandoned]);
        assert_eq!(lost(Wait::Forever, true), [Unclaimed, Abandoned]);
        assert_eq!(lost(Wait::No, false), []);
    }
}
