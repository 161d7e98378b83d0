//! How long a lock is held and how long a request may wait. Owns the two policies of a request; judging them by a clock is the table's work.

use std::time::Duration;

/// How long a lock is held without a sign of life (design §4, "sticky and leased").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lease {
    /// Until it is released, transferred or forced: a pull request's lock lives for days.
    Sticky,
    /// Until this long after the last renewal: a process that dies loses its lock.
    For(Duration),
}

impl Lease {
    /// The lease of a process that states none.
    pub const DEFAULT: Self = Self::For(Duration::from_secs(30));

    /// The duration of a leased lock, `None` for a sticky one.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::Sticky => None,
            Self::For(duration) => Some(duration),
        }
    }

    /// Whether the lock never runs out.
    #[must_use]
    pub fn is_sticky(self) -> bool {
        self == Self::Sticky
    }
}

impl Default for Lease {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Whether a request may stand in line, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wait {
    /// Not at all: held now, or refused.
    No,
    /// At most this long after it joined the line.
    AtMost(Duration),
    /// As long as it takes.
    #[default]
    Forever,
}

impl Wait {
    /// The shortest wait that a request may ask for.
    pub const SHORTEST: Duration = Duration::from_millis(1);

    /// What is left of a wait that has begun. Never less than may be asked for: of that a store would say that it is
    /// invalid, and not that the time is over.
    ///
    /// ```
    /// use enhanced_locking_foundation::Wait;
    /// use std::time::Duration;
    /// assert_eq!(Wait::rest(Duration::from_secs(2)), Wait::AtMost(Duration::from_secs(2)));
    /// assert_eq!(Wait::rest(Duration::from_micros(300)), Wait::AtMost(Wait::SHORTEST));
    /// ```
    #[must_use]
    pub fn rest(left: Duration) -> Self {
        Self::AtMost(left.max(Self::SHORTEST))
    }

    /// Whether the request may stand in line at all.
    #[must_use]
    pub fn may_queue(self) -> bool {
        self != Self::No
    }

    /// The longest wait; `None` if it may wait for ever.
    #[must_use]
    pub fn limit(self) -> Option<Duration> {
        match self {
            Self::No => Some(Duration::ZERO),
            Self::AtMost(duration) => Some(duration),
            Self::Forever => None,
        }
    }
}
