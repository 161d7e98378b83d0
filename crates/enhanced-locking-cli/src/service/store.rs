//! The store of a service. Owns which settings make which store, with which limits and credits.

use std::sync::Arc;

use enhanced_locking_compat::legacy::LegacyLocks;
use enhanced_locking_config::{Backend, Settings};
use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_embedded::{EmbeddedBackend, EmbeddedConfig};
use enhanced_locking_foundation::{DocumentStore, Limits, LockBackend, Priority, SteadyClock, Timing};
use enhanced_locking_queue::CreditTable;
use enhanced_locking_redis::RedisBackend;

use super::redis;
use crate::failure::{Failure, chain};

/// The stores this build has.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    Memory(Arc<MemoryBackend>),
    Embedded(Arc<EmbeddedBackend>),
    Redis(Arc<RedisBackend>),
}

impl Store {
    /// Opens the store that the settings ask for.
    ///
    /// # Errors
    /// A [`Failure`] that says what stands in the way.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Failure> {
        let policy = policy(settings);
        match settings.backend {
            Backend::Memory => Ok(Self::Memory(MemoryBackend::new(policy, Arc::new(SteadyClock::new())))),
            Backend::Embedded => {
                let map_size = usize::try_from(settings.embedded.map_size.bytes()).unwrap_or(usize::MAX);
                let journal_size = settings.embedded.journal_size.bytes();
                let config = EmbeddedConfig {
                    policy,
                    map_size,
                    journal_size,
                    ..EmbeddedConfig::new(&settings.data_dir)
                };
                let store =
                    enhanced_locking_embedded::open(config).map_err(|error| Failure::new(chain(&error)))?;
                Ok(Self::Embedded(store))
            }
            Backend::Redis => {
                let opened = enhanced_locking_redis::open(redis::config(settings, policy)?).await;
                Ok(Self::Redis(opened.map_err(|error| Failure::new(chain(&error)))?))
            }
        }
    }

    /// The port.
    pub(crate) fn backend(&self) -> Arc<dyn LockBackend> {
        match self {
            Self::Memory(store) => Arc::clone(store) as _,
            Self::Embedded(store) => Arc::clone(store) as _,
            Self::Redis(store) => Arc::clone(store) as _,
        }
    }
}

impl Store {
    /// The documents beside the locks.
    pub(crate) fn documents(&self) -> Arc<dyn DocumentStore> {
        match self {
            Self::Memory(store) => Arc::clone(store) as _,
            Self::Embedded(store) => Arc::clone(store) as _,
            Self::Redis(store) => Arc::clone(store) as _,
        }
    }

    /// Atlantis' operations on it.
    pub(crate) fn legacy(&self) -> LegacyLocks {
        LegacyLocks::new(self.backend(), self.documents())
    }
}

/// Takes over changed limits while the service runs.
#[derive(Clone, Debug)]
pub(crate) struct LimitControl(Store);

impl LimitControl {
    /// Of a store.
    pub(super) fn new(store: Store) -> Self {
        Self(store)
    }

    /// Applies the limits of new settings. What is over a lowered limit stays, and nothing is added.
    pub(crate) async fn apply(&self, settings: &Settings) {
        let limits = policy(settings).limits;
        let applied = match &self.0 {
            Store::Memory(store) => store.set_limits(limits).await,
            Store::Embedded(store) => store.set_limits(limits).await,
            // Part of its scripts: they need a restart, as the comparison of settings says.
            Store::Redis(_) => return,
        };
        if let Err(error) = applied {
            tracing::error!(%error, "the new limits are not taken over");
        }
    }
}

/// Limits, windows and credits.
fn policy(settings: &Settings) -> TablePolicy {
    let (limits, locks) = (&settings.limits, &settings.locks);
    TablePolicy {
        limits: Limits {
            waiters_per_key: limits.waiters_per_key,
            waiters_per_owner: limits.waiters_per_owner,
            waiters_total: limits.waiters_total,
            locks_total: limits.locks_total,
            finished: limits.finished_requests,
            events: limits.events,
            ..Limits::default()
        },
        timing: Timing { claim_window: locks.claim_window, keep_alive: locks.keep_alive },
        credits: credits(settings),
    }
}

/// What priorities are worth: nothing, unless they are switched on.
fn credits(settings: &Settings) -> CreditTable {
    if !settings.priority_queue.enabled {
        return CreditTable::fifo();
    }
    let (given, usual) = (&settings.priority_queue.credits, CreditTable::default_aging());
    CreditTable::new(Priority::ALL.map(|priority| {
        let given = match priority {
            Priority::Low => given.low,
            Priority::Normal => given.normal,
            Priority::High => given.high,
            Priority::Critical => given.critical,
            Priority::Emergency => given.emergency,
        };
        given.unwrap_or_else(|| usual.credit(priority))
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use enhanced_locking_config::Loader;

    use super::*;

    fn settings(yaml: &str) -> Settings {
        Loader::new().text("t", format!("enhanced-locking: {yaml}")).load().unwrap()
    }

    #[test]
    fn priorities_are_worth_nothing_until_switched_on() {
        assert_eq!(credits(&settings("{}")), CreditTable::fifo());
        let on = credits(&settings("{priority-queue: {enabled: true, credits: {high: 1s}}}"));
        assert_eq!(on.credit(Priority::High), Duration::from_secs(1));
        assert_eq!(on.credit(Priority::Critical), CreditTable::default_aging().credit(Priority::Critical));
    }

    #[test]
    fn limits_and_windows_reach_the_table() {
        let policy = policy(&settings("{limits: {waiters-per-key: 7}, locks: {keep-alive: 12s}}"));
        assert_eq!(policy.limits.waiters_per_key, 7);
        assert_eq!(policy.timing.keep_alive, Duration::from_secs(12));
    }
}
