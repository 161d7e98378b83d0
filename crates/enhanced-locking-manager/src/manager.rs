//! The manager itself. Owns starting, draining and shutting down; the work is done by the modules beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireRequest, BackendError, Grant, LockBackend, LockRecord, Timestamp, Wait,
};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::acquire::attach;
use crate::health::Findings;
use crate::inner::Inner;
use crate::pump::{Feed, pump};
use crate::supervisor::Supervisor;
use crate::sweeper::sweep;
use crate::{
    Acquire, AcquireSet, EventSink, Health, LockError, LockGuard, ManagerConfig, MetricsSnapshot, TaskStatus,
};

/// Drives a store of locks: waiting, claims, renewals, expiry, events, figures. Cheap to clone.
///
/// It works over any [`LockBackend`]: the store inside the service, or a client of a service. It is a [`LockBackend`]
/// itself (see [`backend`](Self::backend)), so that what is served to others passes through it as well.
///
/// Dropping the last clone ends its background tasks. Guards live on and are renewed; use [`shutdown`](Self::shutdown)
/// to end in good order.
#[derive(Clone, Debug)]
pub struct LockManager {
    pub(crate) inner: Arc<Inner>,
    tasks: Arc<Tasks>,
}

/// What lives as long as the manager, and not longer because of a guard.
#[derive(Debug)]
struct Tasks {
    supervisor: Supervisor,
    feed: Arc<Feed>,
    ready: Vec<watch::Receiver<bool>>,
}

impl LockManager {
    /// Starts the background tasks over a store.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    #[must_use]
    pub fn start(backend: Arc<dyn LockBackend>, config: ManagerConfig) -> Self {
        let handle = Handle::current();
        let inner = Inner::new(backend, config, handle.clone());
        let supervisor = Supervisor::new(handle);
        let feed = Arc::new(Feed::default());
        feed.add(inner.recorder.clone());
        let mut ready = Vec::new();
        if inner.config.sweeper {
            let (tell, told) = watch::channel(false);
            ready.push(told);
            let (inner, stop) = (inner.clone(), supervisor.stop_token());
            supervisor.run("sweeper", move || sweep(inner.clone(), stop.clone(), tell.clone()));
        }
        if inner.config.events {
            let (tell, told) = watch::channel(false);
            ready.push(told);
            let (inner, feed, stop) = (inner.clone(), feed.clone(), supervisor.stop_token());
            supervisor.run("events", move || pump(inner.clone(), feed.clone(), stop.clone(), tell.clone()));
        }
        Self { inner, tasks: Arc::new(Tasks { supervisor, feed, ready }) }
    }

    /// Waits until the background tasks have done their first step: from then on sinks miss no event.
    pub async fn ready(&self) {
        for ready in &self.tasks.ready {
            // Fails only if the task is gone for good: after a shutdown.
            let _ = ready.clone().wait_for(|ready| *ready).await;
        }
    }

    /// The manager as a store, for those who serve it to others: with admission, figures and prompt sweeps.
    #[must_use]
    pub fn backend(&self) -> Arc<dyn LockBackend> {
        Arc::new(self.clone())
    }

    /// Asks for a lock: await what this returns. Waits as long as the request's [`Wait`] allows, in the store's line,
    /// through restarts and outages of the store. A place that is lost because this process was frozen or cut off for
    /// longer than the store waits for it is taken anew at the end of the line, with a fresh id; the guard has that id.
    ///
    /// # Errors
    /// [`LockError`] says what became of it. On an error nothing is held and nothing stands in line (or a cancel is
    /// under way in the background), except after [`LockError::ShutDown`], which keeps the place.
    ///
    /// ```
    /// # use enhanced_locking_foundation::*;
    /// # use enhanced_locking_manager::*;
    /// # async fn example(manager: LockManager, request: AcquireRequest) -> Result<(), LockError> {
    /// let guard = manager
    ///     .acquire(request)
    ///     .watch(|progress| {
    ///         if let Progress::Waiting(place) = progress {
    ///             eprintln!("place {} of {}", place.position, place.depth);
    ///         }
    ///     })
    ///     .await?;
    /// # drop(guard);
    /// # Ok(())
    /// # }
    /// ```
    pub fn acquire(&self, request: AcquireRequest) -> Acquire<'static> {
        Acquire::new(self.inner.clone(), request)
    }

    /// Takes a lock if it is free now, and says who holds it if not. [`AcquireRequest::wait`] is ignored.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire); that it is held is not an error here.
    pub async fn try_acquire(&self, request: AcquireRequest) -> Result<Attempt, LockError> {
        match self.acquire(request.wait(Wait::No)).await {
            Ok(guard) => Ok(Attempt::Held(guard)),
            Err(LockError::Busy { holders, .. }) => Ok(Attempt::Busy(holders)),
            Err(error) => Err(error),
        }
    }

    /// Asks for all of several locks or none. `wait` counts for all together; that of the requests is ignored.
    ///
    /// # Errors
    /// [`LockError`]; nothing is held then.
    pub fn acquire_all(&self, requests: Vec<AcquireRequest>, wait: Wait) -> AcquireSet<'static> {
        AcquireSet::new(self.inner.clone(), requests, wait)
    }

    /// Takes charge of a lock that was granted before, here or by a process that is gone. Confirms it first.
    ///
    /// # Errors
    /// [`LockError::NotHeld`] if it is not held any more; [`LockError::Refused`] if the store cannot be reached.
    pub async fn attach(&self, grant: &Grant) -> Result<LockGuard, LockError> {
        attach(&self.inner, grant).await
    }

    /// Adds a sink: it hears what happens from now on, if this manager reads [events](ManagerConfig::events).
    pub fn add_sink(&self, sink: Arc<dyn EventSink>) {
        self.tasks.feed.add(sink);
    }

    /// Something may be over sooner than the sweeper knows: it looks now.
    pub fn nudge(&self) {
        self.inner.sweeps.nudge(Some(Timestamp::ZERO));
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &ManagerConfig {
        &self.inner.config
    }

    /// How the background tasks do, by name.
    #[must_use]
    pub fn tasks(&self) -> BTreeMap<&'static str, TaskStatus> {
        self.tasks.supervisor.status()
    }

    /// Probes the store and computes the score.
    pub async fn health(&self) -> Health {
        let inner = &self.inner;
        let began = Instant::now();
        let limit = inner.config.call_timeout;
        let ping = inner.bounded("ping", limit, inner.backend.ping()).await;
        let ping = ping.map(|()| began.elapsed()).map_err(|error| error.to_string());
        let stats = inner.bounded("stats", limit, inner.backend.stats()).await.ok();
        if let Some(stats) = &stats {
            inner.recorder.stats(stats);
        }
        let found = inner.recorder.recent(|recent, now| {
            let (calls, failed) = recent.calls(now);
            Findings {
                ping,
                stats,
                acquire_p95: recent.acquire_calls(now).map(|p| Duration::from_secs_f64(p.p95_ms / 1e3)),
                calls,
                failed,
                sweep: inner.config.sweeper.then(|| (recent.since_sweep(now), inner.config.sweep_interval)),
                tasks_restarted: self.tasks.supervisor.restarted_within(Duration::from_secs(600)),
            }
        });
        let health = Health::of(&found, &inner.config.health);
        inner.recorder.health(health.score);
        health
    }

    /// The figures for people and JSON, the store's read anew and the health score with them.
    pub async fn metrics(&self) -> MetricsSnapshot {
        self.refresh().await;
        self.inner.recorder.snapshot()
    }

    /// The figures as OpenMetrics text, the store's read anew and the health score with them.
    #[cfg(feature = "metrics")]
    pub async fn open_metrics(&self) -> String {
        self.refresh().await;
        self.inner.recorder.encode()
    }

    async fn refresh(&self) {
        self.inner.recorder.restarts(self.tasks().values().map(|task| task.restarts).sum());
        self.health().await;
    }

    /// Refuses new locks from now on. Who waits goes on waiting, who holds goes on holding.
    pub fn drain(&self) {
        self.inner.drain();
    }

    /// Whether new locks are refused.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.is_draining()
    }

    /// Ends in good order: refuses new locks, sends waiting programs home (their places stay in the store), waits at
    /// most `grace` for releases and cancels under way, ends the background tasks and closes the store.
    ///
    /// Guards should be released before. Those that are left are not renewed any more: they are at risk from now on and
    /// are told that they are lost before their lease ends; sticky locks stay held.
    ///
    /// # Errors
    /// [`BackendError`] if the store could not be closed in good order.
    pub async fn shutdown(&self, grace: Duration) -> Result<ShutdownReport, BackendError> {
        let inner = &self.inner;
        inner.drain();
        inner.shut.cancel();
        // Whoever waits must be polled once to go home, before its clean-up can be waited for.
        tokio::task::yield_now().await;
        inner.aftercare.close();
        let in_time = tokio::time::timeout(grace, inner.aftercare.wait()).await.is_ok();
        let unfinished = if in_time { 0 } else { inner.aftercare.len() };
        if unfinished > 0 {
            tracing::warn!(
                unfinished,
                ?grace,
                "releases and cancels were not done in time; leases and keep-alives end them"
            );
        }
        self.tasks.supervisor.finish().await;
        inner.backend.close().await?;
        Ok(ShutdownReport { unfinished })
    }
}

/// The answer to [`LockManager::try_acquire`].
#[derive(Debug)]
pub enum Attempt {
    /// Held now.
    Held(LockGuard),
    /// Held by others; empty if only an earlier waiter is in the way.
    Busy(Vec<LockRecord>),
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Releases and cancels that were not done when the grace ended. Leases and keep-alives end what they were for.
    pub unfinished: usize,
}
