//! Enhanced Locking: a lock manager for infrastructure automation, first of all Atlantis.
//!
//! The one crate a program names. Owns nothing but cargo features and re-exports; each layer is a crate of its own
//! that can be taken alone.
//!
//! | feature | turns on | re-exported as |
//! |---|---|---|
//! | (none) | values, errors, events, the backend port | everything at the root |
//! | `memory` | the store in memory, the pure lock table | `core` |
//! | `embedded` | the durable embedded store | `embedded` |
//! | `redis` | the store in Redis: one server, Sentinel, Cluster | `redis` |
//! | `client` | a running service as a backend | `client` |
//! | `compat` | Atlantis' own formats and operations, over any store | `compat` |
//! | `manager`, `metrics` | guards, waiting, renewals, health; figures | `manager` |
//! | `priority-queue` | ranks and credits | `queue` |
//! | `config` | checked configuration | `config` |
//! | `phase-1`, `phase-2`, `full` | what the roadmap has so far | |
//!
//! A cargo feature compiles a layer in; whether it does anything is up to the program or its configuration.
//!
//! ```
//! # #[cfg(all(feature = "memory", feature = "manager"))]
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use enhanced_locking::core::{TablePolicy, memory::MemoryBackend};
//! use enhanced_locking::manager::{LockManager, ManagerConfig};
//! use enhanced_locking::{AcquireRequest, OwnerId, ResourceKey, SteadyClock};
//!
//! let store = MemoryBackend::new(TablePolicy::default(), Arc::new(SteadyClock::new()));
//! let locks = LockManager::start(store, ManagerConfig::default());
//! let guard = locks.acquire(AcquireRequest::new(ResourceKey::new("prod")?, OwnerId::new("deploy-7")?)).await?;
//! println!("write with token {}", guard.token());
//! guard.release().await?;
//! # Ok(()) }
//! # #[cfg(not(all(feature = "memory", feature = "manager")))] fn main() {}
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "client")]
pub use enhanced_locking_client as client;
#[cfg(feature = "compat")]
pub use enhanced_locking_compat as compat;
#[cfg(feature = "config")]
pub use enhanced_locking_config as config;
#[cfg(feature = "memory")]
pub use enhanced_locking_core as core;
#[cfg(feature = "embedded")]
pub use enhanced_locking_embedded as embedded;
pub use enhanced_locking_foundation::*;
#[cfg(feature = "manager")]
pub use enhanced_locking_manager as manager;
#[cfg(feature = "priority-queue")]
pub use enhanced_locking_queue as queue;
#[cfg(feature = "redis")]
pub use enhanced_locking_redis as redis;
