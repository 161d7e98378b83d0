//! Stable error codes. Owns the list; which error has which code is said where the error is.

/// A stable code that scripts and alerts may rely on. Causes and remedies: `docs/errors.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// Held by somebody else.
    LockHeld,
    /// No such lock or request.
    NotFound,
    /// The lock was held and is lost: expired, transferred, released by force.
    LockLost,
    /// The request was chosen to end a deadlock.
    Deadlock,
    /// The line is full.
    QueueOverflow,
    /// The request waited as long as it was allowed to.
    WaitTimeout,
    /// The store cannot be reached, or the outcome is unknown.
    Unavailable,
    /// A limit of the store is reached: locks, disk, memory.
    ResourceExhausted,
    /// The request itself is wrong.
    InvalidRequest,
    /// The request id was used before, for something else or something finished.
    RequestReused,
    /// Not allowed.
    Denied,
    /// Stored data is damaged.
    Corrupt,
}

impl ErrorCode {
    /// All codes, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::LockHeld,
        Self::NotFound,
        Self::LockLost,
        Self::Deadlock,
        Self::QueueOverflow,
        Self::WaitTimeout,
        Self::Unavailable,
        Self::ResourceExhausted,
        Self::InvalidRequest,
        Self::RequestReused,
        Self::Denied,
        Self::Corrupt,
    ];

    /// The code as written: `EL001` …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LockHeld => "EL001",
            Self::NotFound => "EL002",
            Self::LockLost => "EL003",
            Self::Deadlock => "EL004",
            Self::QueueOverflow => "EL005",
            Self::WaitTimeout => "EL006",
            Self::Unavailable => "EL007",
            Self::ResourceExhausted => "EL008",
            Self::InvalidRequest => "EL009",
            Self::RequestReused => "EL010",
            Self::Denied => "EL011",
            Self::Corrupt => "EL012",
        }
    }

    /// A short title for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::LockHeld => "lock is held",
            Self::NotFound => "no such lock or request",
            Self::LockLost => "lock was lost",
            Self::Deadlock => "deadlock",
            Self::QueueOverflow => "queue is full",
            Self::WaitTimeout => "wait timed out",
            Self::Unavailable => "store is not available",
            Self::ResourceExhausted => "limit reached",
            Self::InvalidRequest => "invalid request",
            Self::RequestReused => "request id was used before",
            Self::Denied => "not allowed",
            Self::Corrupt => "stored data is damaged",
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for ErrorCode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|code| code.as_str() == text).ok_or(())
    }
}
