//! The Atlantis port over real connections on a free port: what Atlantis sends, what goes wrong, and who means harm.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests may panic")]

mod client;
mod cluster;
mod common;
mod documents;
mod handshakes;
mod hostile;
mod keys;
mod operations;
mod random;
mod tls;
mod tools;
mod writers;
