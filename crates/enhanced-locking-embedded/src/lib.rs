//! The durable embedded store (the seed's "BoltDB backend"): the lock table behind LMDB, with group commit (design §5).
//!
//! ```text
//!   callers ──► channel ──► writer thread: apply a batch to the table
//!                              │           append one frame to the journal (one sync)
//!                              │           publish the events
//!              answers ◄───────┘           answer the batch
//! ```
//!
//! Nothing is acknowledged that is not on disk. Now and then the journal is moved into the LMDB file and starts over
//! (`docs/adr/0006`). Owns files, records and the writer thread; the rules about locks
//! are `enhanced-locking-core`'s, so this store and the one in memory cannot disagree about them.
//!
//! Unsafe code: only the calls by which heed opens and resizes a memory map, argued where they stand in `env`.

mod backend;
mod changes;
mod check;
mod config;
mod directory;
mod engine;
mod env;
mod error;
mod frame;
mod journal;
mod load;
mod log;
mod meta;
mod pages;
mod record;
mod shared;
mod slot;
mod store;
mod wire;
mod writer;

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod faults;

pub use backend::{EmbeddedBackend, open};
pub use check::{CheckReport, check};
pub use config::EmbeddedConfig;
pub use engine::EmbeddedEngine;
pub use error::OpenError;
