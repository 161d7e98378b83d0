//! Real Redis and Valkey servers for tests, on loopback, and faults on the way to them (cargo feature `redis`).
//!
//! * [`RedisServer`]: one server; [`TlsServer`]: one with TLS and users.
//! * [`SentinelGroup`], [`ClusterGroup`]: several, with promotions, partitions and slots on the move.
//! * [`Proxy`]: faults of the network between a client and a server, or between servers.
//! * [`Client`]: a small blocking client for what a test says to a server directly.
//!
//! The program is `redis-server` or `valkey-server` in `PATH`, or what the environment variable `REDIS_SERVER`
//! names, so that the same tests run on other versions. Everything is killed and removed when it is dropped, and
//! when the test process dies. The end of a server's log is shown when a test fails; whole logs are kept in the
//! folder that `REDIS_LOGS` names. All of it blocks the calling thread; nothing needs a runtime.

mod binary;
mod client;
mod cluster;
mod error;
mod nodes;
mod ports;
mod process;
mod proxy;
mod sentinel;
mod server;
mod tls;
mod wait;

pub use binary::Binary;
pub use client::{CallError, Client, Reply};
pub use cluster::{ClusterGroup, ClusterOptions, SLOTS, Takeover};
pub use error::LaunchError;
pub use proxy::{Fault, Proxy};
pub use sentinel::{SentinelGroup, SentinelOptions};
pub use server::{RedisServer, ServerOptions};
pub use tls::{TlsFiles, TlsServer};
pub use wait::poll_until;

/// Names the server program to start instead of the one in `PATH`.
pub const BINARY_ENV: &str = "REDIS_SERVER";
/// Names a folder for the logs of servers whose test failed.
pub const KEEP_LOGS_ENV: &str = "REDIS_LOGS";
