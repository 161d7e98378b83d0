//! Small checks that every body needs. Owns the range of durations and the collecting of field problems.

use std::time::Duration;

use enhanced_locking_foundation::ValueError;

use super::{FieldProblem, Problem};

/// The longest duration a body may name, in milliseconds: ten years. Longer ones are mistakes of unit.
pub const MAX_DURATION_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

/// A duration as whole milliseconds, rounded up so that a short one never becomes zero.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// Checks a duration that must not be zero.
pub(super) fn positive(what: &'static str, ms: u64) -> Result<Duration, ValueError> {
    if ms == 0 || ms > MAX_DURATION_MS {
        return Err(ValueError::OutOfRange {
            what,
            given: ms.to_string(),
            allowed: "1 ms to 10 years (315360000000)",
        });
    }
    Ok(Duration::from_millis(ms))
}

/// Checks a text for people: not empty, bounded, no control characters.
pub(super) fn text(what: &'static str, value: &str, max: usize) -> Result<(), ValueError> {
    if value.is_empty() {
        return Err(ValueError::Empty { what });
    }
    if value.len() > max {
        return Err(ValueError::TooLong { what, len: value.len(), max });
    }
    match value.find(char::is_control) {
        Some(at) => Err(ValueError::ControlCharacter { what, at }),
        None => Ok(()),
    }
}

/// Collects what is wrong with a body, field by field, so that a caller sees everything at once.
#[derive(Debug, Default)]
pub(super) struct Checks {
    problems: Vec<FieldProblem>,
}

impl Checks {
    /// Notes a problem with a field.
    pub(super) fn refuse(&mut self, path: &str, message: impl std::fmt::Display) {
        self.problems.push(FieldProblem { path: path.to_owned(), message: message.to_string() });
    }

    /// The value, or `None` and a note of what is wrong with it.
    pub(super) fn keep<T>(&mut self, path: &str, value: Result<T, ValueError>) -> Option<T> {
        value.map_err(|error| self.refuse(path, error)).ok()
    }

    /// The value if everything was right.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Box<Problem>> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(Box::new(Problem::invalid(self.problems))),
        }
    }
}
