//! Clients that went away while they waited. Owns the rule of who may give up a request whose connection broke.

use std::collections::HashMap;

use enhanced_locking_foundation::{CancelOutcome, Cause, EndReason, RequestId, Ticket};
use parking_lot::Mutex;

use crate::app::App;

/// The calls that wait on behalf of their connection (`wait_ms` without `queue`), by request id.
///
/// A client that lost its connection may ask again with the same id before the loss is noticed here. So a broken
/// connection gives the request up only if no other call stands for it and nobody was told that it holds the lock.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<HashMap<RequestId, Watch>>);

#[derive(Debug, Default)]
struct Watch {
    calls: usize,
    told_held: bool,
}

impl Waits {
    /// Notes that a caller is about to be told that the request holds the lock.
    pub(crate) fn told_held(&self, id: &RequestId) {
        if let Some(watch) = self.0.lock().get_mut(id) {
            watch.told_held = true;
        }
    }

    fn enter(&self, id: &RequestId) {
        self.0.lock().entry(id.clone()).or_default().calls += 1;
    }

    /// Ends one call; whether it was the last and nobody was told that the lock is held.
    fn leave(&self, id: &RequestId) -> bool {
        let mut watches = self.0.lock();
        let Some(watch) = watches.get_mut(id) else { return false };
        watch.calls = watch.calls.saturating_sub(1);
        let alone = watch.calls == 0 && !watch.told_held;
        if watch.calls == 0 {
            watches.remove(id);
        }
        alone
    }
}

/// Gives the request up when it is dropped without having been answered: the client went away.
#[derive(Debug)]
pub(crate) struct WaitGuard {
    app: App,
    ticket: Ticket,
    answered: bool,
    /// Whether a lock granted meanwhile is given back. Not before it is certain that no earlier call of the same
    /// id was told about it.
    release: bool,
}

impl WaitGuard {
    /// Begins to stand for a request. `fresh`: its id was made for this very call.
    pub(crate) fn new(app: &App, ticket: Ticket, fresh: bool) -> Self {
        app.waits.enter(&ticket.id);
        Self { app: app.clone(), ticket, answered: false, release: fresh }
    }

    /// The request stands in line: it did not hold the lock before.
    pub(crate) fn queued(&mut self) {
        self.release = true;
    }

    /// The caller gets its answer; the request stays as it is.
    pub(crate) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        let alone = self.app.waits.leave(&self.ticket.id);
        if self.answered || !alone {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (app, ticket, release) = (self.app.clone(), self.ticket.clone(), self.release);
        self.app.tasks.spawn_on(
            async move {
                tracing::debug!(id = %ticket.id, key = %ticket.key, "client went away, giving up its place");
                let cause = Cause {
                    actor: "service".to_owned(),
                    reason: "the client went away while it waited".to_owned(),
                };
                match app.backend.cancel(&ticket, None, EndReason::Cancelled, cause).await {
                    Ok(CancelOutcome::Held(record)) if release => {
                        if let Err(error) = app.backend.release(&record.grant()).await {
                            tracing::warn!(id = %ticket.id, %error, "cannot release for a client that went away");
                        }
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(id = %ticket.id, %error, "cannot give up a place for a client that went away");
                    }
                }
            },
            &runtime,
        );
    }
}
