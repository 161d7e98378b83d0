//! One server for a test binary, and stores on it: every store has a namespace of its own.
#![expect(clippy::expect_used, reason = "the helpers of tests may panic")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use enhanced_locking_queue::CreditTable;
use enhanced_locking_redis::{RedisConfig, RedisPolicy, Servers};
use enhanced_locking_testkit::conformance::FixturePolicy;
use enhanced_locking_testkit::redis::{RedisServer, ServerOptions};

/// The server of this test binary.
fn server() -> &'static RedisServer {
    static SERVER: OnceLock<RedisServer> = OnceLock::new();
    SERVER.get_or_init(|| RedisServer::start(&ServerOptions::default()).expect("a server starts"))
}

/// The settings of a fresh, empty store with a policy.
pub(crate) fn config(policy: FixturePolicy) -> RedisConfig {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let namespace = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut config = RedisConfig::new(Servers::unix(server().socket())).namespace(namespace);
    config.policy = RedisPolicy {
        limits: policy.limits,
        timing: policy.timing,
        credits: CreditTable::new(policy.credits),
    };
    config
}
