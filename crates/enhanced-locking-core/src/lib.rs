//! The lock table of Enhanced Locking: one truth about lock rules (design §3, §4).
//!
//! * [`LockTable`] is a pure state machine: changes go in with the time as an argument, outcomes and events come
//!   out. No I/O, no clock, no async, no randomness, no unordered iteration. It is the executable specification.
//! * [`memory::MemoryBackend`] is a mutex around it (feature `memory`), and [`backend::TableBackend`] turns any
//!   [`backend::Engine`] that keeps a table into a `LockBackend`; the embedded store is one.
//!
//! Does not own storage, retries or renewals.
#![forbid(unsafe_code)]

#[cfg(feature = "memory")]
pub mod backend;
#[cfg(feature = "memory")]
mod feed;
#[cfg(feature = "memory")]
pub mod memory;
mod policy;
mod table;

#[cfg(feature = "memory")]
pub use feed::Feed;
pub use policy::TablePolicy;
pub use table::{DocumentPut, Effects, LockTable, StoredEntry, StoredState, TableMeta, Violation};
