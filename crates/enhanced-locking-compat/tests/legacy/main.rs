//! Atlantis' own operations over the store in memory: its own test cases, and each known defect as a test that shows it gone.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic")]

mod client;
mod commands;
mod common;
mod defects;
mod failures;
mod locks;
mod status;
mod sweep;
