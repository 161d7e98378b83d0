//! The vocabulary of Enhanced Locking (roadmap PR 1): values, outcomes, events, errors, the
//! [backend port](LockBackend) and the [clock port](Clock).
//!
//! This crate owns *what things mean*. It does no I/O and takes no decision about locks: the rules are in
//! `enhanced-locking-core`, the order of a line in `enhanced-locking-queue`, storage in the adapters.
//!
//! **Read this first.** A lease alone cannot exclude. A process that is stopped for longer than its lease
//! and then continues still believes that it holds the lock. Every grant therefore carries a
//! [`FencingToken`] that only ever rises; the guarded resource must refuse a token lower than one it has
//! seen. [`FenceGuard`] is that check, ready made.
//!
//! ```
//! use enhanced_locking_foundation::{AcquireRequest, LockMode, OwnerId, Priority, ResourceKey};
//!
//! let key = ResourceKey::new("prod/network")?;
//! let request = AcquireRequest::new(key, OwnerId::new("acme/infra#42")?)
//!     .mode(LockMode::Exclusive)
//!     .priority(Priority::High)
//!     .sticky();
//! assert!(request.lease.duration().is_none());
//! # Ok::<(), enhanced_locking_foundation::ValueError>(())
//! ```
#![forbid(unsafe_code)]

mod backend;
mod clock;
mod document;
mod error;
mod event;
mod fence;
mod key;
mod lease;
mod limits;
mod metadata;
mod mode;
mod outcome;
mod owner;
mod priority;
mod project;
mod query;
mod record;
mod request;
mod text;
mod time;

pub use backend::{BackendInfo, Durability, LockBackend};
pub use clock::{Clock, ManualClock, SteadyClock};
pub use document::{DocumentLimit, DocumentName, DocumentOutcome, DocumentStore, DocumentUpdate, Expected};
pub use error::{
    AcquireError, BackendError, BackendErrorKind, ErrorCode, NotHeld, ReleaseError, ReprioritiseError,
    TransferError, ValueError,
};
pub use event::{Cause, EventCursor, EventKind, EventPage, LockEvent};
pub use fence::{FenceGuard, FencingToken, StaleToken};
pub use key::ResourceKey;
pub use lease::{Lease, Wait};
pub use limits::{Limits, Timing};
pub use metadata::Metadata;
pub use mode::LockMode;
pub use outcome::{
    AcquireOutcome, BatchOutcome, CancelOutcome, Cleared, EndReason, Ended, QueuePlace, ReleaseOutcome,
    RequestState, SweepOutcome,
};
pub use owner::{OwnerId, PullRequest, Transferee};
pub use priority::Priority;
pub use project::ProjectKey;
pub use query::{EdgeQuery, LockQuery, Page, QueueQuery, QueueView, Selector, Stats, WaitEdge, WaiterView};
pub use record::{Grant, LockRecord, Renewal};
pub use request::{AcquireRequest, RequestId, Ticket};
pub use time::Timestamp;
