//! Standing in line. Owns the polling that keeps a place, claims the grant and notices when the store has forgotten it.

use std::time::Duration;

use enhanced_locking_foundation::{
    BackendError, BackendErrorKind, CancelOutcome, Cause, EndReason, LockRecord, QueuePlace, RequestState,
    Ticket,
};
use tokio::time::Instant;

use super::asking::{Asking, End};
use super::{Pending, Progress};
use crate::inner::Fault;

/// What came of standing in line.
pub(super) enum Turn {
    /// It is held, by this request or by the earlier one of the same owner that was joined.
    Held {
        /// The lock.
        record: LockRecord,
        /// An instant before the call that claimed it.
        sent: Instant,
        /// Whether no earlier call can have claimed it.
        certain: bool,
    },
    /// The place is gone for no fault of this request: ask again.
    AskAgain,
}

/// Stands in line until the request is granted, over, or out of time.
pub(super) async fn stand(
    asking: &mut Asking<'_, '_>,
    place: QueuePlace,
    pending: &Pending,
) -> Result<Turn, End> {
    let ticket = place.request.ticket();
    let own = ticket.id == asking.request.id;
    let mut certain = !pending.is_doubtful();
    show(asking, place);
    loop {
        let left = asking.left();
        if left == Some(Duration::ZERO) {
            return give_up(asking, &ticket, own).await;
        }
        let slice = slice(asking).min(left.unwrap_or(Duration::MAX));
        let sent = Instant::now();
        let limit = slice.saturating_add(asking.inner.config.call_timeout);
        let limit = left.map_or(limit, |left| limit.min(left.saturating_add(Duration::from_secs(1))));
        let poll = asking.inner.backend.await_turn(&ticket, slice);
        let answer: Result<RequestState, BackendError> = match tokio::time::timeout(limit, poll).await {
            Ok(answer) => answer,
            Err(_) => Err(BackendError::new(
                BackendErrorKind::Indeterminate,
                format!("the store did not say within {limit:?} whether the lock is free; it is asked again"),
            )),
        };
        asking.inner.recorder.waiting_call(answer.as_ref().err().map(Fault::failure));
        match answer {
            Ok(RequestState::Held(record)) => {
                asking.succeeded();
                // A joined request may have been claimed by whoever made it.
                return Ok(Turn::Held { record, sent, certain: certain && own });
            }
            Ok(RequestState::Queued(place)) => {
                asking.succeeded();
                show(asking, place);
            }
            Ok(RequestState::Finished(ended)) if own => return Err(asking.ended(true, ended)),
            // Forgotten, or somebody else's request that was joined is over.
            Ok(RequestState::Finished(_) | RequestState::Unknown) => return Ok(Turn::AskAgain),
            Err(error) if error.is_transient() => {
                // It may have claimed the lock all the same, now or later.
                certain &= !error.is_indeterminate();
                asking.pause(error).await?;
            }
            Err(error) => return Err(End::Open(error.into())),
        }
    }
}

/// How long to ask at once: often enough to keep the place, to begin a fresh lease, and to show progress.
fn slice(asking: &Asking<'_, '_>) -> Duration {
    let config = &asking.inner.config;
    let mut slice = config.longest_poll;
    if let Some(lease) = asking.request.lease.duration() {
        // The lease counts from before the call was sent, so a long call would eat much of it.
        slice = slice.min(config.keep_alive / 3).min((lease / 4).max(Duration::from_millis(50)));
    }
    if asking.watcher.is_some() {
        slice = slice.min(config.progress_interval);
    }
    slice.max(Duration::from_millis(1))
}

/// Tells a change of place and remembers it.
fn show(asking: &mut Asking<'_, '_>, place: QueuePlace) {
    let told = asking.place.as_ref().is_some_and(|before| {
        let tokens = |place: &QueuePlace| place.holders.iter().map(|h| h.token).collect::<Vec<_>>();
        (before.position, before.depth, before.generation) == (place.position, place.depth, place.generation)
            && tokens(before) == tokens(&place)
    });
    if !told && let Some(watcher) = &mut asking.watcher {
        watcher(Progress::Waiting(&place));
    }
    asking.place = Some(place);
}

/// Leaves the line because the time is over; takes the lock if it was granted at the last moment.
async fn give_up(asking: &mut Asking<'_, '_>, ticket: &Ticket, own: bool) -> Result<Turn, End> {
    let place = asking.place.take();
    let error = asking.timed_out(place);
    if !own {
        // Somebody else's place in the line is not ours to leave.
        return Err(End::Settled(error));
    }
    let cancel = asking.inner.backend.cancel(ticket, None, EndReason::TimedOut, Cause::none());
    let sent = Instant::now();
    let limit = asking.inner.config.call_timeout.min(Duration::from_secs(1));
    match asking.inner.bounded("cancel", limit, cancel).await {
        Ok(CancelOutcome::Held(record)) => Ok(Turn::Held { record, sent, certain: false }),
        Ok(CancelOutcome::Finished(ended)) if ended.reason != EndReason::TimedOut => {
            Err(asking.ended(true, ended))
        }
        Ok(_) => Err(End::Settled(error)),
        // The cancel goes on in the background.
        Err(_) => Err(End::Open(error)),
    }
}
