//! What a priority is worth. Owns ranks; the line sorts by them.

use std::time::Duration;

use enhanced_locking_foundation::{Priority, Timestamp};

/// The credit of each priority: how much earlier a request counts as having come.
///
/// rank = enqueue time − credit, fixed when a request joins the line (design §4, "order"). This *is* linear
/// aging, without ever sorting again: a request is overtaken only by requests that arrive later by less than
/// the difference of their credits, so nobody starves. All credits zero is first come, first served.
///
/// ```
/// use std::time::Duration;
/// use enhanced_locking_foundation::{Priority, Timestamp};
/// use enhanced_locking_queue::CreditTable;
///
/// let credits = CreditTable::default_aging();
/// let noon = Timestamp::from_micros(43_200_000_000);
/// let later = noon.plus(Duration::from_secs(60));
/// // A critical request that comes a minute later goes first …
/// assert!(credits.rank(later, Priority::Critical) < credits.rank(noon, Priority::Normal));
/// // … one that comes a day later does not.
/// let tomorrow = noon.plus(Duration::from_secs(86_400));
/// assert!(credits.rank(tomorrow, Priority::Critical) > credits.rank(noon, Priority::Normal));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreditTable([Duration; Priority::ALL.len()]);

impl CreditTable {
    /// First come, first served: priorities are noted, and change nothing.
    #[must_use]
    pub fn fifo() -> Self {
        Self::default()
    }

    /// The credits used when priorities are switched on and none are configured.
    #[must_use]
    pub fn default_aging() -> Self {
        Self([0, 5 * 60, 15 * 60, 60 * 60, 4 * 60 * 60].map(Duration::from_secs))
    }

    /// Credits by [`Priority::index`].
    #[must_use]
    pub fn new(credits: [Duration; Priority::ALL.len()]) -> Self {
        Self(credits)
    }

    /// The credit of a priority.
    #[must_use]
    pub fn credit(&self, priority: Priority) -> Duration {
        self.0[priority.index()]
    }

    /// The rank of a request that joined the line at `enqueued_at`.
    #[must_use]
    pub fn rank(&self, enqueued_at: Timestamp, priority: Priority) -> Rank {
        let micros = |n: u128| i64::try_from(n).unwrap_or(i64::MAX);
        let credit = micros(self.credit(priority).as_micros());
        Rank(micros(enqueued_at.as_micros().into()).saturating_sub(credit))
    }
}

/// A place in time that orders a line: lower goes first. Microseconds; may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(i64);

impl Rank {
    /// The rank as a number, exact as a double up to 2^53 (the year 2255).
    #[must_use]
    pub fn as_micros(self) -> i64 {
        self.0
    }
}
