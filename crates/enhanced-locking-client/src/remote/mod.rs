//! The lock backend at the other end of a connection: every call of the port over the HTTP API.
//!
//! Owns the connection, its deadlines, and the judgement whether a call that failed may have changed something.
//! Does not wait, retry or renew by itself: that is the manager's work, which runs on it as on any backend.

mod address;
mod backend;
mod config;
mod connection;
mod transport;

pub use backend::RemoteBackend;
pub use config::{ConnectError, RemoteConfig};
