//! Requests under way. Owns the promise that a future that is dropped leaves nothing behind in the store.

use std::sync::Arc;

use enhanced_locking_foundation::Ticket;

use crate::inner::Inner;

/// Cancels its requests in the background when dropped, unless they were settled.
///
/// Made before the first request is sent: from then on the store may know of it, whether or not an answer comes.
#[derive(Debug)]
pub(crate) struct Pending {
    inner: Arc<Inner>,
    tickets: Vec<Ticket>,
    doubtful: bool,
    known: bool,
}

impl Pending {
    pub(crate) fn new(inner: &Arc<Inner>, tickets: Vec<Ticket>) -> Self {
        Self { inner: inner.clone(), tickets, doubtful: false, known: false }
    }

    /// A request was sent and may still be under way: only a cancel keeps it from arriving later.
    pub(crate) fn doubt(&mut self) {
        self.doubtful = true;
    }

    /// Whether a request may still be under way, or was executed without an answer.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// The store said that it stands in line or is held.
    pub(crate) fn known(&mut self) {
        self.known = true;
    }

    /// Given up without an answer that settles it: cancelled, unless nothing of it can ever have reached the store.
    pub(crate) fn open(mut self) {
        if !self.doubtful && !self.known {
            self.tickets.clear();
        }
    }

    /// The store said that nothing of it stands in line or is held. If a request may still be under way, it is cancelled all the same.
    pub(crate) fn refused(mut self) {
        if !self.doubtful {
            self.tickets.clear();
        }
    }

    /// Leaves everything in the store as it is.
    pub(crate) fn keep(mut self) {
        self.tickets.clear();
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let tickets = std::mem::take(&mut self.tickets);
        if !tickets.is_empty() {
            self.inner.cancel_later(tickets);
        }
    }
}
