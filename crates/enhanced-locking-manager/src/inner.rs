//! What all parts of a manager share. Owns calls to the store (timed, counted, bounded) and the background clean-up that shutdown waits for.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, BackendError, BackendErrorKind, CancelOutcome, Cause, EndReason, Grant,
    LockBackend, LockRecord, ReleaseError, ReleaseOutcome, ReprioritiseError, Ticket, Timestamp,
    TransferError,
};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ManagerConfig;
use crate::lease::{Registry, Renewer};
use crate::observe::{Failure, Recorder};

/// The shared state of one manager. Guards and background tasks keep it alive; supervised tasks end with the manager.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) backend: Arc<dyn LockBackend>,
    pub(crate) config: ManagerConfig,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) renewer: Renewer,
    pub(crate) registry: Registry,
    pub(crate) sweeps: SweepPlan,
    pub(crate) handle: Handle,
    /// Cancels and releases that outlive the call that caused them.
    pub(crate) aftercare: TaskTracker,
    /// Fires at shutdown: those who wait go home, leaving their places in the store.
    pub(crate) shut: CancellationToken,
    draining: AtomicBool,
}

impl Inner {
    pub(crate) fn new(backend: Arc<dyn LockBackend>, config: ManagerConfig, handle: Handle) -> Arc<Self> {
        let config = config.bounded();
        let recorder = Arc::new(Recorder::new());
        let renewer = Renewer::start(backend.clone(), recorder.clone(), config.call_timeout, &handle);
        // A poll, two calls after it, and one to be on the safe side.
        let answers_within = config.longest_poll + 4 * config.call_timeout;
        Arc::new(Self {
            backend,
            config,
            recorder,
            renewer,
            registry: Registry::new(answers_within),
            sweeps: SweepPlan::default(),
            handle,
            aftercare: TaskTracker::new(),
            shut: CancellationToken::new(),
            draining: AtomicBool::new(false),
        })
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Refuses what is new while draining.
    pub(crate) fn admit(&self) -> Result<(), BackendError> {
        if self.is_draining() {
            return Err(BackendError::new(
                BackendErrorKind::Draining,
                "no new locks are given out while this service goes down; ask another one, or this one later",
            ));
        }
        Ok(())
    }

    /// Makes one call, timed and counted.
    pub(crate) async fn call<T, E: Fault>(
        &self,
        op: &'static str,
        call: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let began = Instant::now();
        let answer = call.await;
        self.recorder.call(op, began, answer.as_ref().err().map(Fault::failure));
        answer
    }

    /// Like [`call`](Self::call), but an answer that does not come within `limit` counts as unknown.
    pub(crate) async fn bounded<T, E: Fault>(
        &self,
        op: &'static str,
        limit: Duration,
        call: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let bounded = async {
            match tokio::time::timeout(limit, call).await {
                Ok(answer) => answer,
                Err(_) => Err(E::from(BackendError::new(
                    BackendErrorKind::Indeterminate,
                    format!("the store did not answer {op} within {limit:?}; it is asked again"),
                ))),
            }
        };
        self.call(op, bounded).await
    }

    /// Notes deadlines of an answer, so that the sweeper comes in time.
    pub(crate) fn note(&self, answer: &AcquireOutcome) {
        match answer {
            AcquireOutcome::Held(record) => self.sweeps.nudge(record.deadline()),
            AcquireOutcome::Queued(place) => self.sweeps.nudge(place.gives_up_at),
            AcquireOutcome::Busy(_) => {}
        }
    }

    /// Releases a grant, trying again while the store cannot be reached, until `until`; once at least.
    pub(crate) async fn release_until(
        &self,
        grant: &Grant,
        until: Instant,
    ) -> Result<ReleaseOutcome, ReleaseError> {
        let mut failures = 0;
        loop {
            let answer = self.bounded("release", self.config.call_timeout, self.backend.release(grant)).await;
            match answer {
                Err(error) if error.is_transient() && Instant::now() < until => {
                    let pause = self.config.retry.delay(failures);
                    failures += 1;
                    tracing::debug!(key = %grant.key, %error, ?pause, "release is tried again");
                    tokio::time::sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
                }
                answer => {
                    if let Ok(ReleaseOutcome::Released { next }) = &answer {
                        self.sweeps.nudge(next.iter().filter_map(LockRecord::deadline).min());
                    }
                    return answer;
                }
            }
        }
    }

    /// Releases a grant that the registry knows to be leaving, and tells the registry when it is gone.
    pub(crate) async fn let_go(
        self: &Arc<Self>,
        grant: &Grant,
        until: Instant,
    ) -> Result<ReleaseOutcome, ReleaseError> {
        let answer = self.release_until(grant, until).await;
        if let Err(ReleaseError::Backend(_)) = answer {
            // A request may still be under way. Were the same owner given the same grant again, it would be released
            // under its hands; so the grant is kept back for a while. Nobody renews it meanwhile.
            let (inner, grant, delay) = (Arc::downgrade(self), grant.clone(), 3 * self.config.call_timeout);
            self.handle.spawn(async move {
                tokio::time::sleep(delay).await;
                if let Some(inner) = inner.upgrade() {
                    inner.registry.gone(&grant);
                }
            });
        } else {
            self.registry.gone(grant);
        }
        answer
    }

    /// Releases a grant in the background; shutdown waits for it.
    pub(crate) fn let_go_later(self: &Arc<Self>, grant: Grant, until: Instant) {
        let inner = self.clone();
        let task = async move {
            match inner.let_go(&grant, until).await {
                Ok(_) | Err(ReleaseError::NotHeld(_)) => {}
                Err(error) => {
                    tracing::warn!(key = %grant.key, id = %grant.id, %error, "lock was not released; it is left to its lease");
                }
            }
        };
        self.aftercare.spawn_on(task, &self.handle);
    }

    /// Takes requests out of their lines in the background; what was granted meanwhile is released.
    pub(crate) fn cancel_later(self: &Arc<Self>, tickets: Vec<Ticket>) {
        for ticket in tickets {
            let inner = self.clone();
            let task = async move {
                let until = Instant::now() + inner.config.patience;
                if let Err(error) = inner.cancel_until(&ticket, EndReason::Cancelled, until).await {
                    tracing::warn!(key = %ticket.key, id = %ticket.id, %error, "request was not cancelled; it is left to its keep-alive");
                }
            };
            self.aftercare.spawn_on(task, &self.handle);
        }
    }

    /// Takes a request out of the line, or releases what it was granted. Tries until `until`; once at least.
    async fn cancel_until(
        self: &Arc<Self>,
        ticket: &Ticket,
        reason: EndReason,
        until: Instant,
    ) -> Result<(), BackendError> {
        let mut failures = 0;
        loop {
            let cancel = self.backend.cancel(ticket, None, reason, Cause::none());
            match self.bounded("cancel", self.config.call_timeout, cancel).await {
                Ok(CancelOutcome::Held(record)) => {
                    let grant = record.grant();
                    if record.request.id != ticket.id {
                        return Ok(());
                    }
                    // Another guard of this process may have joined in the meantime: then it is for that one to release.
                    if let Some(held) = self.registry.leaving_unless_live(&grant) {
                        held.join(true);
                        return Ok(());
                    }
                    return match self.let_go(&grant, until).await {
                        Err(ReleaseError::Backend(error)) => Err(error),
                        _ => Ok(()),
                    };
                }
                Ok(_) => return Ok(()),
                Err(error) if error.is_transient() && Instant::now() < until => {
                    let pause = self.config.retry.delay(failures);
                    failures += 1;
                    tokio::time::sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// When the sweeper comes next, and how to make it come earlier. Times are server times in microseconds.
#[derive(Debug)]
pub(crate) struct SweepPlan {
    /// The next sweep.
    planned: AtomicU64,
    /// The earliest deadline noted since the last sweep began: that sweep may not have seen it.
    noted: AtomicU64,
    earlier: Notify,
}

impl Default for SweepPlan {
    fn default() -> Self {
        Self { planned: AtomicU64::new(0), noted: AtomicU64::new(u64::MAX), earlier: Notify::new() }
    }
}

impl SweepPlan {
    /// A deadline that the sweeper may not know of.
    pub(crate) fn nudge(&self, deadline: Option<Timestamp>) {
        let Some(deadline) = deadline else { return };
        self.noted.fetch_min(deadline.as_micros(), Ordering::SeqCst);
        if deadline.as_micros() < self.planned.load(Ordering::SeqCst) {
            self.earlier.notify_one();
        }
    }

    /// A sweep begins: it sees all that was noted before.
    pub(crate) fn begin(&self) {
        self.noted.store(u64::MAX, Ordering::SeqCst);
    }

    /// The next sweep shall be then; answers the earlier time that was noted meanwhile, if one was.
    pub(crate) fn plan(&self, at: Timestamp) -> Timestamp {
        self.planned.store(at.as_micros(), Ordering::SeqCst);
        at.min(Timestamp::from_micros(self.noted.load(Ordering::SeqCst)))
    }

    /// Comes back when a deadline before the plan was noted.
    pub(crate) async fn earlier(&self) {
        self.earlier.notified().await;
    }
}

/// Errors of the port, as the manager sees them.
pub(crate) trait Fault: From<BackendError> + std::fmt::Display {
    /// The store's own trouble, if it is that.
    fn backend(&self) -> Option<&BackendError>;

    /// How it is counted.
    fn failure(&self) -> Failure;

    /// Whether the same call may succeed later.
    fn is_transient(&self) -> bool {
        self.backend().is_some_and(BackendError::is_transient)
    }
}

/// Whether an error speaks of a sick store, and not of a caller who asks for what is not allowed or comes too late.
fn of_store(error: &BackendError) -> bool {
    !matches!(
        error.kind(),
        BackendErrorKind::Denied
            | BackendErrorKind::Invalid
            | BackendErrorKind::Draining
            | BackendErrorKind::Closed
    )
}

impl Fault for BackendError {
    fn backend(&self) -> Option<&BackendError> {
        Some(self)
    }

    fn failure(&self) -> Failure {
        Failure { code: self.code(), of_store: of_store(self) }
    }
}

macro_rules! fault {
    ($($error:ty),*) => {$(
        impl Fault for $error {
            fn backend(&self) -> Option<&BackendError> {
                if let Self::Backend(error) = self { Some(error) } else { None }
            }

            fn failure(&self) -> Failure {
                Failure { code: self.code(), of_store: self.backend().is_some_and(of_store) }
            }
        }
    )*};
}

fault!(AcquireError, ReleaseError, ReprioritiseError, TransferError);
