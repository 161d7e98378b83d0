//! What Atlantis stores as values: project locks, the command lock, pull statuses. Owns their members and how they are read.
//!
//! Read as Go reads them: unknown members are kept aside, missing ones are zero, names match whatever their case. Every
//! value is kept byte for byte beside the decoded view ([`Stored`]), because Atlantis compares and re-reads what it
//! wrote, and later versions of it may add what we do not know.
//!
//! Clone URLs hold the token of the version control system. The views never show it: not in `Debug`, not in `Display`,
//! not through serde ([`CloneUrl`]); [`redact()`] does the same for a value that is shown as it is. Only
//! [`ProjectLock::to_json`], which writes what Atlantis reads, contains it. Errors name members and never quote them.
//!
//! ```
//! use enhanced_locking_compat::record::{ProjectLock, Stored};
//! let raw = br#"{"Project":{"RepoFullName":"acme/infra","Path":"envs/prod"},"Pull":{"Num":42},"Workspace":"default"}"#;
//! let stored = Stored::<ProjectLock>::read(raw.as_slice())?;
//! assert_eq!((stored.value().pull.number, stored.raw()), (42, raw.as_slice()));
//!
//! let error = Stored::<ProjectLock>::read(br#"{"Pull":{"Num":"42"}}"#.as_slice()).unwrap_err();
//! assert!(error.to_string().starts_with("Pull.Num is a text"));
//! # Ok::<(), enhanced_locking_compat::record::RecordError>(())
//! ```

mod command_lock;
pub(crate) mod decode;
mod error;
mod number;
mod other;
mod project_lock;
mod pull;
mod pull_status;
mod redact;
mod repo;
mod secret;
pub(crate) mod show;
mod stored;
mod time;

pub use command_lock::CommandLock;
pub use error::RecordError;
pub use other::OtherMembers;
pub use project_lock::{Project, ProjectLock, User};
pub use pull::{Pull, PullState};
pub use pull_status::{PlanStatus, ProjectStatus, PullStatus};
pub use redact::redact;
pub use repo::{Repo, VcsHost, VcsKind};
pub use secret::CloneUrl;
pub use stored::{Record, Stored};
pub use time::RecordTime;
