//! A port that runs until it is dropped, over locks in memory, and values as Atlantis writes them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::{SteadyClock, Timing};
use enhanced_locking_server::AuthToken;
use enhanced_locking_server::atlantis::{AtlantisConfig, AtlantisPort};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Client, Value};
use crate::documents::Documents;

pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    pub(crate) backend: Arc<MemoryBackend>,
    pub(crate) documents: Arc<Documents>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

/// Settings on a free port.
pub(crate) fn config() -> AtlantisConfig {
    AtlantisConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        shutdown_grace: Duration::from_secs(5),
        ..AtlantisConfig::default()
    }
}

/// The same with a password.
pub(crate) fn with_password() -> AtlantisConfig {
    AtlantisConfig { password: Some(AuthToken::new("s3cret")), ..config() }
}

impl Port {
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: AtlantisConfig) -> Self {
        let timing = Timing { claim_window: Duration::from_secs(600), keep_alive: Duration::from_secs(600) };
        let policy = TablePolicy { timing, ..TablePolicy::default() };
        let backend = MemoryBackend::new(policy, Arc::new(SteadyClock::new()));
        Self::over(config, backend, Arc::default()).await
    }

    pub(crate) async fn over(
        config: AtlantisConfig,
        backend: Arc<MemoryBackend>,
        documents: Arc<Documents>,
    ) -> Self {
        let port =
            AtlantisPort::bind(config, Arc::clone(&backend) as _, Arc::clone(&documents) as _).await.unwrap();
        let address = port.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(port.run(async move {
            let _ = stopped.await;
        }));
        Self { address, backend, documents, stop: Some(stop), running: Some(running) }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// A client that speaks the third version.
    pub(crate) async fn modern(&self) -> Client {
        let mut client = self.client().await;
        assert!(matches!(client.say("hello 3").await, Value::Map(_)));
        client
    }

    pub(crate) async fn stopped(&mut self) {
        drop(self.stop.take());
        self.running.take().unwrap().await.unwrap();
    }
}

/// The value Atlantis stores for a lock.
pub(crate) fn lock(repo: &str, path: &str, number: i64) -> String {
    format!(
        r#"{{"Project":{{"ProjectName":"","RepoFullName":"{repo}","Path":"{path}"}},"Pull":{{"Num":{number},"HeadCommit":"2737c45a7bd1","URL":"https://github.com/{repo}/pull/{number}","HeadBranch":"feature/x","BaseBranch":"main","HardenedNonPRRefCheckout":false,"Author":"alice","Body":"","State":0,"BaseRepo":{{"FullName":"{repo}","Owner":"acme","Name":"infra","CloneURL":"https://bot:TOKEN@github.com/{repo}.git","SanitizedCloneURL":"https://bot:\u003credacted\u003e@github.com/{repo}.git","VCSHost":{{"Hostname":"github.com","Type":0}}}}}},"User":{{"Username":"alice","Teams":null}},"Workspace":"default","Time":"2026-08-22T09:30:15.123456789+02:00"}}"#
    )
}

/// The script by which Atlantis unlocks what a pull request owns, as it is on the wire since v0.46.
pub(crate) const SCRIPT: &str = "local value = redis.call(\"GET\", KEYS[1])\nif not value then\n  return nil\nend\n\nlocal ok, lock = pcall(cjson.decode, value)\nif not ok then\n  return redis.error_reply(\"failed to deserialize current lock\")\nend\n\nif not lock[\"Pull\"] or tonumber(lock[\"Pull\"][\"Num\"]) ~= tonumber(ARGV[1]) then\n  return nil\nend\n\nredis.call(\"DEL\", KEYS[1])\nreturn value\n";

pub(crate) const KEY: &str = "pr/acme/infra/envs/prod/default/";

/// The value of [`KEY`].
pub(crate) fn of_pull(number: i64) -> String {
    lock("acme/infra", "envs/prod", number)
}
