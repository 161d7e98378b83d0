//! The answers of the calls that change something. Owns their shapes; refusals are [`Problem`]s.

use std::sync::Arc;

use enhanced_locking_foundation::{
    AcquireOutcome, CancelOutcome, Cleared, LockRecord, NotHeld, Page, ReleaseOutcome, RequestId,
    RequestState, ResourceKey, SweepOutcome, Timestamp,
};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::tagged::tagged;
use super::views::{lock_views, records};
use super::{FinishedView, LockView, PlaceView, Problem, RequestView};

/// The answer to `POST /locks`: held (200) or in line (202). That others hold it is a [`Problem`] with the holders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AcquireReply {
    /// Held now, or held already by the same owner.
    Held {
        /// The lock.
        lock: LockView,
    },
    /// Standing in line.
    Queued(PlaceView),
}

impl From<AcquireReply> for AcquireOutcome {
    fn from(reply: AcquireReply) -> Self {
        match reply {
            AcquireReply::Held { lock } => Self::Held(lock.into()),
            AcquireReply::Queued(place) => Self::Queued(place.into()),
        }
    }
}

/// The answer to `GET /requests/{id}`. An unknown request is a [`Problem`] (404).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RequestReply {
    /// It holds the lock.
    Held {
        /// The lock.
        lock: LockView,
    },
    /// It waits.
    Queued(PlaceView),
    /// It is over.
    Finished(FinishedView),
}

impl RequestReply {
    /// The view of a state; `None` if it is unknown.
    #[must_use]
    pub fn new(key: &ResourceKey, id: &RequestId, state: &RequestState) -> Option<Self> {
        match state {
            RequestState::Held(record) => Some(Self::Held { lock: record.into() }),
            RequestState::Queued(place) => Some(Self::Queued(place.into())),
            RequestState::Finished(ended) => Some(Self::Finished(FinishedView {
                request_id: id.clone(),
                key: key.clone(),
                ended: ended.into(),
            })),
            RequestState::Unknown => None,
        }
    }

    /// The key the request asked for.
    #[must_use]
    pub fn key(&self) -> &ResourceKey {
        match self {
            Self::Held { lock } => &lock.details.key,
            Self::Queued(place) => &place.request.details.key,
            Self::Finished(finished) => &finished.key,
        }
    }
}

impl From<RequestReply> for RequestState {
    fn from(reply: RequestReply) -> Self {
        match reply {
            RequestReply::Held { lock } => Self::Held(lock.into()),
            RequestReply::Queued(place) => Self::Queued(place.into()),
            RequestReply::Finished(finished) => Self::Finished(finished.ended.into()),
        }
    }
}

/// One lock that is held: the answer to `GET /locks/{id}`, renew and transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum HeldReply {
    /// It is held.
    Held {
        /// The lock.
        lock: LockView,
    },
}

impl From<&LockRecord> for HeldReply {
    fn from(record: &LockRecord) -> Self {
        Self::Held { lock: record.into() }
    }
}

impl From<HeldReply> for LockRecord {
    fn from(HeldReply::Held { lock }: HeldReply) -> Self {
        lock.into()
    }
}

/// The answer to `POST /locks/batch`, in the order asked for. A batch that was refused is a [`Problem`] with `blocked`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum BatchReply {
    /// All are held.
    Held {
        /// The locks.
        locks: Vec<LockView>,
    },
}

impl BatchReply {
    /// The view of locks that are all held.
    #[must_use]
    pub fn new(held: &[LockRecord]) -> Self {
        Self::Held { locks: lock_views(held) }
    }

    /// The records of the locks.
    #[must_use]
    pub fn into_records(self) -> Vec<LockRecord> {
        let Self::Held { locks } = self;
        records(locks)
    }
}

/// The answer to `DELETE /locks/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ReleaseReply {
    /// Released now.
    Released {
        /// Who holds the resource next; empty if nobody waits.
        next: Vec<LockView>,
    },
    /// Released before by this very grant.
    AlreadyReleased,
}

impl From<&ReleaseOutcome> for ReleaseReply {
    fn from(outcome: &ReleaseOutcome) -> Self {
        match outcome {
            ReleaseOutcome::Released { next } => Self::Released { next: lock_views(next) },
            ReleaseOutcome::AlreadyReleased => Self::AlreadyReleased,
        }
    }
}

impl From<ReleaseReply> for ReleaseOutcome {
    fn from(reply: ReleaseReply) -> Self {
        match reply {
            ReleaseReply::Released { next } => Self::Released { next: records(next) },
            ReleaseReply::AlreadyReleased => Self::AlreadyReleased,
        }
    }
}

/// The answer to `DELETE /requests/{id}`. That it holds the lock is a [`Problem`] (409) with the lock as its holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CancelReply {
    /// It is out of the line.
    Cancelled {
        /// The request.
        request_id: RequestId,
    },
    /// It had come to an end before.
    Finished(FinishedView),
}

impl From<CancelReply> for CancelOutcome {
    fn from(reply: CancelReply) -> Self {
        match reply {
            CancelReply::Cancelled { .. } => Self::Cancelled,
            CancelReply::Finished(finished) => Self::Finished(finished.ended.into()),
        }
    }
}

/// The answer to `POST /locks/renew`: one result for every renewal, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalsReply {
    /// The results.
    pub results: Vec<RenewalResult>,
}

/// What became of one renewal: exactly one member is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalResult {
    /// The lock, if it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockView>,
    /// Why not, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

impl From<&Result<LockRecord, NotHeld>> for RenewalResult {
    fn from(result: &Result<LockRecord, NotHeld>) -> Self {
        match result {
            Ok(record) => Self { lock: Some(record.into()), problem: None },
            Err(error) => Self { lock: None, problem: Some(error.into()) },
        }
    }
}

impl From<RenewalResult> for Result<LockRecord, NotHeld> {
    fn from(result: RenewalResult) -> Self {
        match result.lock {
            Some(lock) => Ok(lock.into()),
            None => Err(result.problem.unwrap_or_default().into_not_held()),
        }
    }
}

/// The answer to a release by force: the locks that were taken away, empty if nobody held it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForceReply {
    /// The locks.
    pub released: Vec<LockView>,
}

impl ForceReply {
    /// The view of what was taken away.
    #[must_use]
    pub fn new(released: &[LockRecord]) -> Self {
        Self { released: lock_views(released) }
    }

    /// The records of the locks.
    #[must_use]
    pub fn into_records(self) -> Vec<LockRecord> {
        records(self.released)
    }
}

/// The answer to `POST /locks/release-by-pull` and `/locks/release-by-owner`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearedReply {
    /// Locks that were released.
    pub released: Vec<LockView>,
    /// Requests that left their lines.
    pub cancelled: Vec<RequestView>,
}

impl From<&Cleared> for ClearedReply {
    fn from(cleared: &Cleared) -> Self {
        Self {
            released: lock_views(&cleared.released),
            cancelled: cleared.cancelled.iter().map(|request| RequestView::from(&**request)).collect(),
        }
    }
}

impl From<ClearedReply> for Cleared {
    fn from(reply: ClearedReply) -> Self {
        Self {
            released: records(reply.released),
            cancelled: reply.cancelled.into_iter().map(|view| Arc::new(view.into())).collect(),
        }
    }
}

/// The answer to `POST /webhooks/github` and `/webhooks/gitlab`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookReply {
    /// Why nothing was done; `null` if it was about a pull request that is over.
    pub ignored: Option<String>,
    /// What the pull request had.
    #[serde(flatten)]
    pub cleared: ClearedReply,
}

/// The answer to `POST /cleanup`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupReply {
    /// Entries whose time had run out.
    pub ended: usize,
    /// When the next entry's time runs out; `null` if nothing waits for time to pass.
    pub next_at: Option<Timestamp>,
}

impl From<SweepOutcome> for CleanupReply {
    fn from(outcome: SweepOutcome) -> Self {
        Self { ended: outcome.ended, next_at: outcome.next }
    }
}

impl From<CleanupReply> for SweepOutcome {
    fn from(reply: CleanupReply) -> Self {
        Self { ended: reply.ended, next: reply.next_at }
    }
}

/// The answer to `POST /backup`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReply {
    /// The directory on the machine of the service that has the copy. Starting a service on it is restoring it.
    pub directory: String,
}

/// One page of `GET /locks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocksPage {
    /// The locks, in the order of their keys.
    pub locks: Vec<LockView>,
    /// Pass it back as `cursor` for the next page; `null` on the last.
    pub next: Option<String>,
}

impl From<&Page<LockRecord>> for LocksPage {
    fn from(page: &Page<LockRecord>) -> Self {
        Self { locks: lock_views(&page.items), next: page.next.clone() }
    }
}

impl From<LocksPage> for Page<LockRecord> {
    fn from(page: LocksPage) -> Self {
        Self { items: records(page.locks), next: page.next }
    }
}

/// The members of the answers that have one besides their state.
#[derive(Deserialize)]
struct Lock {
    lock: LockView,
}

#[derive(Deserialize)]
struct Locks {
    locks: Vec<LockView>,
}

#[derive(Deserialize)]
struct Next {
    next: Vec<LockView>,
}

#[derive(Deserialize)]
struct Id {
    request_id: RequestId,
}

tagged! {
    AcquireReply {
        "held" Held: Lock => |Lock { lock }| Self::Held { lock },
        "queued" Queued: PlaceView => Self::Queued,
    }
    RequestReply {
        "held" Held: Lock => |Lock { lock }| Self::Held { lock },
        "queued" Queued: PlaceView => Self::Queued,
        "finished" Finished: FinishedView => Self::Finished,
    }
    HeldReply {
        "held" Held: Lock => |Lock { lock }| Self::Held { lock },
    }
    BatchReply {
        "held" Held: Locks => |Locks { locks }| Self::Held { locks },
    }
    ReleaseReply {
        "released" Released: Next => |Next { next }| Self::Released { next },
        "already_released" AlreadyReleased: IgnoredAny => |_| Self::AlreadyReleased,
    }
    CancelReply {
        "cancelled" Cancelled: Id => |Id { request_id }| Self::Cancelled { request_id },
        "finished" Finished: FinishedView => Self::Finished,
    }
}

#[cfg(test)]
mod tests {
    use enhanced_locking_foundation::{EndReason, Ended};

    use super::super::views::samples;
    use super::*;

    #[test]
    fn every_state_of_a_request_survives_the_journey() {
        let record = samples::record("a");
        let (key, id) = (record.request.key.clone(), record.request.id.clone());
        let ended = Ended { reason: EndReason::TimedOut, at: record.acquired_at, token: Some(record.token) };
        for (name, state) in [
            ("held", RequestState::Held(record)),
            ("queued", RequestState::Queued(samples::place("a"))),
            ("finished", RequestState::Finished(ended)),
        ] {
            let json = serde_json::to_value(RequestReply::new(&key, &id, &state).unwrap()).unwrap();
            assert_eq!(json["state"], name);
            // As text the state comes first, as a value where the alphabet puts it.
            let text = serde_json::to_string(&RequestReply::new(&key, &id, &state)).unwrap();
            assert!(text.starts_with("{\"state\":"), "{text}");
            assert_eq!(RequestState::from(serde_json::from_str::<RequestReply>(&text).unwrap()), state);
            let back: RequestReply = serde_json::from_value(json).unwrap();
            assert_eq!(back.key(), &key);
            assert_eq!(RequestState::from(back), state);
        }
        assert!(RequestReply::new(&key, &id, &RequestState::Unknown).is_none());
    }

    #[test]
    fn renewals_tell_the_lost_from_the_held() {
        let record = samples::record("a");
        let lost = NotHeld { ended: None, current: Some(record.token) };
        for result in [Ok(record), Err(lost), Err(NotHeld { ended: None, current: None })] {
            let json = serde_json::to_string(&RenewalResult::from(&result)).unwrap();
            let back: RenewalResult = serde_json::from_str(&json).unwrap();
            assert_eq!(Result::<LockRecord, NotHeld>::from(back), result);
        }
    }

    #[test]
    fn a_release_tells_who_is_next() {
        for outcome in
            [ReleaseOutcome::Released { next: vec![samples::record("n")] }, ReleaseOutcome::AlreadyReleased]
        {
            let json = serde_json::to_string(&ReleaseReply::from(&outcome)).unwrap();
            assert_eq!(ReleaseOutcome::from(serde_json::from_str::<ReleaseReply>(&json).unwrap()), outcome);
        }
    }
}
