//! A running service: settings in, store, manager and HTTP server wired together.
//!
//! Owns the order of starting and stopping them; which store, is `store`'s. Signals and messages are the command's.

mod atlantis;
mod cluster;
mod managed;
mod redis;
mod store;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_config::{Secret, Settings};
use enhanced_locking_foundation::{BackendInfo, Lease};
use enhanced_locking_manager::{LockManager, ManagerConfig};
use enhanced_locking_server::atlantis::AtlantisPort;
use enhanced_locking_server::{AuthToken, Server, ServerConfig, WebhookConfig};

use self::managed::Managed;
pub(crate) use self::store::{LimitControl, Store};
use crate::failure::{Failure, chain};

/// A service that has its store and its address.
#[derive(Debug)]
pub(crate) struct Service {
    server: Server,
    /// Where Atlantis finds its locks, if it may.
    port: Option<AtlantisPort>,
    manager: LockManager,
    store: Store,
    grace: Duration,
}

impl Service {
    /// Opens the store and listens.
    ///
    /// # Errors
    /// A [`Failure`] that says what stands in the way.
    pub(crate) async fn start(settings: &Settings) -> Result<Self, Failure> {
        let store = Store::open(settings).await?;
        let config = ManagerConfig { keep_alive: settings.locks.keep_alive, ..ManagerConfig::default() };
        let manager = LockManager::start(store.backend(), config);
        let operations = Managed {
            manager: manager.clone(),
            store: store.clone(),
            backups: settings.embedded.backup_dir.clone().unwrap_or(settings.data_dir.join("backups")),
            settings: settings_json(settings),
        };
        let bound = async {
            let (config, operations) = (server_config(settings), Arc::new(operations));
            let server = Server::bind_with(config, manager.backend(), operations).await;
            let server = server.map_err(|error| Failure::new(chain(&error)))?;
            let port = match atlantis::config(settings)? {
                None => None,
                Some(config) => {
                    let port = AtlantisPort::bind(config, manager.backend(), store.documents()).await;
                    Some(port.map_err(|error| Failure::new(chain(&error)))?)
                }
            };
            Ok((server, port))
        };
        match bound.await {
            Ok((server, port)) => {
                manager.ready().await;
                Ok(Self { server, port, manager, store, grace: settings.server.shutdown_grace })
            }
            Err(failure) => {
                let _ = manager.shutdown(Duration::ZERO).await;
                Err(failure)
            }
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Where it listens for Atlantis.
    pub(crate) fn atlantis_address(&self) -> Option<SocketAddr> {
        self.port.as_ref().map(AtlantisPort::local_addr)
    }

    /// What store it has.
    pub(crate) fn info(&self) -> BackendInfo {
        self.store.backend().info()
    }

    /// What changes its limits while it runs.
    pub(crate) fn limits(&self) -> LimitControl {
        LimitControl::new(self.store.clone())
    }

    /// Serves until `shutdown` is ready, then stops in good order: calls under way, then the manager, then the store.
    ///
    /// # Errors
    /// A [`Failure`] if the store could not be closed in good order.
    pub(crate) async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), Failure> {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let port = async {
            if let Some(port) = self.port {
                port.run(async { drop(stopped.await) }).await;
            }
        };
        // Both at once; what drops `stop` ends the port.
        let http = self.server.run(async move {
            shutdown.await;
            drop(stop);
        });
        tokio::join!(http, port);
        self.manager.shutdown(self.grace).await?;
        Ok(())
    }
}

fn server_config(settings: &Settings) -> ServerConfig {
    let (server, webhooks) = (&settings.server, &settings.webhooks);
    let token = |secret: &Option<Secret>| secret.as_ref().map(|secret| AuthToken::new(secret.expose()));
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
        auth_token: token(&server.auth_token),
        default_lease: Lease::For(settings.locks.default_lease),
        webhooks: WebhookConfig {
            github_secret: token(&webhooks.github_secret),
            gitlab_token: token(&webhooks.gitlab_token),
        },
    }
}

fn settings_json(settings: &Settings) -> String {
    serde_json::json!({ "settings": settings.show() }).to_string()
}

#[cfg(test)]
mod tests {
    use enhanced_locking_config::Loader;

    use super::*;

    fn settings(yaml: &str) -> Settings {
        Loader::new().text("t", format!("enhanced-locking: {yaml}")).load().unwrap()
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
