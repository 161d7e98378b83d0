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
    /// There is no connection.
    #[error("cannot connect to {location}; {remedy}")]
    Connect {
        /// Where to.
        location: String,
        /// What to do.
        remedy: &'static str,
        /// In the words of who noticed.
        source: BackendError,
    },
    /// Certificates or keys that cannot be used.
    #[error("TLS is not possible, because {what}")]
    Tls {
        /// Which, and why.
        what: String,
        /// In the words of who noticed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server is of another kind than it was named as.
    #[error("the server at {address} is {found}; {remedy}")]
    Place {
        /// Which.
        address: String,
        /// What it is.
        found: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The server takes no changes.
    #[error("the server at {address} is a replica of {master}; name that one, or the Sentinels")]
    Replica {
        /// Which.
        address: String,
        /// The server that it copies.
        master: String,
    },
    /// The user may not do what the store does.
    #[error(
        "the user is not allowed {missing}; give it the rights that the documentation names (ACL SETUSER)"
    )]
    Rights {
        /// What it may not do.
        missing: String,
    },
    /// The server is too old.
    #[error("the server at {address} is version {found}, at least {needed} is needed; upgrade it")]
    Version {
        /// Which.
        address: String,
        /// What is needed.
        needed: String,
        /// Its version.
        found: String,
    },
    /// The server may throw locks away.
    #[error(
        "maxmemory-policy of {address} is {found}, which silently deletes locks when memory runs out; set it to noeviction"
    )]
    Eviction {
        /// Which server.
        address: String,
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
    #[error(
        "namespace {namespace} has format {stored}, this version knows {known}; release the locks with the version that made it and delete its keys, or use another `namespace`"
    )]
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
