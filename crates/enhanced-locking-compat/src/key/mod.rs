//! Atlantis' keys. Owns how they are put together and taken apart; the values under them are in `record`.
//!
//! | what | in Redis | in the bolt file |
//! |---|---|---|
//! | lock on a project | `pr/{repo}/{path}/{workspace}/{name}` | bucket `runLocks`, without `pr/` |
//! | the same up to v0.39 | `pr/{repo}/{path}/{workspace}` | the same |
//! | lock on a command | `global/{command}/lock` | bucket `globalLocks`, `{command}/lock` |
//! | status of a pull request | `{host}::{repo}::{number}` | bucket `pulls`, the same |
//!
//! Nothing is escaped, so that a lock key does not tell its parts: two projects may share one, and parsing is a guess
//! ([`LockKey::parse`] guesses as Atlantis does). The parts themselves ([`LockKey`]) are the identity, with the host
//! added where it is known ([`LockKey::project`]); the key is an alias under which both exclude each other.
//!
//! ```
//! use enhanced_locking_compat::key::LockKey;
//! let key = LockKey::new("acme/infra", "./envs//prod/", "default", "net");
//! assert_eq!(key.text(), "acme/infra/envs/prod/default/net");
//! assert_eq!(key.old_text(), "acme/infra/envs/prod/default");
//! assert_eq!(key.redis(), "pr/acme/infra/envs/prod/default/net");
//! assert_eq!(LockKey::parse(&key.text()), Ok(key));
//! ```

mod command;
mod lock_key;
mod path;
mod pull_key;
mod redis;

pub use command::{CommandName, UnknownCommand};
pub use lock_key::{LockKey, NotALockKey};
pub use path::clean_path;
pub use pull_key::{PullKey, PullKeyError};
pub use redis::RedisKey;
