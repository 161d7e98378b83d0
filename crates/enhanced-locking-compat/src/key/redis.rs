//! What a key in Atlantis' Redis stands for. Owns telling them apart, no more.

use super::command::CommandName;
use super::lock_key::LockKey;
use super::pull_key::PullKey;

/// A key in Atlantis' Redis, by what it stands for.
///
/// Atlantis lists `pr*` and so takes the status of a pull request on a host such as `prod-git` for a lock; here only
/// `pr/` is one.
///
/// ```
/// use enhanced_locking_compat::key::{CommandName, RedisKey};
/// assert_eq!(RedisKey::of("pr/acme/infra/./default/"), RedisKey::Lock("acme/infra/./default/"));
/// assert_eq!(RedisKey::of("global/apply/lock"), RedisKey::Command(CommandName::Apply));
/// assert!(matches!(RedisKey::of("prod-git::acme/infra::9"), RedisKey::Pull(_)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisKey<'a> {
    /// A lock on a project, with its key of four parts, or of three if Atlantis is old.
    Lock(&'a str),
    /// A lock on a command.
    Command(CommandName),
    /// The status of a pull request.
    Pull(PullKey),
    /// Something that a later Atlantis or somebody else put there: to be left alone.
    Other,
}

impl<'a> RedisKey<'a> {
    /// What a key stands for.
    #[must_use]
    pub fn of(key: &'a str) -> Self {
        if let Some(lock) = key.strip_prefix(LockKey::REDIS_PREFIX) {
            return Self::Lock(lock);
        }
        let command = key.strip_prefix("global/").and_then(CommandName::of_bolt_key);
        if let Some(command) = command {
            return Self::Command(command);
        }
        PullKey::parse(key).map_or(Self::Other, Self::Pull)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_atlantis_makes_is_told() {
        let key = LockKey::new("o/r", "p", "w", "n");
        assert_eq!(RedisKey::of(&key.redis()), RedisKey::Lock(&key.text()));
        assert_eq!(RedisKey::of("pr/o/r/p/w"), RedisKey::Lock("o/r/p/w"));
        assert_eq!(RedisKey::of(&CommandName::Autoplan.redis_key()), RedisKey::Command(CommandName::Plan));
    }

    #[test]
    fn what_nobody_knows_is_other() {
        for key in ["", "pr", "global/apply", "global/dance/lock", "lease:1", "a::b"] {
            assert_eq!(RedisKey::of(key), RedisKey::Other, "{key}");
        }
    }
}
