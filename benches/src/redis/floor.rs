//! The floor of a pair: what people write by hand, `SET NX PX` and a script that compares and deletes, through the same
//! client library, set up the same way, on one connection. Owns that it does nothing else: no line, token or event.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, KeysInterface, LuaInterface};
use fred::types::config::{Config, ServerConfig, TcpConfig};
use fred::types::{Builder, Expiration, RespVersion, SetOptions, Value};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Redis;
use crate::request;
use enhanced_locking_foundation::RequestId;

/// Deletes a key if it has this value.
const COMPARE_AND_DELETE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end";

/// How long such a lock is held at most, in ms: as long as a lease of the store.
const LEASE_MS: i64 = 30_000;

/// One connection. All callers share it, and what they send at once goes in one piece: the library always does that.
#[derive(Clone)]
pub struct Floor {
    client: Client,
    digest: Arc<str>,
}

impl Floor {
    /// Connects.
    pub async fn connect(redis: &Redis) -> Self {
        let client = connect(redis).await;
        let digest: String = client.script_load(COMPARE_AND_DELETE).await.expect("a script can be loaded");
        Self { client, digest: digest.into() }
    }

    /// Lets `callers` each take and release `pairs` keys of their own, and tells how long they all took.
    pub async fn run(&self, callers: usize, pairs: usize) -> Duration {
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        for caller in 0..callers {
            let floor = self.clone();
            tasks.spawn(async move {
                let key = request(caller).key.to_string();
                for _ in 0..pairs {
                    floor.pair(&key).await;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("a caller does not fail");
        }
        start.elapsed()
    }

    async fn pair(&self, key: &str) {
        let value = RequestId::generate();
        let (expires, only_new) = (Some(Expiration::PX(LEASE_MS)), Some(SetOptions::NX));
        let set: Value =
            self.client.set(key, value.as_str(), expires, only_new, false).await.expect("an answer");
        assert!(!set.is_null(), "nobody else asks for this key");
        let deleted: i64 = self.client.evalsha(&*self.digest, key, value.as_str()).await.expect("an answer");
        assert_eq!(deleted, 1, "nobody else has this value");
    }
}

impl std::fmt::Debug for Floor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Floor").finish_non_exhaustive()
    }
}

/// A connection set up as the store's are.
pub(super) async fn connect(redis: &Redis) -> Client {
    let (host, port) = redis.address();
    let mut builder = Builder::from_config(Config {
        server: ServerConfig::new_centralized(host, port),
        version: RespVersion::RESP2,
        fail_fast: true,
        ..Config::default()
    });
    builder.with_connection_config(|connection| {
        connection.max_command_attempts = 1;
        connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
    });
    let client = builder.build().expect("a client");
    client.init().await.expect("a connection");
    client
}
