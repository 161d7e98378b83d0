//! The integrity check. Owns the report; what is checked is in `pages`, `record` and the table.

use std::path::Path;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_foundation::{Clock, SteadyClock};

use crate::OpenError;
use crate::directory::Directory;
use crate::store::Store;

/// What a sound store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Locks held.
    pub locks: usize,
    /// Requests waiting.
    pub waiting: usize,
    /// Documents kept.
    pub documents: usize,
    /// Events kept.
    pub events: usize,
    /// The fencing token granted last.
    pub last_token: u64,
}

/// Checks the store of a directory that no process has open: every page, every record, every lock rule.
///
/// # Errors
/// [`OpenError`] with what is wrong and what to do about it. Nothing that is held changes. An older schema is
/// brought up to date, and the remains of a write that was cut short are removed, as opening would.
pub fn check(directory: &Path) -> Result<CheckReport, OpenError> {
    if directory.exists() && !directory.is_dir() {
        return Err(OpenError::NotADirectory { path: directory.to_owned() });
    }
    if !directory.is_dir() {
        return Err(OpenError::Missing { directory: directory.to_owned() });
    }
    let directory = Directory::take(directory)?;
    if !directory.has_data()? {
        return Err(OpenError::Missing { directory: directory.path().to_owned() });
    }
    let file = directory.data_file();
    let mut store = Store::open(directory, 0, u64::MAX / 4)?;
    let loaded = store.load(TablePolicy::default())?;
    let now = SteadyClock::new().now();
    loaded.table.check_invariants(now).map_err(|violation| OpenError::Damaged {
        file,
        found: format!("rule {} does not hold: {}", violation.invariant, violation.found),
    })?;
    let stats = loaded.table.stats(now);
    Ok(CheckReport {
        locks: stats.held,
        waiting: stats.waiting,
        documents: loaded.table.document_count(),
        events: loaded.events.len(),
        last_token: loaded.table.meta().last_token.as_u64(),
    })
}
