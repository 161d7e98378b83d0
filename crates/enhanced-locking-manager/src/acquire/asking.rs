//! Asking for one lock with one request id until it is held, refused or out of time. Owns the loop around acquire; standing in line is in `line`.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendError, BackendErrorKind, EndReason, Ended, Grant,
    LockRecord, QueuePlace, Renewal, Wait,
};
use tokio::time::Instant;

use super::line::{self, Turn};
use super::{Pending, Progress, Watcher, rejoin};
use crate::inner::Inner;
use crate::lease::{Found, Held, Window};
use crate::{LockError, LockGuard};

/// One acquisition under way.
pub(super) struct Asking<'a, 'w> {
    pub(super) inner: &'a Arc<Inner>,
    pub(super) request: &'a AcquireRequest,
    pub(super) began: Instant,
    /// When the waiting ends; `None` for never.
    pub(super) deadline: Option<Instant>,
    pub(super) watcher: Option<&'a mut Watcher<'w>>,
    /// Its last known place in the line.
    pub(super) place: Option<QueuePlace>,
    failures: u32,
}

/// Asks with one request id, waits if the request may, and takes charge of the lock. `last_place` is told how far it came.
pub(super) async fn attempt(
    inner: &Arc<Inner>,
    request: &AcquireRequest,
    resumed: bool,
    began: Instant,
    deadline: Option<Instant>,
    watcher: Option<&mut Watcher<'_>>,
    last_place: &mut Option<QueuePlace>,
) -> Result<LockGuard, LockError> {
    let mut asking = Asking { inner, request, began, deadline, watcher, place: None, failures: 0 };
    let mut pending = Pending::new(inner, vec![request.ticket()]);
    if resumed {
        pending.doubt();
    }
    let answer = tokio::select! {
        biased;
        answer = asking.run(&mut pending) => answer,
        () = inner.shut.cancelled() => {
            let key = request.key.clone();
            if request.wait.may_queue() {
                pending.keep();
            }
            return Err(LockError::ShutDown { key });
        }
    };
    *last_place = asking.place.take();
    match answer {
        Ok(guard) => {
            // A joined lock has another id: ours was never granted, but a late copy of it might still arrive.
            if *guard.id() == request.id {
                pending.keep()
            } else {
                pending.refused()
            }
            Ok(guard)
        }
        Err(End::Settled(error)) => {
            pending.refused();
            Err(error)
        }
        Err(End::Open(error)) => {
            pending.open();
            Err(error)
        }
    }
}

/// Takes charge of a grant that was made before.
pub(crate) async fn attach(inner: &Arc<Inner>, grant: &Grant) -> Result<LockGuard, LockError> {
    let _ask = inner.registry.ask(&grant.key);
    let mut failures = 0;
    let until = Instant::now() + inner.config.patience;
    loop {
        if let Found::Live(held) = inner.registry.find(grant) {
            held.join(true);
            return Ok(LockGuard::new(held));
        }
        let renewal = Renewal { grant: grant.clone(), lease: None };
        let taken = match inner.renewer.renew(renewal, inner.config.call_timeout).await {
            Ok((sent, Ok(record))) => Held::take(inner, record, sent, true).await,
            Ok((_, Err(not_held))) => return Err(not_held.into()),
            Err(error) => Err(error),
        };
        match taken {
            Ok(Some(held)) => return Ok(LockGuard::new(held)),
            Ok(None) => {}
            Err(error) if error.is_transient() && Instant::now() < until => {}
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(inner.config.retry.delay(failures)).await;
        failures += 1;
    }
}

/// Takes charge of a lock that was granted as one of a batch.
pub(super) async fn adopt(
    inner: &Arc<Inner>,
    request: &AcquireRequest,
    record: LockRecord,
    sent: Instant,
    certain: bool,
) -> Result<LockGuard, LockError> {
    let mut asking =
        Asking { inner, request, began: sent, deadline: None, watcher: None, place: None, failures: 0 };
    let fresh = asking.is_own(&record) && is_pristine(&record);
    if fresh && certain {
        inner.recorder.acquired(sent.elapsed());
    }
    match asking.take(record, sent, fresh && certain).await {
        Ok(Some(guard)) => Ok(guard),
        // Lost or let go in between: ask for it alone.
        Ok(None) => {
            let request = AcquireRequest { wait: Wait::No, ..request.clone() };
            Box::pin(rejoin::acquire(inner, request, true, None)).await
        }
        Err(End::Settled(error) | End::Open(error)) => Err(error),
    }
}

/// How an acquisition ended without a lock.
pub(super) enum End {
    /// The store said so: nothing is left there, as far as was heard.
    Settled(LockError),
    /// Something may be left in the store.
    Open(LockError),
}

impl From<LockError> for End {
    fn from(error: LockError) -> Self {
        Self::Open(error)
    }
}

impl Asking<'_, '_> {
    async fn run(&mut self, pending: &mut Pending) -> Result<LockGuard, End> {
        loop {
            let sent = Instant::now();
            let ask = self.inner.backend.acquire(self.remaining_request());
            match self.inner.bounded("acquire", self.call_limit(), ask).await {
                Ok(answer) => {
                    self.succeeded();
                    self.inner.note(&answer);
                    if !matches!(answer, AcquireOutcome::Busy(_)) {
                        pending.known();
                    }
                    let granted = match answer {
                        AcquireOutcome::Busy(holders) => {
                            let key = self.request.key.clone();
                            return Err(End::Settled(LockError::Busy { key, holders }));
                        }
                        AcquireOutcome::Held(record) => {
                            let fresh = self.is_own(&record) && is_pristine(&record);
                            if fresh && !pending.is_doubtful() {
                                self.inner.recorder.acquired(self.began.elapsed());
                            }
                            Some((record, sent, fresh))
                        }
                        AcquireOutcome::Queued(place) => match line::stand(self, place, pending).await? {
                            Turn::Held { record, sent, certain } => {
                                // With the event feed at hand, grants by hand-off are counted there.
                                if !self.inner.config.events {
                                    self.inner.recorder.waited(self.began.elapsed());
                                }
                                Some((record, sent, certain))
                            }
                            Turn::AskAgain => None,
                        },
                    };
                    if let Some((record, sent, certain)) = granted
                        && let Some(guard) =
                            self.take(record, sent, certain && !pending.is_doubtful()).await?
                    {
                        return Ok(guard);
                    }
                }
                Err(AcquireError::Backend(error)) if error.is_transient() => {
                    if error.is_indeterminate() {
                        pending.doubt();
                    }
                    self.pause(error).await?;
                }
                Err(AcquireError::Finished { id, ended }) => {
                    return Err(self.ended(id == self.request.id, ended));
                }
                Err(error) => return Err(End::Settled(error.into())),
            }
        }
    }

    /// Takes charge of what was granted. `None` if this process was just letting go of it: ask again.
    ///
    /// `certain` says that the lease began after `sent`. Otherwise, or if much of the lease is gone already, it is
    /// renewed first: nobody must rely on a lease that began nobody knows when.
    async fn take(
        &mut self,
        mut record: LockRecord,
        mut sent: Instant,
        certain: bool,
    ) -> Result<Option<LockGuard>, End> {
        let own = self.is_own(&record);
        let grant = record.grant();
        match self.inner.registry.find(&grant) {
            Found::Nothing => {}
            Found::Live(held) => {
                held.join(own);
                return Ok(Some(LockGuard::new(held)));
            }
            Found::Leaving => {
                self.breathe().await?;
                return Ok(None);
            }
        }
        let lease = record.request.lease;
        let mut confirmed = certain;
        loop {
            if confirmed && !Window::is_stale(sent, lease) || lease.is_sticky() {
                match Held::take(self.inner, record.clone(), sent, own).await {
                    Ok(Some(held)) => return Ok(Some(LockGuard::new(held))),
                    Ok(None) => {
                        self.breathe().await?;
                        return Ok(None);
                    }
                    Err(error) if error.is_transient() => self.pause(error).await?,
                    Err(error) => return Err(End::Open(error.into())),
                }
                continue;
            }
            let limit = lease.duration().map_or(self.inner.config.call_timeout, |lease| {
                (lease / 3).max(Duration::from_millis(20)).min(self.inner.config.call_timeout)
            });
            match self.inner.renewer.renew(Renewal { grant: grant.clone(), lease: None }, limit).await {
                Ok((asked, Ok(renewed))) => {
                    (record, sent, confirmed) = (renewed, asked, true);
                    if Window::is_stale(sent, lease) {
                        self.pause(too_slow(lease.duration())).await?;
                    }
                }
                // Gone in the meantime: asking again tells how.
                Ok((_, Err(_))) => return Ok(None),
                Err(error) if error.is_transient() => self.pause(error).await?,
                Err(error) => return Err(End::Open(error.into())),
            }
        }
    }

    /// Waits before the next try, or gives up when the time is over.
    pub(super) async fn pause(&mut self, error: BackendError) -> Result<(), End> {
        let now = Instant::now();
        // A request that may not wait, and one that holds already, may still find out what became of it.
        let deadline = match (self.request.wait, self.deadline) {
            (Wait::No, _) if error.is_indeterminate() => Some(self.began + self.inner.config.patience),
            (_, deadline) => deadline,
        };
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(End::Open(match self.place.take() {
                None => error.into(),
                Some(place) => self.timed_out(Some(place)),
            }));
        }
        let mut pause = self.inner.config.retry.delay(self.failures);
        if let Some(deadline) = deadline {
            pause = pause.min(deadline - now);
        }
        self.failures += 1;
        tracing::debug!(key = %self.request.key, id = %self.request.id, %error, ?pause, "store is asked again");
        if let Some(watcher) = &mut self.watcher {
            watcher(Progress::Retrying { error: &error, again_in: pause });
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How it ended, if the store says that a request is over.
    pub(super) fn ended(&mut self, own: bool, ended: Ended) -> End {
        End::Settled(if own && ended.reason == EndReason::TimedOut && self.place.is_some() {
            let place = self.place.take();
            self.timed_out(place)
        } else {
            LockError::Ended { id: self.request.id.clone(), ended }
        })
    }

    pub(super) fn timed_out(&self, place: Option<QueuePlace>) -> LockError {
        LockError::TimedOut { key: self.request.key.clone(), place: place.map(Box::new) }
    }

    /// The time left to wait; `None` for as long as it takes.
    pub(super) fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn is_own(&self, record: &LockRecord) -> bool {
        record.request.id == self.request.id
    }

    /// The request with the waiting time that is left: a store that has forgotten it begins to count anew.
    fn remaining_request(&self) -> AcquireRequest {
        let mut request = self.request.clone();
        if let (Wait::AtMost(_), Some(left)) = (request.wait, self.left()) {
            request.wait = Wait::rest(left);
        }
        request
    }

    /// One call may not take much longer than the program wants to wait.
    fn call_limit(&self) -> Duration {
        let longest = self.inner.config.call_timeout;
        match (self.request.wait, self.left()) {
            (Wait::AtMost(_), Some(left)) => left.max(Duration::from_millis(250)).min(longest),
            _ => longest,
        }
    }

    /// A short wait for another task of this process to be done with the lock.
    async fn breathe(&mut self) -> Result<(), End> {
        let busy = "this process is still letting go of the same lock; it is asked again";
        self.pause(BackendError::new(BackendErrorKind::Indeterminate, busy)).await
    }
}

/// Whether a record looks as if it was granted by this very call: nobody has renewed it.
fn is_pristine(record: &LockRecord) -> bool {
    let bound = [record.request.lease.duration(), record.request.max_age].into_iter().flatten().min();
    record.claim_by.is_none() && record.expires_at == bound.map(|bound| record.acquired_at.plus(bound))
}

fn too_slow(lease: Option<Duration>) -> BackendError {
    BackendError::new(
        BackendErrorKind::Unavailable,
        format!(
            "the store takes too long to answer for a lease of {:?}; ask for a longer one",
            lease.unwrap_or_default()
        ),
    )
}
