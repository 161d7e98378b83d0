//! A running service: settings in, store, manager and HTTP server wired together.
//!
//! Owns which settings become which parts, and the order of stopping them. Signals and messages are the command's.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use enhanced_locking_client::api::{ComponentView, HealthDetailView, HealthView, InfoView, StatsView};
use enhanced_locking_config::{Backend, Settings};
use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_embedded::{EmbeddedBackend, EmbeddedConfig};
use enhanced_locking_foundation::{
    BackendError, BackendInfo, Lease, Limits, LockBackend, Priority, SteadyClock, Timing,
};
use enhanced_locking_manager::{HealthStatus, LockManager, ManagerConfig};
use enhanced_locking_queue::CreditTable;
use enhanced_locking_server::{AuthToken, BackupError, Operations, Server, ServerConfig};

use crate::failure::{Failure, chain};

/// A service that has its store and its address.
#[derive(Debug)]
pub(crate) struct Service {
    server: Server,
    manager: LockManager,
    store: Store,
    grace: Duration,
}

/// The stores this build has.
#[derive(Clone, Debug)]
enum Store {
    Memory(Arc<MemoryBackend>),
    Embedded(Arc<EmbeddedBackend>),
}

impl Store {
    fn backend(&self) -> Arc<dyn LockBackend> {
        match self {
            Self::Memory(store) => Arc::clone(store) as _,
            Self::Embedded(store) => Arc::clone(store) as _,
        }
    }
}

/// Takes over changed limits while the service runs.
#[derive(Clone, Debug)]
pub(crate) struct LimitControl(Store);

impl LimitControl {
    /// Applies the limits of new settings. What is over a lowered limit stays, and nothing is added.
    pub(crate) async fn apply(&self, settings: &Settings) {
        let limits = policy(settings).limits;
        let applied = match &self.0 {
            Store::Memory(store) => store.set_limits(limits).await,
            Store::Embedded(store) => store.set_limits(limits).await,
        };
        if let Err(error) = applied {
            tracing::error!(%error, "the new limits are not taken over");
        }
    }
}

impl Service {
    /// Opens the store and listens.
    ///
    /// # Errors
    /// A [`Failure`] that says what stands in the way.
    pub(crate) async fn start(settings: &Settings) -> Result<Self, Failure> {
        let store = open(settings)?;
        let config = ManagerConfig { keep_alive: settings.locks.keep_alive, ..ManagerConfig::default() };
        let manager = LockManager::start(store.backend(), config);
        let operations = Managed {
            manager: manager.clone(),
            store: store.clone(),
            backups: settings.embedded.backup_dir.clone().unwrap_or(settings.data_dir.join("backups")),
            settings: settings_json(settings),
        };
        let bound = Server::bind_with(server_config(settings), manager.backend(), Arc::new(operations)).await;
        match bound {
            Ok(server) => {
                manager.ready().await;
                Ok(Self { server, manager, store, grace: settings.server.shutdown_grace })
            }
            Err(error) => {
                let _ = manager.shutdown(Duration::ZERO).await;
                Err(Failure::new(chain(&error)))
            }
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// What store it has.
    pub(crate) fn info(&self) -> BackendInfo {
        self.store.backend().info()
    }

    /// What changes its limits while it runs.
    pub(crate) fn limits(&self) -> LimitControl {
        LimitControl(self.store.clone())
    }

    /// Serves until `shutdown` is ready, then stops in good order: calls under way, then the manager, then the store.
    ///
    /// # Errors
    /// A [`Failure`] if the store could not be closed in good order.
    pub(crate) async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), Failure> {
        self.server.run(shutdown).await;
        self.manager.shutdown(self.grace).await?;
        Ok(())
    }
}

/// Opens the store that the settings ask for.
fn open(settings: &Settings) -> Result<Store, Failure> {
    let policy = policy(settings);
    match settings.backend {
        Backend::Memory => Ok(Store::Memory(MemoryBackend::new(policy, Arc::new(SteadyClock::new())))),
        Backend::Embedded => {
            let map_size = usize::try_from(settings.embedded.map_size.bytes()).unwrap_or(usize::MAX);
            let journal_size = settings.embedded.journal_size.bytes();
            let config =
                EmbeddedConfig { policy, map_size, journal_size, ..EmbeddedConfig::new(&settings.data_dir) };
            let store =
                enhanced_locking_embedded::open(config).map_err(|error| Failure::new(chain(&error)))?;
            Ok(Store::Embedded(store))
        }
        other => Err(Failure::new(format!("this build has no {other} backend"))
            .hint("set `backend: embedded`, or use a build that has it")),
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

fn server_config(settings: &Settings) -> ServerConfig {
    let server = &settings.server;
    ServerConfig {
        listen: server.listen,
        max_body_bytes: usize::try_from(server.max_body.bytes()).unwrap_or(usize::MAX),
        max_in_flight: server.max_requests_in_flight,
        max_waiting: server.max_waiting_requests,
        max_connections: server.max_connections,
        read_timeout: server.read_timeout,
        longest_wait: server.longest_wait,
        shutdown_grace: server.shutdown_grace,
        // Two of them may get lost before a place does.
        touch_interval: settings.locks.keep_alive / 3,
        auth_token: server.auth_token.as_ref().map(|token| AuthToken::new(token.expose())),
        default_lease: Lease::For(settings.locks.default_lease),
    }
}

fn settings_json(settings: &Settings) -> String {
    serde_json::json!({ "settings": settings.show() }).to_string()
}

/// What the service shows about itself, as its manager sees it.
#[derive(Debug)]
struct Managed {
    manager: LockManager,
    store: Store,
    /// Where copies of the store go.
    backups: PathBuf,
    settings: String,
}

#[async_trait]
impl Operations for Managed {
    async fn health(&self) -> HealthDetailView {
        let health = self.manager.health().await;
        let backend = self.manager.backend();
        let status = match health.status {
            HealthStatus::Healthy => "healthy",
            HealthStatus::Degraded => "degraded",
            HealthStatus::Unhealthy => "unhealthy",
        };
        HealthDetailView {
            health: HealthView {
                healthy: health.is_serving(),
                status: status.to_owned(),
                score: f64::from(health.score),
            },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            components: health
                .parts
                .into_iter()
                .map(|part| ComponentView {
                    name: part.name.to_owned(),
                    score: f64::from(part.score),
                    weight: f64::from(part.weight) / 100.0,
                    detail: part.detail,
                })
                .collect(),
            store: InfoView::from(&backend.info()),
            stats: backend.stats().await.ok().as_ref().map(StatsView::from),
        }
    }

    async fn metrics_text(&self) -> String {
        self.manager.open_metrics().await
    }

    async fn metrics_json(&self) -> String {
        serde_json::to_string(&self.manager.metrics().await).unwrap_or_else(|_| "{}".to_owned())
    }

    fn config_json(&self) -> String {
        self.settings.clone()
    }

    async fn backup(&self) -> Result<PathBuf, BackupError> {
        let Store::Embedded(store) = &self.store else { return Err(BackupError::Unsupported) };
        // A name that sorts by time and needs no quotes.
        let name = store.now().await?.to_string().replace(':', "-");
        let directory = self.backups.join(name);
        let copied = store.engine().backup(&directory).await;
        copied.map_err(BackendError::from)?;
        tracing::info!(directory = %directory.display(), "the store was copied");
        Ok(directory)
    }

    fn is_draining(&self) -> bool {
        self.manager.is_draining()
    }

    async fn drain(&self) {
        self.manager.drain();
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn what_the_service_takes_at_once_can_be_set_and_is_otherwise_as_the_library_has_it() {
        let config = server_config(&settings(
            "{server: {max-waiting-requests: 3, max-connections: 4, read-timeout: 5s, longest-wait: 6s}}",
        ));
        assert_eq!((config.max_waiting, config.max_connections), (3, 4));
        assert_eq!(
            (config.read_timeout, config.longest_wait),
            (Duration::from_secs(5), Duration::from_secs(6))
        );
        let (ours, theirs) = (server_config(&settings("{}")), ServerConfig::default());
        assert_eq!((ours.max_waiting, ours.max_connections), (theirs.max_waiting, theirs.max_connections));
        assert_eq!((ours.read_timeout, ours.longest_wait), (theirs.read_timeout, theirs.longest_wait));
    }

    #[tokio::test]
    async fn a_service_stops_in_good_order_and_its_store_can_be_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let loader = Loader::new()
            .flag("data-dir", directory.path().to_str().unwrap())
            .flag("server.listen", "127.0.0.1:0");
        for _ in 0..2 {
            let service = Service::start(&loader.load().unwrap()).await.unwrap();
            assert_ne!(service.address().port(), 0);
            service.run(std::future::ready(())).await.unwrap();
        }
    }
}
