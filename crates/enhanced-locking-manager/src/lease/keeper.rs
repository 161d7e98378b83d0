//! The task that keeps one lease alive. Owns when to renew and when not to; whether the lock is valid is judged by the cell alone.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::Renewal;
use tokio::time::Instant;

use super::signal::sleep_until;
use super::{Held, LeaseCell};
use crate::Backoff;
use crate::inner::Inner;

/// Renews a lease at a third of it, trying again in between, until it is lost or the guards are gone (which aborts this).
///
/// It may hang or fail: guards judge by their own clock and do not need it to learn that their lock is lost.
pub(crate) async fn keep(cell: Arc<LeaseCell>, inner: Arc<Inner>) {
    let mut failures = 0;
    let mut next = confirm_at(&cell, &inner);
    loop {
        tokio::select! {
            () = sleep_until(next) => {}
            () = sleep_until(cell.due(true)) => {}
            () = cell.poked() => {}
            () = inner.shut.cancelled() => {
                // Nobody renews any more. The lease that is left is still good, and the program is told in time.
                if cell.due(true).is_some() {
                    cell.leave_unattended();
                }
                return;
            }
        }
        // Looking also latches a loss by the clock, which is logged and counted.
        if cell.is_lost() {
            return;
        }
        if cell.beat_is_late() {
            cell.leave_unattended();
            next = None;
            continue;
        }
        if next.is_some_and(|at| Instant::now() < at) {
            // Poked by a beat that is not late: nothing to do before its time.
            continue;
        }
        let lease = cell.record().request.lease;
        let limit = lease
            .duration()
            .map_or(inner.config.call_timeout, |lease| Held::try_limit(lease, inner.config.call_timeout));
        let renewal = Renewal { grant: cell.grant().clone(), lease: None };
        match inner.renewer.renew(renewal, limit).await {
            Ok((sent, Ok(record))) => {
                failures = 0;
                if !cell.confirm(record, sent) {
                    return;
                }
                next = confirm_at(&cell, &inner);
            }
            Ok((_, Err(not_held))) => {
                cell.lose((&not_held).into());
                return;
            }
            Err(error) => {
                let (key, id) = (&cell.grant().key, &cell.grant().id);
                let pause = pause(lease.duration(), inner.config.retry, failures);
                failures += 1;
                tracing::debug!(%key, %id, %error, ?pause, "lease is not renewed yet");
                next = Instant::now().checked_add(pause);
            }
        }
    }
}

/// When to confirm next.
fn confirm_at(cell: &LeaseCell, inner: &Inner) -> Option<Instant> {
    let window = cell.window();
    match cell.record().request.lease.duration() {
        Some(lease) => window.renew_at.map(|at| inner.renewer.align(at, lease)),
        None => inner.config.sticky_check.and_then(|every| window.confirmed.checked_add(every)),
    }
}

/// The pause after a failed try: short against the lease, so that many tries fit into it.
fn pause(lease: Option<Duration>, retry: Backoff, failures: u32) -> Duration {
    match lease {
        None => retry.delay(failures),
        Some(lease) => {
            let longest = (lease / 12).max(Duration::from_millis(5)).min(retry.longest.max(retry.first));
            Backoff { first: retry.first.min(longest), longest }.delay(failures)
        }
    }
}
