//! What an acknowledged change shall survive. Owns the classes, their settings and what a shortfall is called; counting
//! copies is the driver's, taking back what did not reach enough of them the backend's.

use std::time::Duration;

use enhanced_locking_foundation::{BackendError, BackendErrorKind, Durability};

use crate::OpenError;

/// A durability class with its figures (design §6). Every process of a namespace should be given the same.
///
/// | class | a promotion that lost writes | costs |
/// |---|---|---|
/// | fast | may grant a lock again that is held; tokens tell which is the newer | nothing |
/// | durable | the same, but only for what fewer replicas had than were asked for | one round trip to the replicas |
/// | strict | grants nothing new until every lease that may have been lost has run out | a pause after a promotion |
///
/// `WAIT` is not consensus: where there are several replicas, ask for as many as leave no other one to be promoted.
/// Locks without a lease never run out, so no pause can outlast one that was lost; ask for all replicas.
///
/// ```
/// use std::time::Duration;
/// use enhanced_locking_redis::RedisDurability;
/// let class = RedisDurability::durable(2).timeout(Duration::from_millis(200));
/// assert_eq!(class.class().as_str(), "durable");
/// assert_eq!(RedisDurability::default(), RedisDurability::fast());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisDurability {
    class: Durability,
    replicas: u32,
    timeout: Duration,
    grace: Duration,
}

impl RedisDurability {
    /// How long replicas have, unless told otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(1);
    /// How long grants pause at least after a promotion, unless told otherwise.
    pub const GRACE: Duration = Duration::from_secs(30);

    /// What the server has done counts.
    #[must_use]
    pub const fn fast() -> Self {
        Self { class: Durability::Fast, replicas: 0, timeout: Self::TIMEOUT, grace: Self::GRACE }
    }

    /// What so many replicas have counts; fewer are a failure of the change.
    #[must_use]
    pub const fn durable(replicas: u32) -> Self {
        Self { class: Durability::Durable, replicas, timeout: Self::TIMEOUT, grace: Self::GRACE }
    }

    /// Durable, and after a promotion new grants pause until the longest lease has run out.
    #[must_use]
    pub const fn strict(replicas: u32) -> Self {
        Self { class: Durability::Strict, replicas, timeout: Self::TIMEOUT, grace: Self::GRACE }
    }

    /// Sets how long replicas have to take a change. Must be shorter than the timeout of commands.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long grants pause at least after a promotion, if no longer lease is known (strict only).
    ///
    /// A first lease that is longer than this and all before it, lost with a promotion, is not waited for.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The class, as it is called everywhere.
    #[must_use]
    pub const fn class(&self) -> Durability {
        self.class
    }

    /// How many replicas must have a change; 0 in the class fast.
    #[must_use]
    pub const fn replicas(&self) -> u32 {
        self.replicas
    }

    /// How long grants pause at least after a promotion; `None` if they do not.
    pub(crate) fn pause(&self) -> Option<Duration> {
        (self.class == Durability::Strict).then_some(self.grace)
    }

    /// What to wait for after a change; `None` for nothing.
    pub(crate) fn copies(&self) -> Option<Copies> {
        (self.class != Durability::Fast).then_some(Copies { replicas: self.replicas, timeout: self.timeout })
    }

    /// Refuses what cannot be kept.
    pub(crate) fn check(&self, command_timeout: Duration) -> Result<(), OpenError> {
        let Some(copies) = self.copies() else { return Ok(()) };
        if copies.replicas == 0 {
            let given = "0".to_owned();
            return Err(OpenError::Setting { what: "replicas of the class", given, allowed: "1 or more" });
        }
        if copies.timeout < Duration::from_millis(1) || copies.timeout >= command_timeout {
            return Err(OpenError::Setting {
                what: "the time that replicas have",
                given: format!("{:?}", copies.timeout),
                allowed: "from 1 ms to less than the timeout of commands",
            });
        }
        Ok(())
    }
}

impl Default for RedisDurability {
    fn default() -> Self {
        Self::fast()
    }
}

/// Which copies of a change are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copies {
    /// How many replicas must have it.
    pub(crate) replicas: u32,
    /// How long they have.
    pub(crate) timeout: Duration,
}

impl Copies {
    /// The error of a grant that was taken back.
    pub(crate) fn taken_back(self) -> BackendError {
        let Self { replicas, timeout } = self;
        let message = format!(
            "fewer than {replicas} replicas had the lock within {timeout:?}, so it was given back; try again when they are connected"
        );
        BackendError::new(BackendErrorKind::Unavailable, message)
    }

    /// The error of any other change.
    pub(crate) fn missing(self) -> BackendError {
        let Self { replicas, timeout } = self;
        let message = format!(
            "fewer than {replicas} replicas had the change within {timeout:?}; a promotion may lose it, so ask the same again"
        );
        BackendError::new(BackendErrorKind::Indeterminate, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_kept_is_accepted() {
        let timeout = Duration::from_secs(5);
        for good in [RedisDurability::fast(), RedisDurability::durable(1), RedisDurability::strict(2)] {
            assert!(good.check(timeout).is_ok(), "{good:?}");
        }
        for bad in [
            RedisDurability::durable(0),
            RedisDurability::durable(1).timeout(Duration::ZERO),
            RedisDurability::strict(1).timeout(timeout),
        ] {
            assert!(matches!(bad.check(timeout), Err(OpenError::Setting { .. })), "{bad:?}");
        }
    }

    #[test]
    fn only_fast_waits_for_nobody_and_only_strict_pauses() {
        assert_eq!(RedisDurability::fast().copies(), None);
        assert_eq!(RedisDurability::durable(1).pause(), None);
        assert_eq!(RedisDurability::strict(1).pause(), Some(RedisDurability::GRACE));
        assert_eq!(RedisDurability::strict(3).copies().map(|copies| copies.replicas), Some(3));
    }

    #[test]
    fn a_grant_that_was_taken_back_did_not_happen_and_other_changes_are_unknown() {
        let copies = Copies { replicas: 2, timeout: Duration::from_millis(50) };
        assert!(!copies.taken_back().is_indeterminate());
        assert!(copies.missing().is_indeterminate());
        assert!(copies.taken_back().is_transient());
    }
}
