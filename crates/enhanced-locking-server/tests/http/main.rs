//! The service over real connections on a free port, on the memory store.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests may panic")]

mod auth;
mod bodies;
mod common;
mod documents;
mod events;
mod limits;
mod locks;
mod operations;
mod pages;
mod problems;
mod requests;
mod shutdown;
mod webhooks;
