//! What a person sees when a command cannot do its work. Owns the exit codes and the hints on what to do next.

use enhanced_locking_foundation::{
    AcquireError, BackendError, BackendErrorKind, ErrorCode, NotHeld, ReleaseError, TransferError, ValueError,
};

/// Exit codes of every command; `run` adds those of the command it ran.
pub(crate) mod code {
    /// Any error without a code of its own.
    pub(crate) const GENERAL: u8 = 1;
    /// The command line is wrong.
    pub(crate) const USAGE: u8 = 2;
    /// The service cannot be reached (`EX_UNAVAILABLE`).
    pub(crate) const UNREACHABLE: u8 = 69;
    /// The lock was not acquired within `--wait` (`EX_TEMPFAIL`).
    pub(crate) const NOT_ACQUIRED: u8 = 75;
    /// The lock was lost while it was held.
    pub(crate) const LOST: u8 = 76;
}

/// A failed command: what was wrong, what to do next, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", .el.map(|code| format!(" ({code})")).unwrap_or_default())]
pub(crate) struct Failure {
    /// What was wrong; a fragment that reads after `error: `. Empty if everything was said already.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The stable code, if it is an error that has one.
    pub el: Option<ErrorCode>,
    /// The exit code.
    pub code: u8,
}

impl Failure {
    /// A failure without a code of its own.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, el: None, code: code::GENERAL }
    }

    /// A command line that cannot be meant.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: code::USAGE, ..Self::new(message) }
    }

    /// Everything was said already; only the exit code is left.
    #[must_use]
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, ..Self::new("") }
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the exit code.
    #[must_use]
    pub(crate) fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Adds the stable code.
    #[must_use]
    pub(crate) fn el(mut self, code: ErrorCode) -> Self {
        self.el = Some(code);
        self
    }

    /// The failure for programs, in one line.
    #[must_use]
    pub(crate) fn json(&self) -> String {
        serde_json::json!({"error": {
            "message": self.message,
            "hint": self.hint,
            "code": self.el.map(ErrorCode::as_str),
            "exit": self.code,
        }})
        .to_string()
    }
}

/// The message of an error with the causes below it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let below = error.to_string();
        // Some drivers repeat what is below them; once is enough.
        if !message.contains(&below) {
            message = format!("{message}: {below}");
        }
        source = error.source();
    }
    message
}

impl From<ValueError> for Failure {
    fn from(error: ValueError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        match error.kind() {
            BackendErrorKind::Unavailable => {
                Self::new(error.message()).el(error.code()).code(code::UNREACHABLE)
            }
            BackendErrorKind::Indeterminate => Self::new(chain(&error))
                .el(error.code())
                .hint("look with `enhanced-locks list` whether it happened, then repeat the command if it did not")
                .code(code::UNREACHABLE),
            BackendErrorKind::Draining => Self::new(error.to_string())
                .el(error.code())
                .hint("the service is going down or restarting; try again in a moment")
                .code(code::UNREACHABLE),
            BackendErrorKind::Denied => Self::new(error.to_string())
                .el(error.code())
                .hint("give a token with --token-file or ENHANCED_LOCKS_TOKEN"),
            _ => Self::new(chain(&error)).el(error.code()),
        }
    }
}

impl From<AcquireError> for Failure {
    fn from(error: AcquireError) -> Self {
        let code = error.code();
        match error {
            AcquireError::Backend(error) => error.into(),
            AcquireError::Value(error) => error.into(),
            error @ (AcquireError::QueueFull { .. } | AcquireError::LimitReached { .. }) => {
                Self::new(error.to_string()).el(code).code(code::NOT_ACQUIRED)
            }
            error => Self::new(error.to_string()).el(code),
        }
    }
}

impl From<NotHeld> for Failure {
    fn from(error: NotHeld) -> Self {
        Self::new(error.to_string())
            .el(error.code())
            .hint("`enhanced-locks list` shows who holds what, with the tokens")
    }
}

impl From<ReleaseError> for Failure {
    fn from(error: ReleaseError) -> Self {
        match error {
            ReleaseError::NotHeld(error) => error.into(),
            ReleaseError::Backend(error) => error.into(),
            error => Self::new(error.to_string()).el(error.code()),
        }
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::NotHeld(error) => error.into(),
            TransferError::Backend(error) => error.into(),
            error => Self::new(error.to_string()).el(error.code()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_is_not_there_has_its_own_exit_code() {
        let error = BackendError::new(BackendErrorKind::Unavailable, "no service at http://x");
        let failure = Failure::from(AcquireError::from(error));
        assert_eq!((failure.code, failure.message.as_str()), (69, "no service at http://x"));
    }

    #[test]
    fn a_full_line_is_not_acquired() {
        let error = AcquireError::QueueFull { scope: "for this key", waiting: 2, limit: 2 };
        let failure = Failure::from(error);
        assert_eq!(failure.code, 75);
        assert!(failure.to_string().ends_with(" (EL005)"), "{failure}");
    }

    #[test]
    fn programs_get_one_line_of_json() {
        let failure = Failure::new("a\nb").hint("c").el(ErrorCode::LockHeld).code(75);
        assert_eq!(failure.json(), r#"{"error":{"code":"EL001","exit":75,"hint":"c","message":"a\nb"}}"#);
        assert_eq!(
            Failure::usage("a").json(),
            r#"{"error":{"code":null,"exit":2,"hint":null,"message":"a"}}"#
        );
    }

    #[test]
    fn causes_are_told_once() {
        let below = std::io::Error::other("disk is on fire");
        let error = BackendError::new(BackendErrorKind::Internal, "cannot write").with_source(below);
        assert_eq!(chain(&error), "internal error: cannot write: disk is on fire");
    }
}
