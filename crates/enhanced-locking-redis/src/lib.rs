//! Redis as a store of locks: the [port](enhanced_locking_foundation::LockBackend) on one node, Sentinel or Cluster.
//!
//! Owns the rules of locks a second time, in Lua, because they must be carried out atomically inside Redis; the layout
//! of keys; and the driver that talks to the server. Does not use the lock table of `enhanced-locking-core`: the
//! differential test holds two independent implementations against each other (design §3).
//!
//! ```text
//!   RedisBackend ──► dispatch: what waits for one bucket goes in one call
//!        │                 │
//!        │                 ▼
//!        │            Driver (fred) ── EVALSHA ──► scripts/*.lua: one bucket, one slot, one reading of the clock
//!        └── wake ◄── hints of hand-offs (pub/sub); a poll is the net under it
//! ```
//!
//! Resources hash into buckets; all keys of a bucket share a hash tag, so that a script works in one slot. A single
//! server needs one bucket, and then everything is atomic: batches, limits, pages, the order of events. A cluster
//! needs many. See [`RedisConfig::buckets`].
//!
//! ```no_run
//! use enhanced_locking_redis::{RedisConfig, Servers, open};
//! use enhanced_locking_foundation::{AcquireRequest, LockBackend, OwnerId, ResourceKey};
//!
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! let locks = open(RedisConfig::new(Servers::single("127.0.0.1", 6379))).await?;
//! let request = AcquireRequest::new(ResourceKey::new("prod/network")?, OwnerId::new("me")?);
//! println!("{:?}", locks.acquire(request).await?);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod backend;
mod breaker;
mod config;
mod dispatch;
mod driver;
mod durability;
mod error;
mod layout;
mod metrics;
mod monitor;
mod promotion;
mod script;
mod startup;
mod status;
mod wake;
mod wire;

pub use backend::{RedisBackend, open};
pub use breaker::BreakerState;
pub use config::{RedisConfig, RedisPolicy, RedisTls, Servers};
pub use driver::{FOREIGN_KEYS_MAX, ForeignKey, read_keyspace};
pub use durability::RedisDurability;
pub use error::OpenError;
pub use status::{RedisNode, RedisReplica, RedisStatus};
