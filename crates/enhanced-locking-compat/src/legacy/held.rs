//! A lock as Atlantis sees it, with the grant behind it. Owns nothing but the two together.

use enhanced_locking_foundation::LockRecord;

use crate::record::{ProjectLock, Stored};

/// A lock that is held, or was until now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLock {
    /// Atlantis' key for it, without `pr/`.
    pub text: String,
    /// The lock in the store: its grant is what lets go of it.
    pub record: LockRecord,
    /// The value Atlantis stored, or would have.
    pub value: Stored<ProjectLock>,
}

impl HeldLock {
    /// The number of the pull request that holds it; 0 if it is none.
    #[must_use]
    pub fn pull_number(&self) -> i64 {
        self.value.value().pull.number
    }

    /// The sentence with which Atlantis refuses a plan: `link` leads to the pull request that holds the lock, and
    /// `executable` is the name of the comment command.
    #[must_use]
    pub fn refusal(&self, link: &str, executable: &str) -> String {
        format!(
            "This project is currently locked by an unapplied plan from pull {link}. To continue, delete the lock \
             from {link} or apply that plan and merge the pull request.\n\nOnce the lock is released, comment \
             `{executable} plan` here to re-plan."
        )
    }
}
