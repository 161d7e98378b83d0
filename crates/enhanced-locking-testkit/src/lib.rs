//! What it takes to test an Enhanced Locking backend: a library for people who write one.
//!
//! * [`conformance`]: the contract of the [backend port](enhanced_locking_foundation::LockBackend) as named cases,
//!   run by [`backend_conformance!`]; design §3, "one conformance suite".
//! * [`mod@reference`]: the rules once more, naive, and a lockstep of it with any store.
//! * [`strategy`]: random command scripts, replayed on any backend and compared step by step.
//! * [`invariants`]: the invariants of design §3 as predicates with stable names, LK-1 and on.
//! * [`history`]: drives concurrent clients, records what they see and checks it afterwards, linearizability included.
//! * `redis`: real Redis servers for tests, in the cargo feature of that name.
//! * [`guard`]: resources that check fencing tokens, or do not, and count the updates they lose.
//! * [`clock`] and [`faults`]: a clock on tokio's time and a backend that loses requests and replies.
//!
//! It depends on the foundation only, so that neither the suite nor the reference can share a defect with the table.
//!
//! ```
//! use enhanced_locking_testkit::conformance::CASES;
//! assert!(CASES.contains(&"exclusion::a_second_owner_waits_in_line"));
//! ```
#![forbid(unsafe_code)]

pub mod clock;
pub mod conformance;
pub mod faults;
pub mod guard;
pub mod history;
pub mod invariants;
#[cfg(feature = "redis")]
pub mod redis;
pub mod reference;
pub mod strategy;
