//! What a table is told at construction. Owns nothing but the bundle; the numbers are explained where they are defined.

use enhanced_locking_foundation::{Limits, Timing};
use enhanced_locking_queue::CreditTable;

/// Limits, windows and the worth of priorities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TablePolicy {
    /// How much the table takes.
    pub limits: Limits,
    /// How long things may take.
    pub timing: Timing,
    /// What priorities are worth; all zero by default, which is first come, first served.
    pub credits: CreditTable,
}
