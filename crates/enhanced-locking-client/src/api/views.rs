//! How locks, requests and places in line look in an answer. Owns the views and the way back to the foundation's values.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireRequest, EndReason, Ended, FencingToken, Lease, LockMode, LockRecord, Metadata, OwnerId, Priority,
    ProjectKey, PullRequest, QueuePlace, RequestId, ResourceKey, Timestamp, ValueError, Wait,
};
use serde::{Deserialize, Serialize};

use super::millis;

/// A view that cannot be turned back into a value: it was made by another version, or not by the service.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// A value breaks a rule.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A member that must be there is not.
    #[error("the answer lacks `{what}`; the service may be of another version")]
    Missing {
        /// Which member.
        what: &'static str,
    },
    /// A kind that this version does not know.
    #[error("the answer has the {what} {given:?}, which this version does not know")]
    Unknown {
        /// Of what.
        what: &'static str,
        /// What was given.
        given: String,
    },
}

/// What a request asked for: the members that locks, waiters and events have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// What is locked.
    pub key: ResourceKey,
    /// The project the key names, if it names one.
    pub project: Option<ProjectKey>,
    /// Who asked.
    pub owner: OwnerId,
    /// The person behind the owner.
    pub user: Option<String>,
    /// The pull request the owner stands for.
    pub pull: Option<PullRequest>,
    /// Alone or shared.
    pub mode: LockMode,
    /// How important it is.
    pub priority: Priority,
    /// Whether the lock stays until it is released.
    pub sticky: bool,
    /// The lease; `null` for a sticky lock.
    pub lease_ms: Option<u64>,
    /// Whether the request may stand in line.
    pub queue: bool,
    /// How long it may stand in line; `null` if for ever, or not at all.
    pub max_wait_ms: Option<u64>,
    /// The longest the lock may be held in all.
    pub max_age_ms: Option<u64>,
    /// Labels to show.
    #[serde(default)]
    pub metadata: Metadata,
}

impl Details {
    /// The request with this id.
    #[must_use]
    pub fn into_request(self, id: RequestId) -> AcquireRequest {
        AcquireRequest {
            id,
            key: self.key,
            owner: self.owner,
            user: self.user,
            pull: self.pull,
            mode: self.mode,
            priority: self.priority,
            lease: match self.lease_ms {
                Some(ms) if !self.sticky => Lease::For(Duration::from_millis(ms)),
                _ => Lease::Sticky,
            },
            wait: match (self.queue, self.max_wait_ms) {
                (false, _) => Wait::No,
                (true, None) => Wait::Forever,
                (true, Some(ms)) => Wait::AtMost(Duration::from_millis(ms)),
            },
            max_age: self.max_age_ms.map(Duration::from_millis),
            metadata: self.metadata,
        }
    }
}

impl From<&AcquireRequest> for Details {
    fn from(request: &AcquireRequest) -> Self {
        Self {
            key: request.key.clone(),
            project: ProjectKey::parse(&request.key),
            owner: request.owner.clone(),
            user: request.user.clone(),
            pull: request.pull.clone(),
            mode: request.mode,
            priority: request.priority,
            sticky: request.lease.is_sticky(),
            lease_ms: request.lease.duration().map(millis),
            queue: request.wait.may_queue(),
            max_wait_ms: if let Wait::AtMost(limit) = request.wait { Some(millis(limit)) } else { None },
            max_age_ms: request.max_age.map(millis),
            metadata: request.metadata.clone(),
        }
    }
}

/// A lock that is held.
///
/// ```
/// use enhanced_locking_client::api::LockView;
/// use enhanced_locking_foundation::LockRecord;
///
/// let view: LockView = serde_json::from_str(r#"{"id": "r1", "key": "demo", "project": null, "owner": "me",
///     "user": null, "pull": null, "mode": "exclusive", "priority": "normal", "sticky": true, "lease_ms": null,
///     "queue": false, "max_wait_ms": null, "max_age_ms": null, "token": 7,
///     "acquired_at": "2026-01-31T12:00:00Z", "expires_at": null, "claim_by": null}"#)?;
/// assert_eq!(LockRecord::from(view).grant().token.as_u64(), 7);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FlatLock")]
pub struct LockView {
    /// Id of the lock: that of the request it was granted to.
    pub id: RequestId,
    /// What was asked for, by whom.
    #[serde(flatten)]
    pub details: Details,
    /// The fencing token.
    pub token: FencingToken,
    /// When it was granted.
    pub acquired_at: Timestamp,
    /// When it ends unless it is renewed; `null` if it does not.
    pub expires_at: Option<Timestamp>,
    /// Until when the grant must be claimed; `null` once it was.
    pub claim_by: Option<Timestamp>,
}

/// [`LockView`] as it is read: a flattened member would be read by way of a map.
#[derive(Deserialize)]
struct FlatLock {
    id: RequestId,
    key: ResourceKey,
    project: Option<ProjectKey>,
    owner: OwnerId,
    user: Option<String>,
    pull: Option<PullRequest>,
    mode: LockMode,
    priority: Priority,
    sticky: bool,
    lease_ms: Option<u64>,
    queue: bool,
    max_wait_ms: Option<u64>,
    max_age_ms: Option<u64>,
    #[serde(default)]
    metadata: Metadata,
    token: FencingToken,
    acquired_at: Timestamp,
    expires_at: Option<Timestamp>,
    claim_by: Option<Timestamp>,
}

impl From<FlatLock> for LockView {
    fn from(flat: FlatLock) -> Self {
        let FlatLock { id, token, acquired_at, expires_at, claim_by, .. } = flat;
        let details = Details {
            key: flat.key,
            project: flat.project,
            owner: flat.owner,
            user: flat.user,
            pull: flat.pull,
            mode: flat.mode,
            priority: flat.priority,
            sticky: flat.sticky,
            lease_ms: flat.lease_ms,
            queue: flat.queue,
            max_wait_ms: flat.max_wait_ms,
            max_age_ms: flat.max_age_ms,
            metadata: flat.metadata,
        };
        Self { id, details, token, acquired_at, expires_at, claim_by }
    }
}

impl From<&LockRecord> for LockView {
    fn from(record: &LockRecord) -> Self {
        Self {
            id: record.request.id.clone(),
            details: Details::from(&*record.request),
            token: record.token,
            acquired_at: record.acquired_at,
            expires_at: record.expires_at,
            claim_by: record.claim_by,
        }
    }
}

impl From<LockView> for LockRecord {
    fn from(view: LockView) -> Self {
        Self {
            request: Arc::new(view.details.into_request(view.id)),
            token: view.token,
            acquired_at: view.acquired_at,
            expires_at: view.expires_at,
            claim_by: view.claim_by,
        }
    }
}

/// Turns records into views.
pub(super) fn lock_views(records: &[LockRecord]) -> Vec<LockView> {
    records.iter().map(LockView::from).collect()
}

/// Turns views back into records.
pub(super) fn records(views: Vec<LockView>) -> Vec<LockRecord> {
    views.into_iter().map(LockRecord::from).collect()
}

/// A request that does not hold a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestView {
    /// Its id.
    pub request_id: RequestId,
    /// What was asked for, by whom.
    #[serde(flatten)]
    pub details: Details,
}

impl From<&AcquireRequest> for RequestView {
    fn from(request: &AcquireRequest) -> Self {
        Self { request_id: request.id.clone(), details: Details::from(request) }
    }
}

impl From<RequestView> for AcquireRequest {
    fn from(view: RequestView) -> Self {
        view.details.into_request(view.request_id)
    }
}

/// A place in the line for a resource, as the one who stands there sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceView {
    /// The request that waits; an earlier one of the same owner if there was one.
    #[serde(flatten)]
    pub request: RequestView,
    /// 1 for the next in line.
    pub position: usize,
    /// How many wait, this one included.
    pub depth: usize,
    /// Expected wait; `null` while it is not known.
    pub eta_ms: Option<u64>,
    /// When it joined.
    pub enqueued_at: Timestamp,
    /// When it gives up; `null` if it does not.
    pub gives_up_at: Option<Timestamp>,
    /// Names this entry of the line: a later one of the same id has another.
    pub generation: u64,
    /// Who holds the resource now.
    pub holders: Vec<LockView>,
}

impl From<&QueuePlace> for PlaceView {
    fn from(place: &QueuePlace) -> Self {
        Self {
            request: RequestView::from(&*place.request),
            position: place.position,
            depth: place.depth,
            eta_ms: None,
            enqueued_at: place.enqueued_at,
            gives_up_at: place.gives_up_at,
            generation: place.generation,
            holders: lock_views(&place.holders),
        }
    }
}

impl From<PlaceView> for QueuePlace {
    fn from(view: PlaceView) -> Self {
        Self {
            request: Arc::new(view.request.into()),
            position: view.position,
            depth: view.depth,
            enqueued_at: view.enqueued_at,
            gives_up_at: view.gives_up_at,
            holders: records(view.holders),
            generation: view.generation,
        }
    }
}

/// How and when a request came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedView {
    /// Why.
    pub reason: EndReason,
    /// When.
    pub at: Timestamp,
    /// The token it held last; `null` if it never held the lock.
    pub token: Option<FencingToken>,
}

impl From<&Ended> for EndedView {
    fn from(ended: &Ended) -> Self {
        Self { reason: ended.reason, at: ended.at, token: ended.token }
    }
}

impl From<EndedView> for Ended {
    fn from(view: EndedView) -> Self {
        Self { reason: view.reason, at: view.at, token: view.token }
    }
}

/// A request that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedView {
    /// The request.
    pub request_id: RequestId,
    /// What it asked for.
    pub key: ResourceKey,
    /// How it ended.
    #[serde(flatten)]
    pub ended: EndedView,
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;

    pub(in crate::api) fn request(id: &str) -> AcquireRequest {
        let project = ProjectKey::new("acme/infra", "net", "default").unwrap().host("h");
        AcquireRequest::new(project.key().unwrap(), OwnerId::new("acme/infra#7").unwrap())
            .id(RequestId::new(id).unwrap())
            .priority(Priority::Critical)
            .wait(Wait::AtMost(Duration::from_secs(60)))
            .user("ann")
            .pull(PullRequest::new("acme/infra", 7).unwrap())
    }

    pub(in crate::api) fn record(id: &str) -> LockRecord {
        LockRecord {
            request: Arc::new(request(id)),
            token: FencingToken::from_u64(1_764_000_000_123_456),
            acquired_at: Timestamp::from_micros(1_764_000_000_123_456),
            expires_at: Some(Timestamp::from_micros(1_764_000_030_123_456)),
            claim_by: None,
        }
    }

    pub(in crate::api) fn place(id: &str) -> QueuePlace {
        QueuePlace {
            request: Arc::new(request(id)),
            position: 2,
            depth: 5,
            enqueued_at: Timestamp::from_micros(1_764_000_000_000_001),
            gives_up_at: Some(Timestamp::from_micros(1_764_000_060_000_001)),
            holders: vec![record("h1")],
            generation: 9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Through JSON text and back: what the two ends really exchange.
    fn journey<V: Serialize + for<'de> Deserialize<'de>>(view: &V) -> V {
        serde_json::from_str(&serde_json::to_string(view).unwrap()).unwrap()
    }

    #[test]
    fn records_and_places_survive_the_journey() {
        let (record, place) = (samples::record("a"), samples::place("b"));
        assert_eq!(LockRecord::from(journey(&LockView::from(&record))), record);
        assert_eq!(QueuePlace::from(journey(&PlaceView::from(&place))), place);
    }

    #[test]
    fn a_lock_names_its_project_and_its_id() {
        let json = serde_json::to_value(LockView::from(&samples::record("a"))).unwrap();
        assert_eq!(json["id"], "a");
        assert_eq!(json["project"]["repo"], "acme/infra");
        assert_eq!(json["expires_at"], "2025-11-24T16:00:30.123456Z");
        assert_eq!(json["lease_ms"], 30_000);
    }

    #[test]
    fn views_with_more_members_than_we_know_are_read() {
        let mut json = serde_json::to_value(LockView::from(&samples::record("a"))).unwrap();
        json["of_tomorrow"] = 1.into();
        assert_eq!(LockRecord::from(serde_json::from_value::<LockView>(json).unwrap()), samples::record("a"));
    }
}
