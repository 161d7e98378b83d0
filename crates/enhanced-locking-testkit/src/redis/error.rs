//! Why servers for a test could not be had. Owns the error of all launchers and nothing else.

use std::io;

use super::client::CallError;

/// Why a server, or a group of them, is not there as the test wants it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// There is no server program.
    #[error(
        "no redis-server in PATH: install it (on Debian `apt-get install redis-server`, or run \
         `cargo xtask test`), or set {BINARY_ENV} to the path of a Redis or Valkey server",
        BINARY_ENV = super::BINARY_ENV
    )]
    NoBinary,
    /// No port that is free together with its bus port was found.
    #[error("no free pair of ports below 32768 after {0} attempts: end some of the servers that run here")]
    NoPort(usize),
    /// Something of the operating system.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server came up and refused what the launcher asked of it, or did not answer.
    #[error("{what} failed")]
    Call {
        /// What was tried.
        what: String,
        /// What the server said.
        #[source]
        source: CallError,
    },
    /// A server ended, or did not come to the state in time.
    #[error("{what}; the end of its log:\n{log}")]
    NotReady {
        /// What was waited for.
        what: String,
        /// The last lines the server wrote.
        log: String,
    },
    /// The server program was built without TLS.
    #[error("the server program was built without TLS: use the one of the system's packages for this test")]
    NoTls,
    /// The certificates could not be made.
    #[error("making certificates failed: {0}")]
    Certificates(String),
}

impl LaunchError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Io { what: what.into(), source }
    }

    pub(super) fn call(what: impl Into<String>) -> impl FnOnce(CallError) -> Self {
        |source| Self::Call { what: what.into(), source }
    }
}
