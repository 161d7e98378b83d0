//! What the manager notices about itself and its store. Owns where observations go: recent figures for health, sums for the snapshot, and Prometheus if compiled in.

#[cfg(feature = "metrics")]
mod prometheus;
mod recent;
mod snapshot;

use std::time::Duration;

use enhanced_locking_foundation::{EndReason, ErrorCode, EventKind, LockEvent, Stats};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::EventSink;

pub(crate) use recent::Recent;
pub use snapshot::{MetricsSnapshot, Percentiles};

/// A failure as counted: by code, and whether the store itself is to blame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    pub(crate) of_store: bool,
}

/// Takes observations from every part of the manager. Never blocks for long, never fails.
#[derive(Debug)]
pub(crate) struct Recorder {
    recent: Mutex<Recent>,
    sums: Mutex<MetricsSnapshot>,
    #[cfg(feature = "metrics")]
    prometheus: prometheus::Prometheus,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            recent: Mutex::new(Recent::new(Instant::now())),
            sums: Mutex::default(),
            #[cfg(feature = "metrics")]
            prometheus: prometheus::Prometheus::new(),
        }
    }

    /// One call to the store came back.
    pub(crate) fn call(&self, op: &'static str, began: Instant, failure: Option<Failure>) {
        let now = Instant::now();
        let took = now.saturating_duration_since(began);
        self.recent.lock().call(now, took, op == "acquire", failure.is_some_and(|f| f.of_store));
        #[cfg(feature = "metrics")]
        self.prometheus.call(op, took);
        if let Some(failure) = failure {
            self.error(failure.code);
        }
    }

    /// One call that waits at the store came back: how long it took says nothing about the store.
    pub(crate) fn waiting_call(&self, failure: Option<Failure>) {
        self.recent.lock().call(Instant::now(), Duration::ZERO, false, failure.is_some_and(|f| f.of_store));
        if let Some(failure) = failure {
            self.error(failure.code);
        }
    }

    /// An answer that says no, inside an answer that is fine: one entry of a batch.
    pub(crate) fn error(&self, code: ErrorCode) {
        *self.sums.lock().errors.entry(code.as_str()).or_default() += 1;
        #[cfg(feature = "metrics")]
        self.prometheus.error(code);
    }

    /// A lock was granted this long after it was asked for.
    pub(crate) fn acquired(&self, after: Duration) {
        self.recent.lock().acquired(Instant::now(), after);
        self.sums.lock().acquisitions += 1;
        #[cfg(feature = "metrics")]
        self.prometheus.acquired(after);
    }

    /// A lock was granted after this long in line.
    pub(crate) fn waited(&self, waited: Duration) {
        #[cfg(feature = "metrics")]
        self.prometheus.waited(waited);
        self.acquired(waited);
    }

    /// A guard was told that its lock is lost.
    pub(crate) fn lost(&self) {
        self.sums.lock().guards_lost += 1;
        #[cfg(feature = "metrics")]
        self.prometheus.lost();
    }

    /// Figures of the store.
    pub(crate) fn stats(&self, stats: &Stats) {
        self.sums.lock().store(stats);
        #[cfg(feature = "metrics")]
        self.prometheus.stats(stats);
    }

    /// The health score.
    pub(crate) fn health(&self, score: u8) {
        self.sums.lock().health_score = Some(score);
        #[cfg(feature = "metrics")]
        self.prometheus.health(score);
    }

    /// How often supervised tasks were restarted so far.
    pub(crate) fn restarts(&self, restarts: u64) {
        self.sums.lock().task_restarts = restarts;
        #[cfg(feature = "metrics")]
        self.prometheus.restarts(restarts);
    }

    /// Looks at the recent figures.
    pub(crate) fn recent<R>(&self, look: impl FnOnce(&mut Recent, Instant) -> R) -> R {
        look(&mut self.recent.lock(), Instant::now())
    }

    pub(crate) fn snapshot(&self) -> MetricsSnapshot {
        let mut snapshot = self.sums.lock().clone();
        snapshot.acquisition = self.recent(|recent, now| recent.acquisition(now));
        snapshot
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn encode(&self) -> String {
        self.prometheus.encode()
    }
}

impl EventSink for Recorder {
    fn event(&self, event: &LockEvent) {
        *self.sums.lock().events.entry(event.kind.as_str()).or_default() += 1;
        #[cfg(feature = "metrics")]
        self.prometheus.event(&event.kind);
        match event.kind {
            EventKind::Granted { waited_us } => self.waited(Duration::from_micros(waited_us)),
            EventKind::Ended { reason: EndReason::Deadlock, .. } => {
                self.sums.lock().deadlocks_detected += 1;
                #[cfg(feature = "metrics")]
                self.prometheus.deadlock();
            }
            _ => {}
        }
    }

    fn gap(&self) {
        self.sums.lock().event_gaps += 1;
    }
}
