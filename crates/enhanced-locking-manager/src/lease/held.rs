//! A grant shared by all guards of this process that stand for it. Owns what happens when the last of them goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use enhanced_locking_foundation::{BackendError, LockRecord};
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{Found, LeaseCell, LossReason, keeper};
use crate::inner::Inner;

/// One grant of this process, kept alive by a keeper task, released when the last guard goes.
#[derive(Debug)]
pub(crate) struct Held {
    cell: Arc<LeaseCell>,
    inner: Arc<Inner>,
    keeper: Mutex<Option<AbortHandle>>,
    /// Whether a guard of this process made the lock. Somebody else's lock is left as it was found.
    own: AtomicBool,
    /// Whether nothing is left to be released.
    settled: AtomicBool,
}

impl Held {
    /// Takes charge of a grant, or joins the guards that have it. `None` while it is being let go: ask the store again.
    pub(crate) async fn take(
        inner: &Arc<Inner>,
        record: LockRecord,
        confirmed: Instant,
        own: bool,
    ) -> Result<Option<Arc<Self>>, BackendError> {
        let age = match record.request.max_age {
            None => None,
            Some(max_age) => {
                // The age counts from the grant, of which only the server knows when it was; so its clock is asked.
                let asked = Instant::now();
                let now = inner.bounded("now", inner.config.call_timeout, inner.backend.now()).await?;
                let left = record.acquired_at.plus(max_age).since(now);
                asked.checked_add(left).map(|ends| (max_age, ends))
            }
        };
        let cell = Arc::new(LeaseCell::new(record, confirmed, age, inner.recorder.clone()));
        let held = Arc::new(Self {
            cell,
            inner: inner.clone(),
            keeper: Mutex::default(),
            own: AtomicBool::new(own),
            settled: AtomicBool::new(false),
        });
        match inner.registry.add(&held) {
            Found::Nothing => {
                let keeper = inner.handle.spawn(keeper::keep(held.cell.clone(), inner.clone()));
                *held.keeper.lock() = Some(keeper.abort_handle());
                Ok(Some(held))
            }
            found => {
                held.settle();
                match found {
                    Found::Live(other) => {
                        other.join(own);
                        Ok(Some(other))
                    }
                    _ => Ok(None),
                }
            }
        }
    }

    pub(crate) fn cell(&self) -> &Arc<LeaseCell> {
        &self.cell
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Another guard of the same grant.
    pub(crate) fn join(&self, own: bool) {
        self.own.fetch_or(own, Ordering::SeqCst);
    }

    pub(crate) fn is_own(&self) -> bool {
        self.own.load(Ordering::SeqCst)
    }

    /// Nothing is to be done any more when the guards go.
    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::SeqCst)
    }

    /// Until when a release makes sense: after that the lock is gone by itself.
    pub(crate) fn release_until(&self) -> Instant {
        let patience = || Instant::now() + self.inner.config.patience;
        self.cell.window().ends_at.unwrap_or_else(patience)
    }

    /// How long one try to renew a lease may take, so that several fit into it.
    pub(crate) fn try_limit(lease: Duration, call_timeout: Duration) -> Duration {
        (lease / 6).max(Duration::from_millis(20)).min(call_timeout)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get_mut().take() {
            keeper.abort();
        }
        let grant = self.cell.grant();
        if self.is_settled() || !self.is_own() {
            self.cell.lose(LossReason::GivenUp);
            self.inner.registry.forget(grant, self);
            return;
        }
        self.cell.lose(LossReason::GivenUp);
        if self.inner.registry.leaving_unless_live(grant).is_some() {
            return;
        }
        self.inner.let_go_later(grant.clone(), self.release_until());
    }
}
