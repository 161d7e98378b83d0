//! A lock that is held. Owns [`LockRecord`] and the addresses callers use to act on it.

use std::sync::Arc;
use std::time::Duration;

use crate::{AcquireRequest, FencingToken, OwnerId, RequestId, ResourceKey, Timestamp};

/// One holder of one resource.
///
/// The request is shared, not copied: handing a record around costs one reference count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRecord {
    /// The request that was granted; after a transfer, with the new owner in it.
    pub request: Arc<AcquireRequest>,
    /// The fencing token of this grant.
    pub token: FencingToken,
    /// When it was granted.
    pub acquired_at: Timestamp,
    /// When it ends unless it is renewed; `None` for a sticky lock without maximum age.
    pub expires_at: Option<Timestamp>,
    /// Until when the grant must be claimed; `None` once it has been.
    pub claim_by: Option<Timestamp>,
}

impl LockRecord {
    /// The address of this grant: what release, renew and transfer want to see.
    #[must_use]
    pub fn grant(&self) -> Grant {
        Grant { key: self.request.key.clone(), id: self.request.id.clone(), token: self.token }
    }

    /// Who holds it.
    #[must_use]
    pub fn owner(&self) -> &OwnerId {
        &self.request.owner
    }

    /// When the table must look at it again: the claim window or the lease, whichever rules now.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.claim_by.or(self.expires_at)
    }

    /// Whether its time has run out.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }
}

/// The address of a grant: a stale token changes nothing (invariant 5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// What is held.
    pub key: ResourceKey,
    /// The request that was granted.
    pub id: RequestId,
    /// The token it was granted with.
    pub token: FencingToken,
}

/// A sign of life for one grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Which grant.
    pub grant: Grant,
    /// A new lease from now on; `None` keeps the one it has.
    pub lease: Option<Duration>,
}
