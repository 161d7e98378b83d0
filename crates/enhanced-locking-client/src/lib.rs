//! The HTTP API of an Enhanced Locking service: its bodies, and a client that is a lock backend.
//!
//! [`api`] owns the bodies; the transport is beside it. The service itself is `enhanced-locking-server`.
#![forbid(unsafe_code)]

pub mod api;
#[cfg(feature = "remote")]
mod remote;

#[cfg(feature = "remote")]
pub use remote::{ConnectError, RemoteBackend, RemoteConfig};
