//! The invariants of design §3 as predicates over a [`Trace`], each with a name that does not change.
//!
//! They look at a store through its port only: answers, events, views. Does not own the lock rules: what exactly
//! an operation answers is checked by `conformance` and by comparing two stores.
//!
//! | name | says | source |
//! |---|---|---|
//! | LK-1 | one exclusive holder, or only shared ones | design §3, invariant 1 |
//! | LK-2 | tokens of a key only rise | design §3, invariant 2 |
//! | LK-3 | nobody waits for what is free | design §3, invariant 3 |
//! | LK-4 | a waiter is overtaken only inside its credit window | design §3, invariant 4 |
//! | LK-5 | refusals and repetitions change nothing | design §3, invariant 5 |
//! | LK-9 | events have no gaps, and tell the whole state | design §3, invariant 9 |
//! | LK-10 | the figures agree with the state | backend port, `Stats` |
//!
//! Invariants 6, 7 and 8 concern layers above a store and have their checks there.

mod checks;
mod fold;

pub use fold::{Fold, FoldedKey, Holding, Waiting};

use std::fmt;

use crate::conformance::FixturePolicy;
use crate::strategy::{Step, Trace};

/// One invariant.
#[derive(Clone, Copy, Debug)]
pub struct Invariant {
    /// Its name, for ever: `LK-1` …
    pub id: &'static str,
    /// What it says.
    pub title: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    check: fn(&Trace, &FixturePolicy) -> Result<(), Finding>,
}

/// At which step something was found, and what.
pub(crate) type Finding = (usize, String);

/// All invariants a store has to keep.
pub const ALL: [Invariant; 7] = [
    Invariant {
        id: "LK-1",
        title: "at most one exclusive holder, or only shared ones, whose time has not run out",
        source: "design §3, invariant 1",
        check: checks::exclusion,
    },
    Invariant {
        id: "LK-2",
        title: "the tokens of a key strictly rise",
        source: "design §3, invariant 2",
        check: checks::tokens,
    },
    Invariant {
        id: "LK-3",
        title: "the first in line waits for a holder that is in its way",
        source: "design §3, invariant 3",
        check: checks::wake_ups,
    },
    Invariant {
        id: "LK-4",
        title: "a waiter is overtaken only inside its credit window",
        source: "design §3, invariant 4; design §4, order",
        check: checks::order,
    },
    Invariant {
        id: "LK-5",
        title: "refusals and repetitions change nothing that time had not ended anyway",
        source: "design §3, invariant 5",
        check: checks::refusals,
    },
    Invariant {
        id: "LK-9",
        title: "events have no gaps, and fold to the state",
        source: "design §3, invariant 9",
        check: checks::feed,
    },
    Invariant {
        id: "LK-10",
        title: "the figures agree with the state",
        source: "backend port, Stats",
        check: checks::figures,
    },
];

impl Invariant {
    /// Checks a whole trace. `policy` is what the store was opened with.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self, trace: &Trace, policy: &FixturePolicy) -> Result<(), Box<Violation>> {
        (self.check)(trace, policy).map_err(|(index, what)| {
            let steps = trace.steps.iter().take(index + 1).map(|step| step.step.clone()).collect();
            let state = trace.steps.get(index).map_or_else(Vec::new, |step| step.view_words.clone());
            Box::new(Violation { id: self.id, title: self.title, index, what, state, steps })
        })
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub id: &'static str,
    /// What it says.
    pub title: &'static str,
    /// After which step, counted from 0.
    pub index: usize,
    /// What was found.
    pub what: String,
    /// The state then.
    pub state: Vec<String>,
    /// The steps that led there.
    pub steps: Vec<Step>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({}) does not hold after step {}: {}", self.id, self.title, self.index, self.what)?;
        for line in &self.state {
            writeln!(f, "    {line}")?;
        }
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "  {index:3} {step:?}")?;
        }
        Ok(())
    }
}

/// Checks [`ALL`] invariants.
///
/// # Errors
/// The first [`Violation`].
///
/// ```
/// use enhanced_locking_testkit::{conformance::FixturePolicy, invariants, strategy::Trace};
/// assert!(invariants::check(&Trace::default(), &FixturePolicy::default()).is_ok());
/// ```
pub fn check(trace: &Trace, policy: &FixturePolicy) -> Result<(), Box<Violation>> {
    ALL.iter().try_for_each(|invariant| invariant.check(trace, policy))
}

#[cfg(test)]
mod tests;
