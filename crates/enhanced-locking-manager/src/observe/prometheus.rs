//! The figures for Prometheus. Owns names, buckets and labels (surfaces, "metric names from the seed"); keeps the library's types private.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use enhanced_locking_foundation::{ErrorCode, EventKind, Priority, Stats};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OpLabel {
    op: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PriorityLabel {
    priority: &'static str,
}

/// The registry of one manager and the metrics in it. No globals: two managers in one process do not mix.
#[derive(Debug)]
pub(super) struct Prometheus {
    registry: Registry,
    acquisition: Histogram,
    wait: Histogram,
    calls: Family<OpLabel, Histogram, fn() -> Histogram>,
    errors: Family<CodeLabel, Counter>,
    events: Family<KindLabel, Counter>,
    deadlocks: Counter,
    guards_lost: Counter,
    restarts: Counter,
    queue_size: Gauge,
    queue_depth: Family<PriorityLabel, Gauge>,
    oldest_wait: Gauge<f64, AtomicU64>,
    held: Gauge,
    health: Gauge<f64, AtomicU64>,
}

impl Prometheus {
    pub(super) fn new() -> Self {
        let mut registry = Registry::default();
        // From 0.25 ms (a lock in memory) to an hour (a line before a slow apply), four times each.
        let waits = || Histogram::new(exponential_buckets(0.000_25, 4.0, 13));
        let new = Self {
            acquisition: waits(),
            wait: waits(),
            calls: Family::new_with_constructor(call_histogram),
            errors: Family::default(),
            events: Family::default(),
            deadlocks: Counter::default(),
            guards_lost: Counter::default(),
            restarts: Counter::default(),
            queue_size: Gauge::default(),
            queue_depth: Family::default(),
            oldest_wait: Gauge::default(),
            held: Gauge::default(),
            health: Gauge::default(),
            registry: Registry::default(),
        };
        // Counters get `_total` from the encoder.
        registry.register(
            "atlantis_lock_duration_seconds",
            "Time from asking for a lock to holding it",
            new.acquisition.clone(),
        );
        registry.register("atlantis_queue_size", "Requests standing in line", new.queue_size.clone());
        registry.register("atlantis_deadlock_detected", "Deadlocks found", new.deadlocks.clone());
        registry.register("atlantis_lock_errors", "Refusals and failures by stable code", new.errors.clone());
        registry.register(
            "atlantis_enhanced_health_score",
            "Health from 0 (down) to 100 (well)",
            new.health.clone(),
        );
        registry.register("atlantis_locks_held", "Locks held", new.held.clone());
        registry.register(
            "atlantis_queue_depth",
            "Requests standing in line by priority",
            new.queue_depth.clone(),
        );
        registry.register(
            "atlantis_queue_oldest_wait_seconds",
            "How long the oldest request has stood in line",
            new.oldest_wait.clone(),
        );
        registry.register(
            "atlantis_queue_wait_seconds",
            "Time in line of requests that were granted by hand-off",
            new.wait.clone(),
        );
        registry.register("atlantis_lock_events", "Changes of state by kind", new.events.clone());
        registry.register(
            "atlantis_lock_guards_lost",
            "Guards of this process that were told that their lock is lost",
            new.guards_lost.clone(),
        );
        registry.register(
            "atlantis_lock_task_restarts",
            "Background tasks that had to be started again",
            new.restarts.clone(),
        );
        registry.register(
            "atlantis_lock_backend_seconds",
            "Time of calls to the store, waiting calls not counted",
            new.calls.clone(),
        );
        // Series that alerts rely on exist from the start, at zero.
        for code in ErrorCode::ALL {
            drop(new.errors.get_or_create(&CodeLabel { code: code.as_str() }));
        }
        for priority in Priority::ALL {
            drop(new.queue_depth.get_or_create(&PriorityLabel { priority: priority.as_str() }));
        }
        Self { registry, ..new }
    }

    pub(super) fn call(&self, op: &'static str, took: Duration) {
        self.calls.get_or_create(&OpLabel { op }).observe(took.as_secs_f64());
    }

    pub(super) fn error(&self, code: ErrorCode) {
        self.errors.get_or_create(&CodeLabel { code: code.as_str() }).inc();
    }

    pub(super) fn acquired(&self, after: Duration) {
        self.acquisition.observe(after.as_secs_f64());
    }

    pub(super) fn waited(&self, waited: Duration) {
        self.wait.observe(waited.as_secs_f64());
    }

    pub(super) fn lost(&self) {
        self.guards_lost.inc();
    }

    pub(super) fn event(&self, kind: &EventKind) {
        self.events.get_or_create(&KindLabel { kind: kind.as_str() }).inc();
    }

    pub(super) fn deadlock(&self) {
        self.deadlocks.inc();
    }

    pub(super) fn stats(&self, stats: &Stats) {
        self.held.set(whole(stats.held));
        self.queue_size.set(whole(stats.waiting));
        self.oldest_wait.set(stats.oldest_wait.as_secs_f64());
        for priority in Priority::ALL {
            let depth = stats.waiting_by_priority[priority.index()];
            self.queue_depth.get_or_create(&PriorityLabel { priority: priority.as_str() }).set(whole(depth));
        }
    }

    pub(super) fn health(&self, score: u8) {
        self.health.set(f64::from(score));
    }

    pub(super) fn restarts(&self, restarts: u64) {
        self.restarts.inc_by(restarts.saturating_sub(self.restarts.get()));
    }

    /// Everything as OpenMetrics text.
    pub(super) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail; should it ever, the part written is better than nothing.
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("metrics could not be written in full");
        }
        text
    }
}

/// From 16 µs to 17 s, four times each.
fn call_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.000_016, 4.0, 11))
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
