//! Faults of real servers while clients of several processes work on one namespace: what the clients saw must be the
//! history of a lock, a resource that checks tokens must lose nothing, and no waiter may be lost.
//!
//! Short by default: one episode for each fault. `CHAOS_SECONDS` lets each go on for longer, `CHAOS_SEED` chooses
//! another run; `cargo xtask chaos` sets both.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed; what was seen is printed; faults last for some time"
)]

mod client;
mod clock;
mod cluster;
mod load;
mod masters;
mod partition;
mod single;
