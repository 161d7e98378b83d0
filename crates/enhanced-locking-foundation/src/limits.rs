//! The bounds and windows every backend keeps (design §4, "bounds"). Owns the numbers and their defaults; the backends enforce them.

use std::time::Duration;

/// How much a store takes before it says no. Reaching one is a typed error, never growth without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may wait for one key.
    pub waiters_per_key: usize,
    /// Requests of one owner that may wait, over all keys.
    pub waiters_per_owner: usize,
    /// Requests that may wait in all.
    pub waiters_total: usize,
    /// Locks that may be held in all.
    pub locks_total: usize,
    /// Locks one batch may ask for.
    pub batch: usize,
    /// Finished requests remembered, so that a late retry is answered and not granted again.
    pub finished: usize,
    /// Events kept for readers that resume.
    pub events: usize,
    /// Documents kept.
    pub documents: usize,
    /// Bytes that the values of all documents may have together.
    pub document_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiters_per_key: 10_000,
            waiters_per_owner: 100_000,
            waiters_total: 1_000_000,
            locks_total: 10_000_000,
            batch: 1_000,
            finished: 16_384,
            events: 16_384,
            documents: 100_000,
            document_bytes: 512 << 20,
        }
    }
}

/// How long things may take before a store goes on without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a leased waiter that was granted the lock has to claim it before the next one gets it.
    pub claim_window: Duration,
    /// How long a leased waiter may be silent before its place in the line is given up.
    pub keep_alive: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { claim_window: Duration::from_secs(5), keep_alive: Duration::from_secs(30) }
    }
}
