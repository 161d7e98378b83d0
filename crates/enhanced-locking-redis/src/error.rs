//! Why a Redis store cannot be opened. Owns the remedies at start; failures of operations are `BackendError`s.

use enhanced_locking_foundation::BackendError;

/// A store that was not opened: what is wrong, and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting that cannot be.
    #[error("{what} is {given}, allowed is {allowed}")]
    Setting {
        /// Which.
        what: &'static str,
        /// What was given.
        given: String,
        /// What would be right.
        allowed: &'static str,
    },
    /// The server is too old.
    #[error("the server is version {found}, at least 6.2 is needed; upgrade it")]
    Version {
        /// Its version.
        found: String,
    },
    /// The server may throw locks away.
    #[error(
        "maxmemory-policy is {found}, which silently deletes locks when memory runs out; set it to noeviction"
    )]
    Eviction {
        /// The policy it has.
        found: String,
    },
    /// The namespace was made with other buckets.
    #[error(
        "namespace {namespace} has {stored} buckets and {given} were asked for; set {stored}, or use another namespace"
    )]
    Buckets {
        /// The namespace.
        namespace: String,
        /// How many it has.
        stored: u16,
        /// How many were asked for.
        given: u16,
    },
    /// The namespace has a form that this version does not know.
    #[error("namespace {namespace} has format {stored}, this version knows {known}; use a version that fits")]
    Format {
        /// The namespace.
        namespace: String,
        /// The form it has.
        stored: String,
        /// The form that is known.
        known: u32,
    },
    /// The namespace belongs to tests, or does not and a clock was given.
    #[error("namespace {namespace} was made {made}; use another namespace")]
    Clock {
        /// The namespace.
        namespace: String,
        /// With or without a clock of its own.
        made: &'static str,
    },
    /// The server could not be asked.
    #[error("the server cannot be used; check its address, user, password and rights")]
    Server(#[from] BackendError),
}
