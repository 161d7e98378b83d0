//! Atlantis' own formats and operations: its lock records, its keys, its bolt files, and what it does with them.
//!
//! Owns bytes: what an unmodified [Atlantis](https://www.runatlantis.io) stored since v0.19 is read as Atlantis reads it,
//! and what we store for it is what it would have written. It names no store: [`legacy`] works
//! over the ports, and every decision about a lock is the store's.
//!
//! | module | owns |
//! |---|---|
//! | [`record`] | locks, command locks, pull statuses; tokens that are never shown |
//! | [`key`] | the keys they are stored under, old and new, and what is ambiguous about them |
//! | [`json`] | JSON as Go writes it |
//! | [`legacy`] | what Atlantis does with them, over any store of locks |
//! | [`bolt`] | reading `atlantis.db`, also when it is damaged |
//! | [`transfer`] | moving what Atlantis stored into a store of ours, and back out |
//!
//! # The rules
//!
//! * **Byte for byte.** A value that was read is kept as it was ([`Stored`](record::Stored)) and handed on as it was.
//! * **One damaged record is one report.** It never keeps the others from being read.
//! * **No token leaves.** `Debug`, `Display`, serde and errors show none; whoever needs one calls a method that says so.
//! * **Bounded.** Whatever is in a value or a file: no panic, and no more memory or time than a few times its size.
//!
//! ```no_run
//! use enhanced_locking_compat::bolt::BoltFile;
//! let file = BoltFile::open("atlantis.db")?;
//! for lock in file.locks()? {
//!     match lock {
//!         Ok(lock) => println!("{} is held by #{}", lock.key, lock.record.value().pull.number),
//!         Err(damage) => eprintln!("skipped: {damage}"),
//!     }
//! }
//! # Ok::<(), enhanced_locking_compat::bolt::BoltError>(())
//! ```
#![forbid(unsafe_code)]

pub mod bolt;
pub mod json;
pub mod key;
pub mod legacy;
pub mod record;
pub mod transfer;
