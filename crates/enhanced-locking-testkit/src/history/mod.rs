//! Records what concurrent clients did and saw, and checks afterwards that it can have been a lock.
//!
//! The recorder's clock and the server's must run at the same rate; they need not show the same time.
//! Owns the [`Recorder`], the rules H-1 to H-5, the linearizability search, and clients to [`drive`] a store with. What
//! goes wrong meanwhile, in the store or on the way to it, is the test's. An outcome that is not known is a value of its own, never a guess.
//!
//! | rule | says | source |
//! |---|---|---|
//! | H-1 | no two holders that exclude each other at one time, by clients' and by server time | invariant 1 |
//! | H-2 | tokens rise with every grant of a key | invariant 2 |
//! | H-3 | one request has one token, and is not granted anew after its end | invariant 5 |
//! | H-4 | no acknowledged lock is lost | backend port, `Ok` |
//! | H-5 | some order of the calls, each between its call and its return, explains every answer | linearizability |

mod drive;
mod linear;
mod record;
mod rules;

pub use drive::{Workload, drive, drive_all};
pub use record::{Call, Granted, History, Op, Outcome, Pending, Recorder};

use std::fmt;

use enhanced_locking_foundation::ResourceKey;

/// Something that a lock cannot have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// The rule: `H-1` …
    pub rule: &'static str,
    /// The key in question.
    pub key: ResourceKey,
    /// What happened, with the calls that show it.
    pub what: String,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}: {}", self.rule, self.key, self.what)
    }
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Calls looked at.
    pub ops: usize,
    /// Locks that were granted.
    pub grants: usize,
    /// Everything that is wrong; empty for a correct history.
    pub defects: Vec<Defect>,
    /// Keys whose search for an order was given up because it grew too large.
    pub undecided: Vec<ResourceKey>,
}

impl Report {
    /// Whether nothing is wrong and every key was decided.
    #[must_use]
    pub fn is_correct(&self) -> bool {
        self.defects.is_empty() && self.undecided.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} calls, {} grants, {} defects", self.ops, self.grants, self.defects.len())?;
        self.defects.iter().try_for_each(|defect| writeln!(f, "  {defect}"))?;
        self.undecided.iter().try_for_each(|key| writeln!(f, "  undecided: {key}"))
    }
}

/// Checks a history by all rules, key by key.
#[must_use]
pub fn check(history: &History) -> Report {
    let mut report = Report { ops: history.ops.len(), ..Report::default() };
    for (key, ops) in history.by_key() {
        let grants = rules::grants(&ops);
        report.grants += grants.len();
        report.defects.extend(rules::check(&key, &ops, &grants, history.held_at_end.as_deref()));
        match linear::search(&ops) {
            linear::Verdict::Explained => {}
            linear::Verdict::Impossible(what) => {
                report.defects.push(Defect { rule: "H-5", key, what });
            }
            linear::Verdict::GaveUp => report.undecided.push(key),
        }
    }
    report
}

#[cfg(test)]
mod tests;
