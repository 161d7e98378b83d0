//! Atlantis' own operations over any store of locks: try, unlock, list, command locks, pull statuses. Owns their meaning,
//! without the races they have in Atlantis; the protocol that carries them belongs to the service.
//!
//! Atlantis reads, decides and writes in separate steps. Here every decision is the store's, in one step:
//!
//! * **One lock per project.** The key Atlantis makes is an alias of our own key ([`alias_key`]), so that Atlantis and
//!   whoever takes locks through the API or the command exclude each other.
//! * **A lock is let go only by the grant that was read.** Who came in between keeps what he has.
//! * **The value is kept byte for byte**, as a document beside the lock. A lock without one, taken by somebody else, is
//!   told in Atlantis' words from what the store knows.
//! * **Pull statuses are compared and written**, so that none of two updates at once is lost.
//!
//! ```
//! use enhanced_locking_compat::legacy::alias_key;
//! // What `enhanced-locks run --repo acme/infra --path envs/prod --project net` locks.
//! assert_eq!(alias_key("acme/infra/envs/prod/default/net")?.as_str(), "project::acme/infra:envs/prod:default:net");
//! // Up to v0.39 the name was not part of the key.
//! assert_eq!(alias_key("acme/infra/prod/default")?, alias_key("acme/infra/prod/default/")?);
//! # Ok::<(), enhanced_locking_compat::legacy::LegacyError>(())
//! ```

mod alias;
mod commands;
mod documents;
mod error;
mod held;
mod locks;
mod request;
mod settle;
mod status;
mod status_json;
mod sweep;

pub use alias::{TEXT_BYTES_MAX, alias_key};
pub use error::LegacyError;
pub use held::HeldLock;
pub use locks::{LegacyLocks, TryLock};
pub use request::owner_of;
pub use status::ProjectResult;
pub use status_json::PolicySet;
pub use sweep::Swept;
