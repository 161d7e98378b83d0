//! The way of the port's errors into [`Problem`]s and back. Owns which refusal has which status; the shape is in `problem`.

use enhanced_locking_foundation::{
    AcquireError, BackendError, BackendErrorKind, ErrorCode, NotHeld, ReleaseError, ReprioritiseError,
    TransferError, ValueError,
};

use super::{FieldProblem, LimitView, Problem, ProblemKind};

impl Problem {
    /// The error of an acquire. [`ProblemKind::Busy`] is an outcome and must be looked at before.
    #[must_use]
    pub fn into_acquire_error(self) -> AcquireError {
        match (self.kind, &self.request_id, &self.ended, &self.key, &self.limit) {
            (Some(ProblemKind::QueueFull), _, _, _, Some(limit)) => AcquireError::QueueFull {
                scope: scope(&limit.what),
                waiting: limit.count.unwrap_or(limit.limit),
                limit: limit.limit,
            },
            (Some(ProblemKind::LimitReached), _, _, _, Some(limit)) => {
                AcquireError::LimitReached { what: thing(&limit.what), limit: limit.limit }
            }
            (Some(ProblemKind::Upgrade), ..) => AcquireError::Upgrade,
            (Some(ProblemKind::IdReused), Some(id), ..) => AcquireError::IdReused { id: id.clone() },
            (Some(ProblemKind::Finished), Some(id), Some(ended), ..) => {
                AcquireError::Finished { id: id.clone(), ended: ended.clone().into() }
            }
            (Some(ProblemKind::DuplicateKey), _, _, Some(key), _) => {
                AcquireError::DuplicateKey { key: key.clone() }
            }
            _ => AcquireError::Backend(self.into_backend_error()),
        }
    }

    /// That a grant is not held.
    #[must_use]
    pub fn into_not_held(self) -> NotHeld {
        NotHeld { ended: self.ended.map(Into::into), current: self.current_token }
    }

    /// The error of a release.
    #[must_use]
    pub fn into_release_error(self) -> ReleaseError {
        match self.kind {
            Some(ProblemKind::NotHeld) => ReleaseError::NotHeld(self.into_not_held()),
            _ => ReleaseError::Backend(self.into_backend_error()),
        }
    }

    /// The error of a transfer.
    #[must_use]
    pub fn into_transfer_error(self) -> TransferError {
        match self.kind {
            Some(ProblemKind::NotHeld) => TransferError::NotHeld(self.into_not_held()),
            Some(ProblemKind::AlreadyHolds) => TransferError::AlreadyHolds,
            Some(ProblemKind::OtherMode) => TransferError::OtherMode,
            _ => TransferError::Backend(self.into_backend_error()),
        }
    }

    /// The error of a change of priority.
    #[must_use]
    pub fn into_reprioritise_error(self) -> ReprioritiseError {
        match self.kind {
            Some(ProblemKind::NotQueued | ProblemKind::Unknown) => ReprioritiseError::NotQueued,
            _ => ReprioritiseError::Backend(self.into_backend_error()),
        }
    }

    /// The error of a store, for everything else.
    #[must_use]
    pub fn into_backend_error(self) -> BackendError {
        let kind = match self.kind {
            Some(ProblemKind::Unavailable) => BackendErrorKind::Unavailable,
            Some(ProblemKind::Indeterminate) => BackendErrorKind::Indeterminate,
            Some(ProblemKind::Draining) => BackendErrorKind::Draining,
            Some(ProblemKind::Closed) => BackendErrorKind::Closed,
            Some(ProblemKind::Full) => BackendErrorKind::Full,
            Some(ProblemKind::Corrupt) => BackendErrorKind::Corrupt,
            Some(ProblemKind::Denied) => BackendErrorKind::Denied,
            Some(ProblemKind::Invalid | ProblemKind::Value) => BackendErrorKind::Invalid,
            Some(ProblemKind::Internal) => BackendErrorKind::Internal,
            _ => match self.status {
                401 | 403 => BackendErrorKind::Denied,
                // The service refused before it did anything.
                429 | 503 => BackendErrorKind::Unavailable,
                400..=499 => BackendErrorKind::Invalid,
                // A proxy in between, or a defect: whether the change happened is not known.
                _ => BackendErrorKind::Indeterminate,
            },
        };
        BackendError::new(kind, self.detail)
    }
}

/// So that `?` works on either end.
macro_rules! by_value {
    ($($error:ty),*) => {
        $(impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Self::from(&error)
            }
        })*
    };
}

by_value!(AcquireError, NotHeld, ReleaseError, TransferError, ReprioritiseError, BackendError);

impl From<Box<Problem>> for Problem {
    fn from(problem: Box<Problem>) -> Self {
        *problem
    }
}

impl From<ValueError> for Problem {
    fn from(error: ValueError) -> Self {
        let path = match &error {
            ValueError::Empty { what }
            | ValueError::TooLong { what, .. }
            | ValueError::TooMany { what, .. }
            | ValueError::ControlCharacter { what, .. }
            | ValueError::Character { what, .. }
            | ValueError::OutOfRange { what, .. } => what.replace(' ', "_"),
            ValueError::PageCursor => "cursor".to_owned(),
            ValueError::Cursor { .. } => "after".to_owned(),
            _ => String::new(),
        };
        Self::invalid(vec![FieldProblem { path, message: error.to_string() }])
    }
}

impl From<&AcquireError> for Problem {
    fn from(error: &AcquireError) -> Self {
        let (status, kind) = match error {
            AcquireError::QueueFull { .. } => (429, ProblemKind::QueueFull),
            AcquireError::LimitReached { .. } => (429, ProblemKind::LimitReached),
            AcquireError::Upgrade => (409, ProblemKind::Upgrade),
            AcquireError::IdReused { .. } => (409, ProblemKind::IdReused),
            AcquireError::Finished { .. } => (409, ProblemKind::Finished),
            AcquireError::DuplicateKey { .. } => (400, ProblemKind::DuplicateKey),
            AcquireError::Value(error) => return error.clone().into(),
            AcquireError::Backend(error) => return error.into(),
            _ => (500, ProblemKind::Other),
        };
        let mut problem = Self::new(error.code(), status, error.to_string()).kind(kind);
        match error {
            AcquireError::QueueFull { scope, waiting, limit } => {
                problem.limit =
                    Some(LimitView { what: (*scope).to_owned(), count: Some(*waiting), limit: *limit });
                problem.retry_after_ms = Some(1_000);
            }
            AcquireError::LimitReached { what, limit } => {
                problem.limit = Some(LimitView { what: (*what).to_owned(), count: None, limit: *limit });
                problem.retry_after_ms = Some(1_000);
            }
            AcquireError::IdReused { id } => problem.request_id = Some(id.clone()),
            AcquireError::Finished { id, ended } => {
                problem.request_id = Some(id.clone());
                problem.ended = Some(ended.into());
            }
            AcquireError::DuplicateKey { key } => problem.key = Some(key.clone()),
            _ => {}
        }
        problem
    }
}

impl From<&NotHeld> for Problem {
    fn from(error: &NotHeld) -> Self {
        let status = if error.code() == ErrorCode::NotFound { 404 } else { 409 };
        let mut problem = Self::new(error.code(), status, error.to_string()).kind(ProblemKind::NotHeld);
        problem.ended = error.ended.as_ref().map(Into::into);
        problem.current_token = error.current;
        problem
    }
}

impl From<&ReleaseError> for Problem {
    fn from(error: &ReleaseError) -> Self {
        match error {
            ReleaseError::NotHeld(error) => error.into(),
            ReleaseError::Backend(error) => error.into(),
            _ => Self::new(error.code(), 500, error.to_string()),
        }
    }
}

impl From<&TransferError> for Problem {
    fn from(error: &TransferError) -> Self {
        let kind = match error {
            TransferError::NotHeld(error) => return error.into(),
            TransferError::Backend(error) => return error.into(),
            TransferError::AlreadyHolds => ProblemKind::AlreadyHolds,
            TransferError::OtherMode => ProblemKind::OtherMode,
            _ => ProblemKind::Other,
        };
        Self::new(error.code(), 409, error.to_string()).kind(kind)
    }
}

impl From<&ReprioritiseError> for Problem {
    fn from(error: &ReprioritiseError) -> Self {
        match error {
            ReprioritiseError::NotQueued => {
                Self::new(error.code(), 409, error.to_string()).kind(ProblemKind::NotQueued)
            }
            ReprioritiseError::Backend(error) => error.into(),
            _ => Self::new(error.code(), 500, error.to_string()),
        }
    }
}

impl From<&BackendError> for Problem {
    fn from(error: &BackendError) -> Self {
        let (status, kind, retry) = match error.kind() {
            BackendErrorKind::Unavailable => (503, ProblemKind::Unavailable, true),
            BackendErrorKind::Indeterminate => (503, ProblemKind::Indeterminate, true),
            BackendErrorKind::Draining => (503, ProblemKind::Draining, true),
            BackendErrorKind::Closed => (503, ProblemKind::Closed, true),
            BackendErrorKind::Full => (503, ProblemKind::Full, false),
            BackendErrorKind::Corrupt => (500, ProblemKind::Corrupt, false),
            BackendErrorKind::Denied => (403, ProblemKind::Denied, false),
            BackendErrorKind::Invalid => (400, ProblemKind::Invalid, false),
            BackendErrorKind::Internal => (500, ProblemKind::Internal, false),
        };
        let mut problem = Self::new(error.code(), status, error.message()).kind(kind);
        problem.retry_after_ms = retry.then_some(1_000);
        problem
    }
}

/// The scopes of [`AcquireError::QueueFull`], back from their text.
fn scope(text: &str) -> &'static str {
    ["for this key", "for this owner", "in all"].into_iter().find(|scope| *scope == text).unwrap_or("here")
}

/// The things of [`AcquireError::LimitReached`], back from their text.
fn thing(text: &str) -> &'static str {
    ["locks", "locks in one batch"].into_iter().find(|thing| *thing == text).unwrap_or("entries")
}

#[cfg(test)]
mod tests {
    use enhanced_locking_foundation::{EndReason, Ended, FencingToken, RequestId, ResourceKey, Timestamp};

    use super::*;

    fn journey(problem: Problem) -> Problem {
        serde_json::from_str(&serde_json::to_string(&problem).unwrap()).unwrap()
    }

    #[test]
    fn every_refusal_of_an_acquire_survives_the_journey() {
        let ended = Ended { reason: EndReason::Released, at: Timestamp::from_micros(5), token: None };
        let id = RequestId::new("r").unwrap();
        for error in [
            AcquireError::QueueFull { scope: "for this key", waiting: 3, limit: 3 },
            AcquireError::LimitReached { what: "locks in one batch", limit: 1 },
            AcquireError::Upgrade,
            AcquireError::IdReused { id: id.clone() },
            AcquireError::Finished { id, ended },
            AcquireError::DuplicateKey { key: ResourceKey::new("k").unwrap() },
            AcquireError::Backend(BackendError::new(BackendErrorKind::Indeterminate, "no answer")),
        ] {
            let back = journey((&error).into()).into_acquire_error();
            assert_eq!(back.to_string(), error.to_string());
            assert_eq!((back.code(), back.is_indeterminate()), (error.code(), error.is_indeterminate()));
        }
    }

    #[test]
    fn every_kind_of_store_trouble_survives_the_journey() {
        use BackendErrorKind::*;
        for kind in [Unavailable, Indeterminate, Draining, Closed, Full, Corrupt, Denied, Invalid, Internal] {
            let back = journey((&BackendError::new(kind, "words")).into()).into_backend_error();
            assert_eq!((back.kind(), back.message()), (kind, "words"));
        }
    }

    #[test]
    fn transfers_and_releases_tell_why_not() {
        let stale = NotHeld { ended: None, current: Some(FencingToken::from_u64(8)) };
        let back = journey((&TransferError::from(stale.clone())).into()).into_transfer_error();
        assert!(matches!(back, TransferError::NotHeld(got) if got == stale));
        assert!(matches!(
            journey((&TransferError::OtherMode).into()).into_transfer_error(),
            TransferError::OtherMode
        ));
        let back = journey((&ReleaseError::from(stale.clone())).into()).into_release_error();
        assert!(matches!(back, ReleaseError::NotHeld(got) if got == stale));
        let back = journey((&ReprioritiseError::NotQueued).into()).into_reprioritise_error();
        assert!(matches!(back, ReprioritiseError::NotQueued));
    }

    #[test]
    fn problems_of_strangers_are_judged_by_their_status() {
        let other: Problem = serde_json::from_str(
            r#"{"type":"t","title":"t","status":502,"detail":"d","code":"X","kind":"of_tomorrow"}"#,
        )
        .unwrap();
        assert_eq!(other.into_backend_error().kind(), BackendErrorKind::Indeterminate);
    }
}
