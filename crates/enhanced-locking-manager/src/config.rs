//! The settings of a manager. Owns defaults and what they mean; reading them from files is `enhanced-locking-config`'s work.

use std::time::Duration;

use enhanced_locking_foundation::Timing;

use crate::{Backoff, HealthThresholds};

/// How a manager works. The default suits the service that owns its store; [`ManagerConfig::remote`] suits a client of one.
///
/// ```
/// use enhanced_locking_manager::ManagerConfig;
/// assert!(ManagerConfig::default().sweeper && !ManagerConfig::remote().sweeper);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ManagerConfig {
    /// Whether this manager ends what has run out of time. Exactly the processes that own a store do.
    pub sweeper: bool,
    /// Whether this manager reads the event feed for its sinks and metrics.
    pub events: bool,
    /// The longest time between two sweeps; an earlier deadline brings the next one forward.
    pub sweep_interval: Duration,
    /// The most entries ended in one step, so that a sweep never blocks others for long.
    pub sweep_budget: usize,
    /// The store's [keep-alive](Timing::keep_alive): a waiter asks three times as often.
    pub keep_alive: Duration,
    /// The longest single wait at the store.
    pub longest_poll: Duration,
    /// How often a waiter that is watched looks for a change of its place.
    pub progress_interval: Duration,
    /// How long one call to the store may take before its outcome counts as unknown. Waiting time comes on top.
    pub call_timeout: Duration,
    /// The pauses between tries while the store cannot be reached.
    pub retry: Backoff,
    /// How long to try where the request itself sets no bound: cancelling, releasing a sticky lock, a request that may not wait.
    pub patience: Duration,
    /// How often a held sticky lock is confirmed, so that its guard learns of a force release; `None` for never.
    pub sticky_check: Option<Duration>,
    /// What counts as healthy.
    pub health: HealthThresholds,
}

impl ManagerConfig {
    /// For a store that somebody else sweeps and watches: a service reached over the network.
    #[must_use]
    pub fn remote() -> Self {
        Self { sweeper: false, events: false, ..Self::default() }
    }
}

impl ManagerConfig {
    /// The longest time that makes sense anywhere here: instants this far away can still be computed.
    const LONGEST: Duration = Duration::from_secs(366 * 24 * 3_600);

    /// The same with every time in bounds, so that no sum of instant and setting overflows.
    pub(crate) fn bounded(mut self) -> Self {
        for time in [
            &mut self.sweep_interval,
            &mut self.keep_alive,
            &mut self.longest_poll,
            &mut self.progress_interval,
            &mut self.call_timeout,
            &mut self.patience,
        ] {
            *time = (*time).min(Self::LONGEST);
        }
        self
    }
}

impl Default for ManagerConfig {
    fn default() -> Self {
        Self {
            sweeper: true,
            events: true,
            sweep_interval: Duration::from_secs(1),
            sweep_budget: 1_000,
            keep_alive: Timing::default().keep_alive,
            longest_poll: Duration::from_secs(20),
            progress_interval: Duration::from_secs(2),
            call_timeout: Duration::from_secs(10),
            retry: Backoff::default(),
            patience: Duration::from_secs(10),
            sticky_check: Some(Duration::from_secs(30)),
            health: HealthThresholds::default(),
        }
    }
}
