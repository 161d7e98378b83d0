//! What happened, in order (invariant 9). Owns events and the cursor that resumes a feed; sinks belong to the manager.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{AcquireRequest, EndReason, FencingToken, OwnerId, Priority, Timestamp, ValueError};

/// One change of state. Every change has exactly one event; sequences have no gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockEvent {
    /// Which of the store's streams: always 0 in the table; a Redis backend has one per bucket.
    pub stream: u32,
    /// Its number in the stream: 1, 2, 3 …
    pub seq: u64,
    /// Server time of the change.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// The request it happened to; `None` for events of the store itself.
    pub request: Option<Arc<AcquireRequest>>,
    /// The token in question, if the request held the lock.
    pub token: Option<FencingToken>,
}

/// What happened to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// It joined the line.
    Queued {
        /// The place it got; 1 for the next in line.
        position: usize,
    },
    /// It got the lock at once.
    Acquired,
    /// It got the lock by hand-off, after waiting.
    Granted {
        /// How long it had waited, in microseconds.
        waited_us: u64,
    },
    /// It claimed the lock it had been granted.
    Claimed,
    /// It renewed its lease.
    Renewed,
    /// Its priority was changed.
    Reprioritised {
        /// The priority it had.
        from: Priority,
    },
    /// The lock got a new owner: the one in the event's request.
    Transferred {
        /// The owner it had.
        from: OwnerId,
    },
    /// It came to its end.
    Ended {
        /// Why.
        reason: EndReason,
        /// Who caused it, if it was not the owner or the clock.
        cause: Cause,
    },
    /// The store was opened again; leases that ran were given their full time anew.
    Resumed {
        /// How many holders and waiters were given time.
        extended: usize,
    },
}

impl EventKind {
    /// The name used in the API and in files.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Acquired => "acquired",
            Self::Granted { .. } => "granted",
            Self::Claimed => "claimed",
            Self::Renewed => "renewed",
            Self::Reprioritised { .. } => "reprioritised",
            Self::Transferred { .. } => "transferred",
            Self::Ended { reason, .. } => reason.as_str(),
            Self::Resumed { .. } => "resumed",
        }
    }
}

/// Who ended a request, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Cause {
    /// The person or system that acted; empty if it was the owner or the clock.
    pub actor: String,
    /// The reason it gave; empty if it gave none.
    pub reason: String,
}

impl Cause {
    /// The longest actor, in bytes.
    pub const MAX_ACTOR_BYTES: usize = 256;
    /// The longest reason, in bytes.
    pub const MAX_REASON_BYTES: usize = 1024;

    /// The owner itself, or the clock.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Somebody, for a reason.
    ///
    /// # Errors
    /// [`ValueError`] if either is empty, too long or has control characters.
    ///
    /// ```
    /// use enhanced_locking_foundation::Cause;
    /// assert_eq!(Cause::new("ann", " stuck ")?.reason, "stuck");
    /// assert!(Cause::new("ann", "   ").is_err(), "blanks are no reason");
    /// # Ok::<(), enhanced_locking_foundation::ValueError>(())
    /// ```
    pub fn new(actor: &str, reason: &str) -> Result<Self, ValueError> {
        let (actor, reason) = (Self::check_actor(actor)?, Self::check_reason(reason)?);
        Ok(Self { actor: actor.to_owned(), reason: reason.to_owned() })
    }

    /// An actor without the blanks around it.
    ///
    /// # Errors
    /// [`ValueError`] if nothing is left of it, or if it is too long or has control characters.
    pub fn check_actor(text: &str) -> Result<&str, ValueError> {
        let text = text.trim();
        crate::text::check("actor", text, Self::MAX_ACTOR_BYTES).map(|()| text)
    }

    /// A reason without the blanks around it.
    ///
    /// # Errors
    /// [`ValueError`] if nothing is left of it, or if it is too long or has control characters.
    pub fn check_reason(text: &str) -> Result<&str, ValueError> {
        let text = text.trim();
        crate::text::check("reason", text, Self::MAX_REASON_BYTES).map(|()| text)
    }
}

/// How far a reader of the feed has come: the last sequence seen of every stream.
///
/// Written as `0:17` or `3:7,9:22`; the empty text is the beginning.
///
/// ```
/// use enhanced_locking_foundation::EventCursor;
/// let cursor: EventCursor = "3:7,9:22".parse()?;
/// assert_eq!((cursor.seen(3), cursor.seen(4)), (7, 0));
/// assert_eq!(cursor.to_string(), "3:7,9:22");
/// # Ok::<(), enhanced_locking_foundation::ValueError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventCursor(BTreeMap<u32, u64>);

impl EventCursor {
    /// The longest text accepted, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Before the first event.
    #[must_use]
    pub fn start() -> Self {
        Self::default()
    }

    /// The last sequence seen of a stream; 0 if none.
    #[must_use]
    pub fn seen(&self, stream: u32) -> u64 {
        self.0.get(&stream).copied().unwrap_or(0)
    }

    /// Notes that everything of a stream up to `seq` was seen.
    pub fn advance(&mut self, stream: u32, seq: u64) {
        let seen = self.0.entry(stream).or_default();
        *seen = seq.max(*seen);
    }
}

impl std::fmt::Display for EventCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (stream, seq)) in self.0.iter().enumerate() {
            write!(f, "{}{stream}:{seq}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::str::FromStr for EventCursor {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::MAX_BYTES {
            return Err(ValueError::TooLong { what: "event cursor", len: text.len(), max: Self::MAX_BYTES });
        }
        let mut cursor = Self::start();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let parsed = part.split_once(':').and_then(|(s, n)| Some((s.parse().ok()?, n.parse().ok()?)));
            let (stream, seq) =
                parsed.ok_or_else(|| ValueError::Cursor { given: text.chars().take(64).collect() })?;
            cursor.advance(stream, seq);
        }
        Ok(cursor)
    }
}

/// A piece of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The events after the cursor, oldest first.
    pub events: Vec<LockEvent>,
    /// Where to go on.
    pub next: EventCursor,
    /// Whether events after the given cursor are no longer kept: the reader must look at the state anew.
    pub missed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_never_go_back() {
        let mut cursor = EventCursor::start();
        cursor.advance(0, 9);
        cursor.advance(0, 4);
        assert_eq!(cursor.seen(0), 9);
    }

    #[test]
    fn blanks_are_neither_an_actor_nor_a_reason() {
        assert_eq!(Cause::new("a", " \t\u{a0}"), Err(ValueError::Empty { what: "reason" }));
        assert_eq!(Cause::new("  ", "r"), Err(ValueError::Empty { what: "actor" }));
        assert_eq!(Cause::new("a ", " two words\n").unwrap(), Cause::new("a", "two words").unwrap());
    }

    #[test]
    fn nonsense_is_not_a_cursor() {
        for text in ["x", "1", "1:", ":1", "1:2:3", "-1:2", "0:99999999999999999999"] {
            assert!(text.parse::<EventCursor>().is_err(), "{text}");
        }
    }
}
