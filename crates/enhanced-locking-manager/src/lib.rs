//! Orchestration of Enhanced Locking (roadmap PR 4): guards, waiting, renewals, sweeping, events, metrics, health.
//!
//! This crate owns *driving* a store of locks over time. The rules of locks are the store's (any
//! [`LockBackend`](enhanced_locking_foundation::LockBackend)); no adapter is named here.
//!
//! ```
//! use enhanced_locking_core::{TablePolicy, memory::MemoryBackend};
//! use enhanced_locking_foundation::{AcquireRequest, OwnerId, ResourceKey, SteadyClock};
//! use enhanced_locking_manager::{LockManager, ManagerConfig};
//! use std::{sync::Arc, time::Duration};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryBackend::new(TablePolicy::default(), Arc::new(SteadyClock::new()));
//! let manager = LockManager::start(store, ManagerConfig::default());
//!
//! let request = AcquireRequest::new(ResourceKey::new("prod/network")?, OwnerId::new("pipeline-7")?);
//! let guard = manager.acquire(request).await?;
//! let lost = guard.lost();
//! tokio::select! {
//!     () = async { /* the work, told guard.token() */ } => {}
//!     () = lost.wait() => eprintln!("stop: the lock is gone"),
//! }
//! guard.release().await?;
//! manager.shutdown(Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A lease alone cannot exclude: pass [`LockGuard::token`] to what the lock guards, and let that refuse lower ones.
#![forbid(unsafe_code)]

mod acquire;
mod backoff;
mod config;
mod error;
mod health;
mod inner;
mod lease;
mod managed;
mod manager;
mod observe;
mod pump;
mod sink;
mod supervisor;
mod sweeper;

pub use acquire::{Acquire, AcquireSet, LockSet, Progress};
pub use backoff::Backoff;
pub use config::ManagerConfig;
pub use error::LockError;
pub use health::{Health, HealthPart, HealthStatus, HealthThresholds};
pub use lease::{LeaseSignal, LeaseState, LockGuard, LossReason};
pub use manager::{Attempt, LockManager, ShutdownReport};
pub use observe::{MetricsSnapshot, Percentiles};
pub use sink::EventSink;
pub use supervisor::TaskStatus;
