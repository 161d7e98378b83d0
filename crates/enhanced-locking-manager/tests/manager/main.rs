//! The manager over a store in memory, on tokio's paused clock, with failures on demand.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails should say where"
)]

mod acquire;
mod cancel;
mod exclusion;
mod lease;
mod rejoin;
mod set;
mod support;
mod upkeep;
