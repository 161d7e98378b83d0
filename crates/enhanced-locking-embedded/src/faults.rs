//! Faults that tests plant in the files of a store. Only there in tests.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

/// What goes wrong next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A commit that does not happen, for want of room.
    Refused,
    /// A commit that happens, and is reported as failed.
    Happened,
    /// A failed commit that cannot be taken off the journal.
    Irrevocable,
    /// A checkpoint that does not happen, for want of room.
    Unmovable,
    /// A read that fails.
    Unreadable,
}

/// The faults that are still to come, first come first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Mutex<VecDeque<Fault>>>);

impl Faults {
    /// Adds some.
    pub(crate) fn plant(&self, faults: &[Fault]) {
        self.0.lock().extend(faults);
    }

    /// Fails if this one is next.
    pub(crate) fn meet(&self, here: Fault) -> std::io::Result<()> {
        let mut faults = self.0.lock();
        if faults.front() != Some(&here) {
            return Ok(());
        }
        faults.pop_front();
        Err(std::io::ErrorKind::StorageFull.into())
    }
}
