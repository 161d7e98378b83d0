//! One thing that Atlantis stored. Owns where things of a bolt file and of Redis are the same.

use crate::bolt::{BoltError, BoltFile, Damage};
use crate::key::{LockKey, RedisKey};

/// One thing that Atlantis stored: its key as it is in Redis, and its value byte for byte.
///
/// The value may contain the token of the version control system: `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// The key: `pr/…` for a lock, `global/…/lock` for a command, anything else for the rest.
    pub key: String,
    /// The value, **with the token in the clone URL**.
    pub value: Vec<u8>,
}

impl Item {
    /// A thing.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), value: value.into() }
    }

    /// Whether a key in a Redis is one that Atlantis makes; a Redis may hold other programs' keys, our own among them.
    #[must_use]
    pub fn is_atlantis(key: &[u8]) -> bool {
        !key.starts_with(b"{")
            && std::str::from_utf8(key).is_ok_and(|key| RedisKey::of(key) != RedisKey::Other)
    }

    /// Everything that is in a bolt file, with what is damaged among it.
    ///
    /// # Errors
    /// [`BoltError`] if the buckets of Atlantis are not there.
    pub fn of_bolt(file: &BoltFile) -> Result<Vec<Result<Self, Damage>>, BoltError> {
        let locks = file.locks()?.map(|found| {
            found.map(|lock| Self::new(format!("{}{}", LockKey::REDIS_PREFIX, lock.key), lock.record.raw()))
        });
        let commands = file
            .command_locks()?
            .map(|found| found.map(|lock| Self::new(format!("global/{}", lock.key), lock.record.raw())));
        let statuses =
            file.pull_statuses()?.map(|found| found.map(|status| Self::new(status.key, status.record.raw())));
        Ok(locks.chain(commands).chain(statuses).collect())
    }
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Item").field("key", &self.key).field("bytes", &self.value.len()).finish()
    }
}
