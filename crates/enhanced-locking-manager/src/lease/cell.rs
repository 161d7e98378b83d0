//! One held lock as this process knows it. Owns the latch: once lost, a lock is lost for good, whatever the store says later.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{Grant, LockRecord};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{LeaseState, LossReason, Window};
use crate::observe::Recorder;

/// What was decided about a lock, beside what the clock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing.
    Nothing,
    /// It is at risk although half of its lease is left: nobody renews it any more.
    Unattended,
    /// It is lost.
    Lost(LossReason),
}

#[derive(Clone, Copy, Debug)]
struct Beat {
    every: Duration,
    last: Instant,
}

#[derive(Debug)]
struct Facts {
    record: LockRecord,
    window: Window,
    /// The maximum age and when it ends on our clock.
    age: Option<(Duration, Instant)>,
    beat: Option<Beat>,
}

/// Validity of one grant. Judged when asked, so that a task that hangs cannot make it look valid.
#[derive(Debug)]
pub(crate) struct LeaseCell {
    grant: Grant,
    facts: Mutex<Facts>,
    told: watch::Sender<Told>,
    poke: Notify,
    recorder: Arc<Recorder>,
}

impl LeaseCell {
    pub(crate) fn new(
        record: LockRecord,
        confirmed: Instant,
        age: Option<(Duration, Instant)>,
        recorder: Arc<Recorder>,
    ) -> Self {
        let window = Window::new(confirmed, record.request.lease, age);
        Self {
            grant: record.grant(),
            facts: Mutex::new(Facts { record, window, age, beat: None }),
            told: watch::Sender::new(Told::Nothing),
            poke: Notify::new(),
            recorder,
        }
    }

    pub(crate) fn grant(&self) -> &Grant {
        &self.grant
    }

    pub(crate) fn record(&self) -> LockRecord {
        self.facts.lock().record.clone()
    }

    pub(crate) fn window(&self) -> Window {
        self.facts.lock().window
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Told> {
        self.told.subscribe()
    }

    /// How the lock is doing now.
    pub(crate) fn state(&self) -> LeaseState {
        let facts = self.facts.lock();
        self.judge(&facts, Instant::now())
    }

    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.state(), LeaseState::Lost(_))
    }

    /// The store confirmed the lease in answer to a request sent after `confirmed`. `false` if that came too late.
    pub(crate) fn confirm(&self, record: LockRecord, confirmed: Instant) -> bool {
        let mut facts = self.facts.lock();
        if matches!(self.judge(&facts, Instant::now()), LeaseState::Lost(_)) {
            return false;
        }
        facts.window = Window::new(confirmed, record.request.lease, facts.age);
        facts.record = record;
        self.told.send_if_modified(|told| {
            let was = std::mem::replace(told, Told::Nothing);
            was != Told::Nothing
        });
        // An answer may have come so late that even what it confirms is over.
        !matches!(self.judge(&facts, Instant::now()), LeaseState::Lost(_))
    }

    /// The lock is lost. The first reason stays.
    pub(crate) fn lose(&self, reason: LossReason) {
        let first = self.told.send_if_modified(|told| {
            let first = !matches!(told, Told::Lost(_));
            if first {
                *told = Told::Lost(reason);
            }
            first
        });
        if first && reason != LossReason::GivenUp {
            self.recorder.lost();
            let (key, id, token) = (&self.grant.key, &self.grant.id, self.grant.token);
            tracing::warn!(%key, %id, %token, %reason, "lock is lost");
        }
    }

    /// Nobody renews the lock any more: at risk from now on, until a confirmation.
    pub(crate) fn leave_unattended(&self) {
        self.told.send_if_modified(|told| {
            let news = *told == Told::Nothing;
            if news {
                *told = Told::Unattended;
            }
            news
        });
    }

    /// Asks for a beat at least this often, the first one within that time; `None` asks for none.
    pub(crate) fn require_beat(&self, every: Option<Duration>) {
        self.facts.lock().beat = every.map(|every| Beat { every, last: Instant::now() });
        self.poke.notify_one();
        // Signals that wait must look at their timers again.
        self.told.send_modify(|_| ());
    }

    /// The program is alive.
    pub(crate) fn beat(&self) {
        let mut facts = self.facts.lock();
        let now = Instant::now();
        let Some(beat) = &mut facts.beat else { return };
        let late = now.saturating_duration_since(beat.last) >= beat.every;
        beat.last = now;
        if late {
            self.poke.notify_one();
        }
    }

    /// Whether the program is behind with its beats.
    pub(crate) fn beat_is_late(&self) -> bool {
        beat_is_late(&self.facts.lock(), Instant::now())
    }

    /// When the lock is lost, or at risk, unless something happens before.
    pub(crate) fn due(&self, lost: bool) -> Option<Instant> {
        let facts = self.facts.lock();
        if lost {
            return facts.window.valid_until;
        }
        let beat = facts.beat.and_then(|beat| beat.last.checked_add(beat.every));
        [facts.window.at_risk_at, beat].into_iter().flatten().min()
    }

    /// Comes back when the keeper should look again.
    pub(crate) async fn poked(&self) {
        self.poke.notified().await;
    }

    fn judge(&self, facts: &Facts, now: Instant) -> LeaseState {
        let told = *self.told.borrow();
        match told {
            Told::Lost(reason) => LeaseState::Lost(reason),
            _ if facts.window.valid_until.is_some_and(|until| until <= now) => {
                let reason = if beat_is_late(facts, now) { LossReason::NoBeat } else { LossReason::RanOut };
                self.lose(reason);
                // Somebody else may have latched another reason just now.
                let latched = *self.told.borrow();
                LeaseState::Lost(if let Told::Lost(first) = latched { first } else { reason })
            }
            Told::Unattended => LeaseState::AtRisk,
            Told::Nothing if facts.window.at_risk_at.is_some_and(|at| at <= now) => LeaseState::AtRisk,
            Told::Nothing if beat_is_late(facts, now) => LeaseState::AtRisk,
            Told::Nothing => LeaseState::Held,
        }
    }
}

fn beat_is_late(facts: &Facts, now: Instant) -> bool {
    facts.beat.is_some_and(|beat| now.saturating_duration_since(beat.last) >= beat.every)
}

#[cfg(test)]
mod tests {
    use enhanced_locking_foundation::{AcquireRequest, FencingToken, Lease, OwnerId, ResourceKey, Timestamp};

    use super::*;

    fn cell(lease: Lease) -> LeaseCell {
        let request =
            AcquireRequest::new(ResourceKey::new("k").unwrap(), OwnerId::new("o").unwrap()).lease(lease);
        let record = LockRecord {
            request: Arc::new(request),
            token: FencingToken::from_u64(7),
            acquired_at: Timestamp::ZERO,
            expires_at: None,
            claim_by: None,
        };
        LeaseCell::new(record, Instant::now(), None, Arc::new(Recorder::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_was_lost_stays_lost_although_the_store_confirms_it_late() {
        let cell = cell(Lease::For(Duration::from_secs(10)));
        let sent = Instant::now();
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(!cell.confirm(cell.record(), sent + Duration::from_secs(8)));
        assert_eq!(cell.state(), LeaseState::Lost(LossReason::RanOut));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_reason_stays() {
        let cell = cell(Lease::Sticky);
        cell.lose(LossReason::GivenUp);
        cell.lose(LossReason::Unknown);
        assert_eq!(cell.state(), LeaseState::Lost(LossReason::GivenUp));
    }

    #[tokio::test(start_paused = true)]
    async fn a_confirmation_ends_the_risk() {
        let cell = cell(Lease::For(Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(cell.state(), LeaseState::AtRisk);
        assert!(cell.confirm(cell.record(), Instant::now()));
        assert_eq!(cell.state(), LeaseState::Held);
        cell.leave_unattended();
        assert_eq!(cell.state(), LeaseState::AtRisk);
    }
}
