//! One server for a test binary, and stores on it: every store has a namespace of its own.
#![expect(clippy::expect_used, reason = "the helpers of tests may panic")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use enhanced_locking_queue::CreditTable;
use enhanced_locking_redis::{RedisConfig, RedisPolicy, Servers};
use enhanced_locking_testkit::conformance::FixturePolicy;
use enhanced_locking_testkit::redis::{RedisServer, ServerOptions};

/// A server of this test binary: one that takes functions, and one that does not, as those before 7.0.
pub(crate) fn server(functions: bool) -> &'static RedisServer {
    static SERVERS: [OnceLock<RedisServer>; 2] = [OnceLock::new(), OnceLock::new()];
    SERVERS[usize::from(functions)].get_or_init(|| {
        let options = ServerOptions::default();
        let options = if functions { options } else { options.config("rename-command FUNCTION \"\"") };
        RedisServer::start(&options).expect("a server starts")
    })
}

/// The settings of a fresh, empty store with a policy, on a server that takes functions or not.
pub(crate) fn config(policy: FixturePolicy, functions: bool) -> RedisConfig {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let namespace = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut config = RedisConfig::new(Servers::unix(server(functions).socket())).namespace(namespace);
    config.policy = RedisPolicy {
        limits: policy.limits,
        timing: policy.timing,
        credits: CreditTable::new(policy.credits),
    };
    config
}
