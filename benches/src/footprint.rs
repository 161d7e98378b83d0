//! Memory of a table: what the process gains per held lock and per waiter. Owns reading the resident size.

use crate::table::filled;

/// Bytes per held lock and per waiter, at this size.
#[must_use]
pub fn bytes_per_entry(held: usize, waiting: usize) -> (usize, usize) {
    let before = resident();
    let locks = filled(held, 0);
    let with_locks = resident();
    drop(locks);
    let before_both = resident();
    let both = filled(held, waiting);
    let with_both = resident();
    drop(both);
    let per_lock = with_locks.saturating_sub(before) / held.max(1);
    let waiters = with_both.saturating_sub(before_both).saturating_sub(per_lock * held);
    // Memory given back between the two fills would count as the waiters' gain; the first fill is the yardstick.
    let waiters = waiters.max(with_both.saturating_sub(with_locks));
    (per_lock, waiters / waiting.max(1))
}

/// Resident bytes of this process; 0 where the system does not tell.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm");
    let pages = pages.ok().and_then(|text| text.split_whitespace().nth(1)?.parse::<usize>().ok());
    pages.unwrap_or(0) * 4_096
}
