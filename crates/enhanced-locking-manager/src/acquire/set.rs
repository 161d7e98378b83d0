//! Several locks at once. Owns all or nothing, and the order that keeps two sets from waiting for each other.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use enhanced_locking_foundation::{
    AcquireError, AcquireRequest, BatchOutcome, LockRecord, ReleaseError, ReleaseOutcome, RequestId,
    ResourceKey, Wait,
};
use tokio::time::Instant;

use super::{Acquire, Pending, Progress, Watcher, asking};
use crate::inner::Inner;
use crate::{LeaseSignal, LeaseState, LockError, LockGuard, LossReason};

/// Several locks being asked for: await it. Made by [`LockManager::acquire_all`](crate::LockManager::acquire_all).
///
/// First all are asked for in one step. If that fails and waiting is allowed, they are asked for one by one in the order
/// of their keys, so that two sets never wait for each other. It ends with all of them held, or none: on failure,
/// timeout, loss of one while waiting for the next, or when the future is dropped, what was got is released.
#[must_use = "nothing is asked for until this is awaited"]
pub struct AcquireSet<'w> {
    inner: Arc<Inner>,
    requests: Vec<AcquireRequest>,
    wait: Wait,
    watcher: Option<Watcher<'w>>,
}

impl<'w> AcquireSet<'w> {
    pub(crate) fn new(inner: Arc<Inner>, requests: Vec<AcquireRequest>, wait: Wait) -> Self {
        Self { inner, requests, wait, watcher: None }
    }

    /// Tells how the waiting goes, for the lock that is waited for at the moment.
    pub fn watch<'n>(self, watcher: impl FnMut(Progress<'_>) + Send + 'n) -> AcquireSet<'n>
    where
        'w: 'n,
    {
        AcquireSet {
            inner: self.inner,
            requests: self.requests,
            wait: self.wait,
            watcher: Some(Box::new(watcher)),
        }
    }

    async fn run(self) -> Result<LockSet, LockError> {
        let Self { inner, requests, wait, mut watcher } = self;
        inner.admit()?;
        if requests.is_empty() {
            return Ok(LockSet { guards: Vec::new() });
        }
        let began = Instant::now();
        let deadline = wait.limit().and_then(|limit| began.checked_add(limit));
        let doubtful = match at_once(&inner, &requests, wait, deadline).await? {
            AtOnce::Held(guards) => return Ok(LockSet { guards }),
            AtOnce::Busy { doubtful } => doubtful,
        };
        let mut order: Vec<usize> = (0..requests.len()).collect();
        order.sort_by(|a, b| requests[*a].key.cmp(&requests[*b].key));
        let mut got: Vec<(usize, LockGuard)> = Vec::with_capacity(requests.len());
        for at in order {
            let mut request = requests[at].clone();
            request.wait = match deadline {
                None => Wait::Forever,
                Some(deadline) => Wait::rest(deadline.saturating_duration_since(Instant::now())),
            };
            let mut acquire = Acquire::new(inner.clone(), request);
            if doubtful {
                acquire = acquire.resumed();
            }
            if let Some(watcher) = &mut watcher {
                acquire = acquire.watch(watcher);
            }
            let answer = tokio::select! {
                answer = acquire.into_future() => answer,
                (key, reason) = first_lost(got.iter().map(|(_, guard)| guard)) => {
                    Err(LockError::LostWhileWaiting { key, reason })
                }
            };
            match answer {
                Ok(guard) => got.push((at, guard)),
                Err(error) => {
                    // Waited for, so that nothing is held any more when the error is told.
                    let _ =
                        LockSet { guards: got.into_iter().map(|(_, guard)| guard).collect() }.release().await;
                    return Err(error);
                }
            }
        }
        got.sort_by_key(|(at, _)| *at);
        Ok(LockSet { guards: got.into_iter().map(|(_, guard)| guard).collect() })
    }
}

impl<'w> IntoFuture for AcquireSet<'w> {
    type Output = Result<LockSet, LockError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'w>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl std::fmt::Debug for AcquireSet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcquireSet").field("requests", &self.requests).field("wait", &self.wait).finish()
    }
}

enum AtOnce {
    Held(Vec<LockGuard>),
    Busy { doubtful: bool },
}

/// Asks for all in one step.
async fn at_once(
    inner: &Arc<Inner>,
    requests: &[AcquireRequest],
    wait: Wait,
    deadline: Option<Instant>,
) -> Result<AtOnce, LockError> {
    let mut pending = Pending::new(inner, requests.iter().map(AcquireRequest::ticket).collect());
    let _asks: Vec<_> = requests.iter().map(|request| inner.registry.ask(&request.key)).collect();
    let began = Instant::now();
    let mut failures = 0;
    loop {
        let sent = Instant::now();
        let ask = inner.backend.acquire_all(requests.to_vec());
        match inner.bounded("acquire_all", inner.config.call_timeout, ask).await {
            Ok(BatchOutcome::Held(records)) => {
                let certain = !pending.is_doubtful();
                let mut guards = Vec::with_capacity(records.len());
                for (request, record) in requests.iter().zip(records) {
                    inner.sweeps.nudge(record.deadline());
                    guards.push(asking::adopt(inner, request, record, sent, certain).await?);
                }
                pending.keep();
                return Ok(AtOnce::Held(guards));
            }
            Ok(BatchOutcome::Busy(blocked)) => {
                let doubtful = pending.is_doubtful();
                pending.refused();
                return if wait.may_queue() {
                    Ok(AtOnce::Busy { doubtful })
                } else {
                    Err(LockError::SetBusy { blocked: with_keys(requests, blocked) })
                };
            }
            Err(AcquireError::Backend(error)) if error.is_transient() => {
                let bound = match wait {
                    Wait::No if error.is_indeterminate() => Some(began + inner.config.patience),
                    _ => deadline,
                };
                if error.is_indeterminate() {
                    pending.doubt();
                }
                if bound.is_some_and(|bound| bound <= Instant::now()) {
                    pending.refused();
                    return Err(error.into());
                }
                tokio::select! {
                    () = tokio::time::sleep(inner.config.retry.delay(failures)) => failures += 1,
                    () = inner.shut.cancelled() => {
                        return Err(LockError::ShutDown { key: requests[0].key.clone() });
                    }
                }
            }
            Err(error) => {
                pending.refused();
                return Err(error.into());
            }
        }
    }
}

fn with_keys(
    requests: &[AcquireRequest],
    blocked: Vec<(RequestId, Vec<LockRecord>)>,
) -> Vec<(ResourceKey, Vec<LockRecord>)> {
    blocked
        .into_iter()
        .filter_map(|(id, holders)| {
            requests.iter().find(|request| request.id == id).map(|request| (request.key.clone(), holders))
        })
        .collect()
}

/// Comes back when one of the locks is lost; never if there are none.
async fn first_lost<'a>(guards: impl Iterator<Item = &'a LockGuard>) -> (ResourceKey, LossReason) {
    let signals: Vec<(ResourceKey, LeaseSignal)> =
        guards.map(|guard| (guard.key().clone(), guard.lost())).collect();
    let mut waits: Vec<_> = signals.iter().map(|(_, signal)| Box::pin(signal.wait())).collect();
    std::future::poll_fn(|context| {
        for ((key, signal), wait) in signals.iter().zip(&mut waits) {
            if wait.as_mut().poll(context).is_ready()
                && let LeaseState::Lost(reason) = signal.state()
            {
                return Poll::Ready((key.clone(), reason));
            }
        }
        Poll::Pending
    })
    .await
}

/// Several locks held together. Dropping it releases them all.
///
/// ```
/// # use enhanced_locking_foundation::*;
/// # use enhanced_locking_manager::*;
/// # async fn example(manager: LockManager, a: AcquireRequest, b: AcquireRequest) -> Result<(), LockError> {
/// let set = manager.acquire_all(vec![a, b], Wait::Forever).await?;
/// assert_eq!(set.guards().len(), 2);
/// for (key, answer) in set.release().await {
///     println!("{key}: {answer:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping the set releases its locks"]
pub struct LockSet {
    guards: Vec<LockGuard>,
}

impl LockSet {
    /// The guards, in the order the locks were asked for.
    pub fn guards(&self) -> &[LockGuard] {
        &self.guards
    }

    /// The guards, each on its own from now on.
    pub fn into_guards(self) -> Vec<LockGuard> {
        self.guards
    }

    /// Whether all of them may be relied on now.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.guards.iter().all(LockGuard::is_valid)
    }

    /// Waits until one of them is lost, and says which and why.
    pub async fn lost(&self) -> (ResourceKey, LossReason) {
        first_lost(self.guards.iter()).await
    }

    /// Releases all of them, side by side, and tells the store's answers in the same order.
    pub async fn release(self) -> Vec<(ResourceKey, Result<ReleaseOutcome, ReleaseError>)> {
        let mut waits: Vec<_> = self
            .guards
            .into_iter()
            .map(|guard| (guard.key().clone(), Box::pin(guard.release()), None))
            .collect();
        std::future::poll_fn(|context| {
            let mut open = false;
            for (_, wait, answer) in &mut waits {
                if answer.is_none() {
                    match wait.as_mut().poll(context) {
                        Poll::Ready(done) => *answer = Some(done),
                        Poll::Pending => open = true,
                    }
                }
            }
            if open { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        waits.into_iter().filter_map(|(key, _, answer)| Some((key, answer?))).collect()
    }
}
