//! Health, figures and facts in an answer. Owns their views; how healthy a service is, is judged by the manager.

use std::collections::BTreeMap;
use std::time::Duration;

use enhanced_locking_foundation::{BackendInfo, Priority, Stats, Timestamp};
use serde::{Deserialize, Serialize};

use super::millis;
use super::queue::by_priority;

/// The answer to `GET /health`: 200, or 503 if it is not healthy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthView {
    /// Whether locks can be taken and released.
    pub healthy: bool,
    /// `healthy`, `degraded`, `draining` or `unhealthy`.
    pub status: String,
    /// From 0 to 100.
    pub score: f64,
}

/// The answer to `GET /health/detailed`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthDetailView {
    /// The short form.
    #[serde(flatten)]
    pub health: HealthView,
    /// Version of the service.
    pub version: String,
    /// What the score is made of.
    pub components: Vec<ComponentView>,
    /// The store.
    pub store: InfoView,
    /// Its figures; `null` if it does not answer.
    pub stats: Option<StatsView>,
}

/// One part of the health score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ComponentView {
    /// Its name.
    pub name: String,
    /// Its own score, from 0 to 100.
    pub score: f64,
    /// What it counts for in the whole, from 0 to 1.
    pub weight: f64,
    /// What was found.
    pub detail: String,
}

/// The answer to `GET /info`: what kind of store it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfoView {
    /// Its name in configuration and metrics.
    pub name: String,
    /// Where it keeps its locks, without secrets.
    pub location: String,
    /// What an acknowledged change survives: `process`, `fast`, `durable` or `strict`.
    pub durability: String,
}

impl From<&BackendInfo> for InfoView {
    fn from(info: &BackendInfo) -> Self {
        Self {
            name: info.name.to_owned(),
            location: info.location.clone(),
            durability: info.durability.as_str().to_owned(),
        }
    }
}

/// The answer to `GET /stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsView {
    /// Server time of the reading.
    pub now: Timestamp,
    /// Locks held.
    pub held: usize,
    /// Requests waiting.
    pub waiting: usize,
    /// Requests waiting, by priority.
    pub waiting_by_priority: BTreeMap<String, usize>,
    /// How long the oldest has waited.
    pub oldest_wait_ms: u64,
    /// Resources that are held or waited for.
    pub resources: usize,
}

impl From<&Stats> for StatsView {
    fn from(stats: &Stats) -> Self {
        Self {
            now: stats.now,
            held: stats.held,
            waiting: stats.waiting,
            waiting_by_priority: by_priority(stats),
            oldest_wait_ms: millis(stats.oldest_wait),
            resources: stats.resources,
        }
    }
}

impl From<StatsView> for Stats {
    fn from(view: StatsView) -> Self {
        let count = |p: Priority| view.waiting_by_priority.get(p.as_str()).copied().unwrap_or(0);
        Self {
            now: view.now,
            held: view.held,
            waiting: view.waiting,
            waiting_by_priority: Priority::ALL.map(count),
            oldest_wait: Duration::from_millis(view.oldest_wait_ms),
            resources: view.resources,
        }
    }
}

/// The answer to `GET /time`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeReply {
    /// Server time.
    pub now: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_survive_the_journey() {
        let stats = Stats {
            now: Timestamp::from_micros(7),
            held: 1,
            waiting: 2,
            waiting_by_priority: [0, 1, 0, 0, 1],
            oldest_wait: Duration::from_millis(12),
            resources: 3,
        };
        let json = serde_json::to_string(&StatsView::from(&stats)).unwrap();
        assert_eq!(Stats::from(serde_json::from_str::<StatsView>(&json).unwrap()), stats);
    }
}
