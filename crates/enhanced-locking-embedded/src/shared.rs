//! What readers and the writer share: the table, how far the writer has come, and how it ended. Changes nothing itself.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_core::{Feed, LockTable};
use enhanced_locking_foundation::{BackendError, BackendErrorKind, Clock, Timestamp};
use parking_lot::RwLock;
use tokio::sync::{Semaphore, watch};

/// What readers and the writer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) table: RwLock<LockTable>,
    pub(crate) progress: watch::Sender<Progress>,
    /// One permit per change that may still be sent to the writer.
    pub(crate) room: Semaphore,
    pub(crate) feed: Feed,
    pub(crate) clock: Onward,
}

impl Shared {
    /// Notes that the writer answers nobody any more, and lets those who wait find out. The first reason stays.
    pub(crate) fn end(&self, end: End) {
        self.progress.send_modify(|progress| progress.end = progress.end.or(Some(end)));
        // After the reason is there to be told.
        self.room.close();
        self.feed.wake_all();
    }

    /// What became of a change that the writer has dropped without an answer.
    pub(crate) fn unanswered(&self) -> BackendError {
        match self.progress.borrow().end {
            // It came too late and was not looked at.
            Some(End::Closed) => End::Closed.error(),
            _ => lost(),
        }
    }

    /// Why nothing can be asked of the writer any more.
    pub(crate) fn gone(&self) -> BackendError {
        self.progress.borrow().end.unwrap_or(End::Closed).error()
    }
}

/// How far the writer has come. Batches are numbered; at most one is applied and not settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The newest batch applied to the table, or being applied.
    pub(crate) applied: u64,
    /// The newest batch that is on disk, or was taken back.
    pub(crate) settled: u64,
    /// The newest batch that was taken back: what was read of it does not count.
    pub(crate) failed: u64,
    /// Set once the table is not to be believed any more.
    pub(crate) end: Option<End>,
}

/// Why the writer stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to.
    Closed,
    /// A change panicked, or the writer did: the table may be half changed.
    Defect,
    /// A commit failed, and what is on disk could not be read again.
    Unreadable,
}

impl End {
    /// What those are told who ask afterwards. What they ask for did not happen.
    pub(crate) fn error(self) -> BackendError {
        match self {
            Self::Closed => {
                BackendError::new(BackendErrorKind::Closed, "this store was closed by its process")
            }
            Self::Defect => BackendError::new(
                BackendErrorKind::Internal,
                "the writer stopped on a defect of this software; restart the service, what was answered is on disk",
            ),
            Self::Unreadable => BackendError::new(
                BackendErrorKind::Unavailable,
                "a commit failed and the store could not be read again; see the log, mend the disk and restart the service",
            ),
        }
    }
}

/// What those are told whose change was under way when the writer stopped.
pub(crate) fn lost() -> BackendError {
    BackendError::new(
        BackendErrorKind::Indeterminate,
        "the writer stopped before it answered; restart the service and ask again",
    )
}

/// A clock that goes on where the store was left, even if its own was set back since.
#[derive(Debug)]
pub(crate) struct Onward {
    clock: Arc<dyn Clock>,
    ahead: Duration,
}

impl Onward {
    pub(crate) fn new(clock: Arc<dyn Clock>, floor: Timestamp) -> Self {
        let ahead = floor.since(clock.now());
        Self { clock, ahead }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now().plus(self.ahead)
    }
}
