//! Values that break a rule. Owns the messages a caller sees for bad input.

use crate::ErrorCode;

/// A value that is not allowed: what was wrong, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Nothing was given.
    #[error("{what} is empty")]
    Empty {
        /// Which value.
        what: &'static str,
    },
    /// Too many bytes.
    #[error("{what} has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Which value.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The longest allowed, in bytes.
        max: usize,
    },
    /// Too many entries.
    #[error("{len} {what}, at most {max} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many were given.
        len: usize,
        /// How many are allowed.
        max: usize,
    },
    /// A control character.
    #[error("{what} has a control character at byte {at}")]
    ControlCharacter {
        /// Which value.
        what: &'static str,
        /// Where, in bytes.
        at: usize,
    },
    /// A character that is not allowed here.
    #[error("{what} has a character at byte {at} that is not allowed; allowed are {allowed}")]
    Character {
        /// Which value.
        what: &'static str,
        /// Where, in bytes.
        at: usize,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A number or duration outside its range.
    #[error("{what} is {given}, allowed is {allowed}")]
    OutOfRange {
        /// Which value.
        what: &'static str,
        /// What was given.
        given: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Not a point in time.
    #[error("{given:?} is not an RFC 3339 time since 1970, for example 2026-01-31T12:00:00Z")]
    Time {
        /// The start of what was given.
        given: String,
    },
    /// Not an event cursor.
    #[error("{given:?} is not an event cursor; pass back the id of an event unchanged")]
    Cursor {
        /// The start of what was given.
        given: String,
    },
    /// Not a page cursor.
    #[error("the page cursor is not one of ours; pass back `next` of the page before unchanged")]
    PageCursor,
}

impl ValueError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        ErrorCode::InvalidRequest
    }
}
