//! Why a stored value cannot be read. Owns the messages: they name members, and never quote what is in them.

/// A stored value that Atlantis could not have read either, or that is beyond our limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There is nothing.
    #[error("the value is empty; Atlantis cannot read it either, delete the record")]
    Empty,
    /// Too many bytes.
    #[error("the value has {len} bytes, at most {max} are read; delete the record or shorten it")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The most that is read, in bytes.
        max: usize,
    },
    /// Not JSON.
    #[error(
        "the value is not JSON from byte {at} on; Atlantis cannot read it either, delete or repair the record"
    )]
    NotJson {
        /// Where the grammar is broken, in bytes.
        at: usize,
    },
    /// Too many brackets inside each other.
    #[error("the value has more than {max} brackets inside each other; delete or repair the record")]
    TooDeep {
        /// How many are allowed.
        max: usize,
    },
    /// Another kind of value than Atlantis writes.
    #[error(
        "{member} is {found} where {wanted} belongs; Atlantis cannot read it either, delete or repair the record"
    )]
    WrongKind {
        /// The path of the member.
        member: &'static str,
        /// What belongs there.
        wanted: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A number that is not a whole one, or has a fraction or an exponent.
    #[error(
        "{member} is not written as a whole number; Atlantis cannot read it either, delete or repair the record"
    )]
    NotWhole {
        /// The path of the member.
        member: &'static str,
    },
    /// A whole number beyond 64 bits.
    #[error("{member} is beyond 64 bits; Atlantis cannot read it either, delete or repair the record")]
    OutOfRange {
        /// The path of the member.
        member: &'static str,
    },
    /// Not a time as Go accepts it.
    #[error(
        "{member} is not an RFC 3339 time such as 2026-01-31T12:00:00.5+01:00; Atlantis cannot read it either, delete or repair the record"
    )]
    Time {
        /// The path of the member.
        member: &'static str,
    },
    /// More members that we do not know than are kept.
    #[error(
        "{member} has more than {max} members that no known Atlantis writes; delete or repair the record"
    )]
    TooManyMembers {
        /// The path of the object.
        member: &'static str,
        /// How many are kept.
        max: usize,
    },
}
