//! The program as people use it: real processes, a real service, real signals. One test program, so that it is linked once.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "the helpers of tests may panic")]

mod atlantis;
mod backup;
mod bench;
mod common;
mod conformance;
mod help;
mod json;
mod lost;
mod operations;
mod redis;
mod run;
mod serve;
mod signals;
