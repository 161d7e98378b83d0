//! What went wrong, as the API says it: RFC 9457 with stable codes. Owns the problem; its way from and back to the port's errors is in `refusals`.

use enhanced_locking_foundation::{ErrorCode, FencingToken, LockRecord, RequestId, ResourceKey};
use serde::{Deserialize, Serialize};

use super::views::{lock_views, records};
use super::{EndedView, LockView};

/// A refusal or failure: the body of every answer with a status of 400 or more (`application/problem+json`).
///
/// ```
/// use enhanced_locking_client::api::Problem;
/// use enhanced_locking_foundation::NotHeld;
///
/// let problem = Problem::from(&NotHeld { ended: None, current: None });
/// assert_eq!((problem.status, problem.code.as_str()), (404, "EL002"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Names the type of problem: a reference to the documentation of its code.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The code in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to do about it.
    pub detail: String,
    /// The stable code, `EL001` …
    pub code: String,
    /// Which refusal exactly, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ProblemKind>,
    /// What is wrong with the request, field by field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<FieldProblem>,
    /// Who holds what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holders: Option<Vec<LockView>>,
    /// Every request of a batch that could not be granted, with those in its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Vec<BlockedView>>,
    /// The request in question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// The key in question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ResourceKey>,
    /// How the request ended, if it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndedView>,
    /// The token the lock is held with now, if the one given was stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_token: Option<FencingToken>,
    /// The limit that was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitView>,
    /// When to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// Which refusal exactly. Programs decide by it; codes are for people and alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// A value of the request is not allowed.
    Value,
    /// Held by others, and the request may not wait.
    Busy,
    /// The wait of this call is over; the request left the line.
    WaitOver,
    /// The line is full.
    QueueFull,
    /// A limit of the store is reached.
    LimitReached,
    /// The owner has it shared and asks for it exclusive.
    Upgrade,
    /// The id names another request.
    IdReused,
    /// The request is over.
    Finished,
    /// A batch names a key twice.
    DuplicateKey,
    /// Not, or no longer, held with this token.
    NotHeld,
    /// The new owner holds it already.
    AlreadyHolds,
    /// The new owner waits in another mode.
    OtherMode,
    /// The request does not wait.
    NotQueued,
    /// The request holds the lock: release it instead.
    Held,
    /// No such request.
    Unknown,
    /// The store was not reached; nothing changed.
    Unavailable,
    /// It is not known whether the change happened.
    Indeterminate,
    /// The service goes down; nothing changed.
    Draining,
    /// The store was closed.
    Closed,
    /// No room left.
    Full,
    /// Stored data is damaged.
    Corrupt,
    /// Not allowed.
    Denied,
    /// Not accepted by this store.
    Invalid,
    /// A defect of this software.
    Internal,
    /// A kind that this version does not know.
    #[serde(other)]
    Other,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldProblem {
    /// The field, for example `metadata.link`; empty for the request as a whole.
    pub path: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

/// A request of a batch that could not be granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedView {
    /// The request.
    pub request_id: RequestId,
    /// Those in its way; empty if somebody ahead of it in line is about to get it.
    pub holders: Vec<LockView>,
}

/// A limit that was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitView {
    /// Of what, or of which line ("for this key").
    pub what: String,
    /// How many there are; absent if that says nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// How many there may be.
    pub limit: usize,
}

impl Problem {
    /// The media type of a problem.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// A problem with a code, a status and words.
    #[must_use]
    pub fn new(code: ErrorCode, status: u16, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("/docs#{}", code.as_str()),
            title: code.title().to_owned(),
            status,
            detail: detail.into(),
            code: code.as_str().to_owned(),
            ..Self::default()
        }
    }

    /// A request that is wrong (400), with everything that is wrong about it.
    #[must_use]
    pub fn invalid(problems: Vec<FieldProblem>) -> Self {
        let detail = problems.iter().map(FieldProblem::to_string).collect::<Vec<_>>().join("; ");
        let detail = if detail.is_empty() { "the request is not valid".to_owned() } else { detail };
        let mut problem = Self::new(ErrorCode::InvalidRequest, 400, detail).kind(ProblemKind::Value);
        problem.problems = problems;
        problem
    }

    /// Somebody else holds it (409), with those who do.
    #[must_use]
    pub fn busy(holders: &[LockRecord]) -> Self {
        let detail = match holders {
            [] => "the lock is about to be granted to somebody ahead in line; queue, or try again".to_owned(),
            [one] => {
                format!("the lock is held by {}; wait for it with `wait_ms` or `queue: true`", one.owner())
            }
            [one, rest @ ..] => format!(
                "the lock is held by {} and {} more; wait for it with `wait_ms` or `queue: true`",
                one.owner(),
                rest.len()
            ),
        };
        let mut problem = Self::new(ErrorCode::LockHeld, 409, detail).kind(ProblemKind::Busy);
        problem.holders = Some(lock_views(holders));
        problem
    }

    /// Some of a batch are held by others (409): nothing was changed.
    #[must_use]
    pub fn batch_busy(blocked: &[(RequestId, Vec<LockRecord>)]) -> Self {
        let detail = format!("{} of the locks are held by others; none was taken", blocked.len());
        let mut problem = Self::new(ErrorCode::LockHeld, 409, detail).kind(ProblemKind::Busy);
        let view = |(id, holders): &(RequestId, Vec<LockRecord>)| BlockedView {
            request_id: id.clone(),
            holders: lock_views(holders),
        };
        problem.blocked = Some(blocked.iter().map(view).collect());
        problem
    }

    /// Sets which refusal it is.
    #[must_use]
    pub fn kind(mut self, kind: ProblemKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// The stable code, if it is one that this version knows.
    #[must_use]
    pub fn error_code(&self) -> Option<ErrorCode> {
        self.code.parse().ok()
    }

    /// The holders named, as records.
    #[must_use]
    pub fn into_holders(self) -> Vec<LockRecord> {
        records(self.holders.unwrap_or_default())
    }

    /// The blocked requests of a batch, as the port names them; `None` if it is another problem.
    #[must_use]
    pub fn into_blocked(self) -> Option<Vec<(RequestId, Vec<LockRecord>)>> {
        let views = self.blocked?;
        Some(views.into_iter().map(|blocked| (blocked.request_id, records(blocked.holders))).collect())
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} {})", self.detail, self.code, self.title)
    }
}

impl std::error::Error for Problem {}

impl std::fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Most messages name the field already.
        if self.path.is_empty() || self.message.contains(&self.path) {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::views::samples;
    use super::*;

    fn journey(problem: Problem) -> Problem {
        serde_json::from_str(&serde_json::to_string(&problem).unwrap()).unwrap()
    }

    #[test]
    fn busy_names_the_holders() {
        let record = samples::record("h");
        let problem = journey(Problem::busy(std::slice::from_ref(&record)));
        assert_eq!(problem.kind, Some(ProblemKind::Busy));
        assert_eq!(problem.into_holders(), std::slice::from_ref(&record));
        let blocked = vec![(RequestId::new("r").unwrap(), vec![record])];
        assert_eq!(journey(Problem::batch_busy(&blocked)).into_blocked(), Some(blocked));
    }
}
