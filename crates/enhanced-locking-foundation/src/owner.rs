//! Who asks for locks. Owns owners and pull requests; permissions belong to the service.

use crate::ValueError;
use crate::text::{check, text_newtype};

text_newtype! {
    /// Who asks: a pull request, a pipeline, a session. Never a thread or a connection (field study, complaint 15).
    ///
    /// One owner has at most one place per resource: as a holder or in the line. Asking again returns that place.
    OwnerId, "owner", 256, check
}

/// A pull request of exactly one repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct PullRequest {
    /// Full name of the repository, for example `acme/infra`; with the host in front if the caller wants hosts told apart.
    pub repo: String,
    /// Number of the pull request; Atlantis uses negative ones for runs without one.
    pub number: i64,
}

impl PullRequest {
    /// The longest repository name, in bytes.
    pub const MAX_REPO_BYTES: usize = 512;

    /// A pull request of a repository.
    ///
    /// # Errors
    /// [`ValueError`] if the name is empty, too long or has control characters.
    pub fn new(repo: &str, number: i64) -> Result<Self, ValueError> {
        check("repo", repo, Self::MAX_REPO_BYTES)?;
        Ok(Self { repo: repo.to_owned(), number })
    }
}

impl std::fmt::Display for PullRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.repo, self.number)
    }
}

/// Whom a lock is handed to by a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferee {
    /// The new owner.
    pub owner: OwnerId,
    /// The person behind it, for people to read.
    pub user: Option<String>,
    /// The pull request it stands for.
    pub pull: Option<PullRequest>,
}

impl Transferee {
    /// An owner with neither user nor pull request.
    #[must_use]
    pub fn new(owner: OwnerId) -> Self {
        Self { owner, user: None, pull: None }
    }
}
