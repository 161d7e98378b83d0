//! The guard of a held lock. Owns what a program can do with it; validity is the cell's, the end of it the holder's business.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    FencingToken, Grant, LockRecord, NotHeld, OwnerId, ReleaseError, ReleaseOutcome, RequestId, ResourceKey,
};
use tokio::time::Instant;

use super::{Held, LeaseSignal, LeaseState, LossReason};

/// A lock held by this process: renewed in the background, released when dropped.
///
/// The guard does not make it impossible that two processes work at once: a process that is stopped for longer than its
/// lease and then goes on does not look at its guard first. Pass [`token`](Self::token) to what the lock guards and let
/// that refuse lower ones; and stop when [`lost`](Self::lost) fires, which it does before the store ends the lease.
///
/// Several guards of one grant can exist (the same owner asked twice): the lock is released when the last one is
/// dropped. A guard that joined a lock made elsewhere leaves it held when dropped ([`is_own`](Self::is_own)).
///
/// ```
/// # use enhanced_locking_foundation::*;
/// # use enhanced_locking_manager::*;
/// # async fn example(manager: LockManager, request: AcquireRequest) -> Result<(), Box<dyn std::error::Error>> {
/// let guard = manager.acquire(request).await?;
/// println!("lock {} has token {}", guard.key(), guard.token());
/// assert!(guard.is_valid());
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping a guard releases its lock"]
pub struct LockGuard {
    held: Arc<Held>,
}

impl LockGuard {
    pub(crate) fn new(held: Arc<Held>) -> Self {
        Self { held }
    }

    /// What is held.
    #[must_use]
    pub fn key(&self) -> &ResourceKey {
        &self.held.cell().grant().key
    }

    /// The request that holds it: also the id of the lock.
    #[must_use]
    pub fn id(&self) -> &RequestId {
        &self.held.cell().grant().id
    }

    /// The fencing token: what is guarded must refuse a lower one than it has seen.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.held.cell().grant().token
    }

    /// Its address for calls to the store.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        self.held.cell().grant()
    }

    /// Who holds it.
    #[must_use]
    pub fn owner(&self) -> OwnerId {
        self.record().request.owner.clone()
    }

    /// The lock as the store confirmed it last.
    #[must_use]
    pub fn record(&self) -> LockRecord {
        self.held.cell().record()
    }

    /// How the lock is doing now, by this process' own clock.
    #[must_use]
    pub fn state(&self) -> LeaseState {
        self.held.cell().state()
    }

    /// Whether the lock may be relied on now.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.held.cell().is_lost()
    }

    /// Until when it may be relied on unless it is renewed; `None` if it never runs out.
    ///
    /// A monotonic instant, counted from before the last confirmed request was sent, less a margin: it comes before
    /// the store ends the lease, however long the answer took (invariant 7).
    #[must_use]
    pub fn valid_until(&self) -> Option<Instant> {
        self.held.cell().window().valid_until
    }

    /// Fires when the lock is lost, or given up: stop the work.
    #[must_use]
    pub fn lost(&self) -> LeaseSignal {
        LeaseSignal::lost(self.held.cell().clone())
    }

    /// Fires when the lock may soon be lost: bring the work to a safe point.
    #[must_use]
    pub fn at_risk(&self) -> LeaseSignal {
        LeaseSignal::at_risk(self.held.cell().clone())
    }

    /// Whether this process made the lock. If not (it joined a lock of the same owner), dropping the guard leaves it held.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.held.is_own()
    }

    /// Renews the lease only while the program calls [`beat`](Self::beat) at least this often.
    ///
    /// Renewals in the background keep the lock of a program that hangs for ever. With a beat, such a program is told
    /// that its lock is [at risk](LeaseState::AtRisk) when a beat is late, and loses it when the lease runs out.
    pub fn require_beat(&self, every: Duration) {
        self.held.cell().require_beat(Some(every));
    }

    /// Asks for no more beats.
    pub fn waive_beat(&self) {
        self.held.cell().require_beat(None);
    }

    /// Says that the program makes progress.
    pub fn beat(&self) {
        self.held.cell().beat();
    }

    /// Releases the lock and waits for the store's answer, trying again while the store cannot be reached and the lease runs.
    ///
    /// Gives the lock up for all guards of this grant: they are told that it is lost, before the request is sent.
    /// Dropping the future leaves the rest to the background.
    ///
    /// # Errors
    /// [`ReleaseError::NotHeld`] if it was lost before: whatever was done under it since may have collided.
    /// [`ReleaseError::Backend`] if the store could not be reached: the lock runs out by itself, a sticky one stays held.
    pub async fn release(self) -> Result<ReleaseOutcome, ReleaseError> {
        let cell = self.held.cell();
        cell.lose(LossReason::GivenUp);
        // Until there is an answer, a drop of this future must still release; so it must count as this process' to end.
        self.held.join(true);
        if self.held.inner().registry.leaving_unless_live(cell.grant()).is_some() {
            // This guard was lost, and the same owner took the same lock up again in the meantime: not ours any more.
            self.held.settle();
            return Err(ReleaseError::NotHeld(NotHeld { ended: None, current: None }));
        }
        let answer = self.held.inner().let_go(cell.grant(), self.held.release_until()).await;
        self.held.settle();
        answer
    }

    /// Leaves the lock held on purpose and takes no more care of it, for all guards of this grant: a sticky lock stays,
    /// a leased one runs out.
    ///
    /// [`LockManager::attach`](crate::LockManager::attach) takes it up again, here or in another process.
    #[must_use = "the record is needed to take the lock up again"]
    pub fn detach(self) -> LockRecord {
        self.held.settle();
        self.held.cell().lose(LossReason::GivenUp);
        self.record()
    }
}
