//! The figures for people and JSON. Owns their names; Prometheus has its own in `prometheus`.

use std::collections::BTreeMap;

use enhanced_locking_foundation::{Priority, Stats};

/// What was counted since the manager started, and the store's figures when last read.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// Locks held.
    pub locks_held: usize,
    /// Requests standing in line.
    pub queue_size: usize,
    /// Requests standing in line, by priority.
    pub queue_by_priority: BTreeMap<&'static str, usize>,
    /// How long the oldest of them has waited, in milliseconds.
    pub oldest_wait_ms: u64,
    /// Locks granted.
    pub acquisitions: u64,
    /// From asking to holding, over the last five minutes; `None` if nothing was granted.
    pub acquisition: Option<Percentiles>,
    /// Refusals and failures by their stable code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Changes of state by kind.
    pub events: BTreeMap<&'static str, u64>,
    /// How often the feed had lost events before they were read.
    pub event_gaps: u64,
    /// Requests that were ended because of a deadlock.
    pub deadlocks_detected: u64,
    /// Guards of this process that were told that their lock is lost.
    pub guards_lost: u64,
    /// Background tasks that had to be started again.
    pub task_restarts: u64,
    /// The health score when last computed, 0 to 100.
    pub health_score: Option<u8>,
}

impl MetricsSnapshot {
    pub(super) fn store(&mut self, stats: &Stats) {
        self.locks_held = stats.held;
        self.queue_size = stats.waiting;
        self.oldest_wait_ms = u64::try_from(stats.oldest_wait.as_millis()).unwrap_or(u64::MAX);
        self.queue_by_priority =
            Priority::ALL.iter().map(|p| (p.as_str(), stats.waiting_by_priority[p.index()])).collect();
    }
}

/// Quantiles of a duration, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Percentiles {
    /// Of how many samples.
    pub samples: usize,
    /// Half take no longer.
    pub p50_ms: f64,
    /// 95 of 100 take no longer.
    pub p95_ms: f64,
    /// 99 of 100 take no longer.
    pub p99_ms: f64,
}
