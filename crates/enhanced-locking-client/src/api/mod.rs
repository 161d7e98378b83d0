//! The bodies of the HTTP API as types, used by the service and its clients alike (`surfaces`: HTTP).
//!
//! Owns names, shapes and the conversions from and to the foundation's values. Does no I/O: the service is
//! `enhanced-locking-server`, the transport is [`crate`]'s own. Times are RFC 3339, durations whole
//! milliseconds (`*_ms`), bodies refuse fields they do not know, views ignore them.
//!
//! | call (below [`BASE_PATH`]) | body or query → answer | port |
//! |---|---|---|
//! | `POST /locks` | [`LockBody`] → 200 or 202 [`AcquireReply`]; 409 [`ProblemKind::Busy`] with `holders` | `acquire` |
//! | `POST /locks/batch` | [`BatchBody`] → [`BatchReply`]; 409 `busy` with `blocked` | `acquire_all` |
//! | `GET /requests/{id}` | `?key=` → [`RequestReply`]; 404 [`ProblemKind::Unknown`]. Only looks | `find` |
//! | `GET /requests/{id}` | `?wait_ms=` (0 too) `&key=` → the same; keeps the place and claims | `await_turn` |
//! | `DELETE /requests/{id}` | `?key=&generation=&end_reason=&actor=&reason=` → [`CancelReply`]; 409 [`ProblemKind::Held`] with the lock in `holders`. With `key` an id that was never seen is noted as cancelled, without it is a 404 | `cancel` |
//! | `PATCH /requests/{id}` | `?key=`, [`PriorityBody`] → [`RequestReply`]; 409 [`ProblemKind::NotQueued`] | `reprioritise` |
//! | `GET /locks/{id}` | `?key=` → [`HeldReply`] | |
//! | `DELETE /locks/{id}` | `?token=&key=` → [`ReleaseReply`]; 409 or 404 [`ProblemKind::NotHeld`] | `release` |
//! | `POST /locks/{id}/renew` | `?key=`, [`RenewBody`] → [`HeldReply`] | |
//! | `POST /locks/renew` | [`RenewalsBody`] → [`RenewalsReply`] | `renew` |
//! | `POST /locks/{id}/transfer` | `?key=`, [`TransferBody`] → [`HeldReply`] | `transfer` |
//! | `POST /locks/{id}/force-release` | `?key=`, [`ForceBody`] → [`ForceReply`] | |
//! | `POST /locks/force-release` | [`ForceKeyBody`] → [`ForceReply`] | `force_release` |
//! | `POST /locks/release-by-pull`, `/locks/release-by-owner` | [`ReleaseByPullBody`], [`ReleaseByOwnerBody`] → [`ClearedReply`] | `clear` |
//! | `POST /webhooks/github`, `/webhooks/gitlab` | the sender's → [`WebhookReply`] | `clear` |
//! | `GET /locks` | `?prefix=&owner=&repo=&pull=&limit=&cursor=` → [`LocksPage`] | `locks` |
//! | `GET /resources` | `?key=&waiters=` → [`QueueView`]; 404 if free and nobody waits | `resource` |
//! | `GET /queue/status` | `?prefix=&limit=&cursor=&waiters=` → [`QueueStatus`] | `queues` |
//! | `GET /wait-edges` | `?owner=` or `?limit=&cursor=` → [`WaitEdgesPage`] | `wait_edges` |
//! | `GET /stats`, `/time`, `/info` | → [`StatsView`], [`TimeReply`], [`InfoView`] | `stats`, `now`, `info` |
//! | `GET /ping` | → 204 | `ping` |
//! | `GET /events/page` | `?after=&limit=&wait_ms=` → [`EventPageView`] | `events`, `await_events` |
//! | `GET /events/end` | → [`CursorReply`] | `events_end` |
//! | `GET /events` | server-sent [`EventView`]s, resumed by `Last-Event-ID` | |
//! | `POST /cleanup` | [`CleanupBody`] → [`CleanupReply`] | `sweep` |
//! | `POST /backup` | → [`BackupReply`] | |
//! | `GET /cluster/status`, `/cluster/nodes` | → [`ClusterView`], [`NodesReply`] | |
//! | `GET /health`, `/health/detailed` | → [`HealthView`], [`HealthDetailView`] | |
//!
//! ```
//! use enhanced_locking_client::api::{LockBody, LockDefaults};
//!
//! let body: LockBody = serde_json::from_str(r#"{"key": "demo", "owner": "me", "lease_ms": 5000}"#)?;
//! let request = body.into_request(&LockDefaults::default())?;
//! assert_eq!(request.key.as_str(), "demo");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod actions;
mod check;
mod cluster;
mod events;
mod lock_body;
mod operations;
mod problem;
mod queue;
mod refusals;
mod replies;
mod tagged;
mod views;

pub use actions::{
    BatchBody, CleanupBody, ForceBody, ForceKeyBody, PriorityBody, ReleaseByOwnerBody, ReleaseByPullBody,
    RenewBody, RenewalItem, RenewalsBody, TransferBody, TransfereeBody,
};
pub use check::{MAX_DURATION_MS, millis};
pub use cluster::{ClusterView, ConnectionView, NodeView, NodesReply, ReplicaView};
pub use events::{CursorReply, EventPageView, EventView};
pub use lock_body::{LockBody, LockDefaults, PullBody};
pub use operations::{ComponentView, HealthDetailView, HealthView, InfoView, StatsView, TimeReply};
pub use problem::{BlockedView, FieldProblem, LimitView, Problem, ProblemKind};
pub use queue::{EdgeHolder, EdgeWaiter, QueueStatus, QueueView, WaitEdgeView, WaitEdgesPage, WaiterEntry};
pub use replies::{
    AcquireReply, BackupReply, BatchReply, CancelReply, CleanupReply, ClearedReply, ForceReply, HeldReply,
    LocksPage, ReleaseReply, RenewalResult, RenewalsReply, RequestReply, WebhookReply,
};
pub use views::{Details, EndedView, FinishedView, LockView, PlaceView, RequestView, ViewError};

/// Where the API begins: every path of it stands below.
pub const BASE_PATH: &str = "/api/enhanced-locks";
