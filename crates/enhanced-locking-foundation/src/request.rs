//! What a caller asks for. Owns [`AcquireRequest`] and its identity; what becomes of it is in `outcome` and `record`.

use std::time::Duration;

use crate::text::{check, text_newtype};
use crate::{Lease, LockMode, Metadata, OwnerId, Priority, PullRequest, ResourceKey, ValueError, Wait};

/// Request ids are part of addresses: printable ASCII without spaces and slashes.
fn check_id(what: &'static str, value: &str, max: usize) -> Result<(), ValueError> {
    check(what, value, max)?;
    // Addresses take these two for the place itself and the one above.
    if matches!(value, "." | "..") {
        return Err(ValueError::OutOfRange {
            what,
            given: value.to_owned(),
            allowed: "anything but . and ..",
        });
    }
    match value.find(|c: char| !c.is_ascii_graphic() || "/\\?#%\"<>".contains(c)) {
        Some(at) => Err(ValueError::Character {
            what,
            at,
            allowed: "letters, digits and any of -_.:~!@$&'()*+,;=|^`{}[]",
        }),
        None => Ok(()),
    }
}

text_newtype! {
    /// Identity of one request, from asking through waiting to holding: also the id of the lock it is granted.
    ///
    /// Chosen by the caller so that a retry after a lost reply is recognised (design §4, "request id").
    /// Must be unique for ever; use [`RequestId::generate`].
    RequestId, "request id", 128, check_id
}

impl RequestId {
    /// A fresh id: a UUID of version 7, so that ids sort by the time they were made.
    #[must_use]
    pub fn generate() -> Self {
        let mut buffer = uuid::Uuid::encode_buffer();
        Self((&*uuid::Uuid::now_v7().hyphenated().encode_lower(&mut buffer)).into())
    }
}

/// A request for one lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcquireRequest {
    /// Identity of the request.
    pub id: RequestId,
    /// What is to be locked.
    pub key: ResourceKey,
    /// Who asks.
    pub owner: OwnerId,
    /// The person behind the owner, for people to read.
    pub user: Option<String>,
    /// The pull request the owner stands for; closing it releases its locks and leaves its lines.
    pub pull: Option<PullRequest>,
    /// Alone or together with others.
    pub mode: LockMode,
    /// How important it is.
    pub priority: Priority,
    /// How long the lock lives without a sign of life.
    pub lease: Lease,
    /// Whether and how long it may stand in line.
    pub wait: Wait,
    /// The longest the lock may be held in all, renewals included; `None` for no such bound.
    pub max_age: Option<Duration>,
    /// Labels to show.
    pub metadata: Metadata,
}

impl AcquireRequest {
    /// The longest user name, in bytes.
    pub const MAX_USER_BYTES: usize = 256;

    /// An exclusive request of normal priority with a fresh id and the default lease, willing to wait.
    #[must_use]
    pub fn new(key: ResourceKey, owner: OwnerId) -> Self {
        Self {
            id: RequestId::generate(),
            key,
            owner,
            user: None,
            pull: None,
            mode: LockMode::default(),
            priority: Priority::default(),
            lease: Lease::default(),
            wait: Wait::default(),
            max_age: None,
            metadata: Metadata::default(),
        }
    }

    /// Sets the id: for a retry of an earlier request.
    #[must_use]
    pub fn id(mut self, id: RequestId) -> Self {
        self.id = id;
        self
    }

    /// Sets the mode.
    #[must_use]
    pub fn mode(mut self, mode: LockMode) -> Self {
        self.mode = mode;
        self
    }

    /// Asks to share.
    #[must_use]
    pub fn shared(self) -> Self {
        self.mode(LockMode::Shared)
    }

    /// Sets the priority.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the lease.
    #[must_use]
    pub fn lease(mut self, lease: Lease) -> Self {
        self.lease = lease;
        self
    }

    /// Asks for a lock that stays until it is released.
    #[must_use]
    pub fn sticky(self) -> Self {
        self.lease(Lease::Sticky)
    }

    /// Sets how long it may wait.
    #[must_use]
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// Sets the pull request.
    #[must_use]
    pub fn pull(mut self, pull: PullRequest) -> Self {
        self.pull = Some(pull);
        self
    }

    /// Sets the user.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the longest age of the lock.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// Sets the labels.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Checks the values that their types do not: durations and the user's name.
    ///
    /// # Errors
    /// [`ValueError`] for a lease, wait or maximum age below a millisecond or above 366 days, or a bad user name.
    pub fn check(&self) -> Result<(), ValueError> {
        const ALLOWED: std::ops::RangeInclusive<Duration> =
            Wait::SHORTEST..=Duration::from_secs(366 * 24 * 60 * 60);
        let wait = match self.wait {
            Wait::AtMost(duration) => Some(duration),
            Wait::No | Wait::Forever => None,
        };
        for (what, duration) in [("lease", self.lease.duration()), ("wait", wait), ("max_age", self.max_age)]
        {
            if let Some(duration) = duration
                && !ALLOWED.contains(&duration)
            {
                let given = format!("{duration:?}");
                return Err(ValueError::OutOfRange { what, given, allowed: "1 ms to 366 days" });
            }
        }
        self.user.as_deref().map_or(Ok(()), |user| check("user", user, Self::MAX_USER_BYTES))
    }

    /// Its address: the key and the id.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        Ticket { key: self.key.clone(), id: self.id.clone() }
    }

    /// Whether `other` is this request sent again (same id, key, owner and mode), and not another one under the same id.
    #[must_use]
    pub fn is_retry_of(&self, other: &Self) -> bool {
        self.id == other.id && self.key == other.key && self.owner == other.owner && self.mode == other.mode
    }
}

/// The address of a request: which key's line or holders to look at, and which entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// The key asked for.
    pub key: ResourceKey,
    /// The request's id.
    pub id: RequestId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_cannot_stand_in_an_address_are_refused() {
        for id in ["", ".", "..", "a b", "a/b", "ü", "a?b", "a%20"] {
            assert!(RequestId::new(id).is_err(), "{id:?}");
        }
        assert!(RequestId::new("ci-run.42:retry~1").is_ok());
    }

    #[test]
    fn generated_ids_are_valid_and_different() {
        let (a, b) = (RequestId::generate(), RequestId::generate());
        assert_ne!(a, b);
        assert_eq!(RequestId::new(a.as_str()), Ok(a));
    }
}
