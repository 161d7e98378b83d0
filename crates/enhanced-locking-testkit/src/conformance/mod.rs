//! The contract of the backend port as a suite of small named cases, one module per area.
//!
//! Stores of documents have a suite of their own in [`documents`].
//!
//! Owns the cases, the [`Fixture`] port a backend plugs in with and the [macro](crate::backend_conformance) that
//! makes one test of each case. Does not own random exploration (`strategy`) nor concurrency (`history`).
//!
//! A case gets a fresh, empty store whose clock stands still until the case moves it. Cases for durable stores
//! end early, with a note on standard error, when [`Fixture::reopen`] answers `None`.

mod bench;
pub mod documents;
mod fixture;
mod list;

#[expect(missing_docs, reason = "the name of a case is the sentence it checks")]
mod cases {
    pub mod basics;
    pub mod batches;
    pub mod cancellation;
    pub mod claims;
    pub mod clearing;
    pub mod durability;
    pub mod edges;
    pub mod events;
    pub mod exclusion;
    pub mod feed;
    pub mod find;
    pub mod force;
    pub mod idempotency;
    pub mod leases;
    pub mod limits;
    pub mod priority;
    pub mod queries;
    pub mod queueing;
    pub mod reentry;
    pub mod reprioritise;
    pub mod settling;
    pub mod sharing;
    pub mod stats;
    pub mod sweeping;
    pub mod tokens;
    pub mod transfer;
    pub mod turns;
}

#[doc(hidden)]
pub use cases::*;

pub use bench::{Bench, ask, fail, leased, owner, pull, secs};
pub use fixture::{Fixture, FixturePolicy, run};
pub use list::CASES;
