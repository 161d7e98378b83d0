//! Reading `atlantis.db`, the bbolt file of an Atlantis without Redis. Owns the file format; what values mean is in
//! `record`. Nothing here writes.
//!
//! | module | owns |
//! |---|---|
//! | `file` | [`BoltFile`]: opening, the lock that shows whether Atlantis runs, finding buckets |
//! | `meta` | the two pages that describe the file, and which of them counts |
//! | `page` | one page: what is on it, and what cannot be |
//! | `walk` | [`Entries`]: every entry of a bucket once, whatever the pages say |
//! | `records` | [`Records`]: entries as locks, command locks and statuses |
//! | `error` | why a file, or a part of it, cannot be read |
//!
//! # Damage
//!
//! A file is read to its end, whatever is in it. A damaged page costs what is on it, a damaged record itself; each is
//! one [`Damage`] among the entries, in the order in which they were met. There are no checksums on pages, so that two
//! kinds of damage show only sometimes: inside of a value, if it is no record any more; and in the number of a page, if
//! what it leads to is no page, has been met before or holds keys that belong elsewhere.
//!
//! bbolt writes the data of a page without gaps, in order. An entry whose place disagrees with its neighbours is
//! therefore reported, not read: else a wrong number could show a piece of a value, and of the token in it, as a key.
//!
//! # Bounds
//!
//! The file is read into memory once ([`BoltFile::BYTES_MAX`]); a walk remembers the pages it was on and goes to none
//! twice, and reads no more than [`Entries::READ_MAX_FACTOR`] times the file. So it ends, however pages point at each
//! other.
//!
//! ```
//! use enhanced_locking_compat::bolt::{BoltError, BoltFile};
//! assert!(matches!(BoltFile::from_bytes(vec![0; 8192]), Err(BoltError::NotBolt)));
//! ```

mod error;
mod file;
mod meta;
mod page;
mod records;
mod walk;

pub use error::{BoltError, Damage, EntryFault, PageFault};
pub use file::BoltFile;
pub use records::{BoltRecord, Records};
pub use walk::{Entries, Entry};

/// The names of Atlantis' buckets.
mod bucket {
    pub(super) const LOCKS: &str = "runLocks";
    pub(super) const COMMANDS: &str = "globalLocks";
    pub(super) const PULLS: &str = "pulls";
}
