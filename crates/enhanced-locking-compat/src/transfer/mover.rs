//! Putting things into a store and comparing them with it. Owns what counts as the same.

use super::item::Item;
use crate::key::{CommandName, RedisKey};
use crate::legacy::{HeldLock, LegacyError, LegacyLocks, TryLock};
use crate::record::{CommandLock, ProjectLock, Stored};

/// Puts things into a store.
#[derive(Clone, Debug)]
pub struct Mover(LegacyLocks);

/// What became of a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Put {
    /// It is here now.
    Moved,
    /// It was here already, byte for byte, or the same pull request holds the lock with an older value.
    Already,
    /// Somebody else has the lock, or another value is here; it was left alone.
    Conflict {
        /// Who or what is in the way.
        with: String,
    },
}

/// How a thing is here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// As it should be.
    None,
    /// Not at all.
    Missing,
    /// With another value, or another holder.
    Other {
        /// Who or what is there instead.
        found: String,
    },
}

impl Mover {
    /// Into this store.
    #[must_use]
    pub fn new(legacy: LegacyLocks) -> Self {
        Self(legacy)
    }

    /// Puts a thing in, unless it is there or something is in its way. With `dry`, only tells what would become of it.
    ///
    /// # Errors
    /// [`LegacyError`]: the thing cannot be read as Atlantis would, or the store fails. Putting it in again is right.
    pub async fn put(&self, item: &Item, dry: bool) -> Result<Put, LegacyError> {
        if dry {
            return Ok(match self.compare(item).await? {
                Difference::None => Put::Already,
                Difference::Missing => Put::Moved,
                Difference::Other { found } => Put::Conflict { with: found },
            });
        }
        match RedisKey::of(&item.key) {
            RedisKey::Lock(text) => self.put_lock(text, &Stored::read(item.value.as_slice())?).await,
            RedisKey::Command(command) => {
                self.put_command(command, &Stored::read(item.value.as_slice())?).await
            }
            _ => self.put_other(item).await,
        }
    }

    /// How a thing is here. Changes nothing.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn compare(&self, item: &Item) -> Result<Difference, LegacyError> {
        match RedisKey::of(&item.key) {
            RedisKey::Lock(text) => {
                let wanted = Stored::<ProjectLock>::read(item.value.as_slice())?;
                Ok(match self.0.get_lock(text).await? {
                    None => Difference::Missing,
                    Some(held) if held.value.raw() == wanted.raw() => Difference::None,
                    Some(held) => Difference::Other { found: holder(&held) },
                })
            }
            RedisKey::Command(command) => {
                let wanted = Stored::<CommandLock>::read(item.value.as_slice())?;
                Ok(match self.0.check_command_lock(command).await? {
                    None => Difference::Missing,
                    Some(found) if found.raw() == wanted.raw() => Difference::None,
                    Some(_) => Difference::Other { found: locked_at_another_time(command) },
                })
            }
            _ => Ok(match self.0.value_of_key(&item.key).await? {
                None => Difference::Missing,
                Some(found) if found == item.value => Difference::None,
                Some(_) => Difference::Other { found: "another value".to_owned() },
            }),
        }
    }

    /// Everything of Atlantis that is here, in the order of keys within each kind: what [`put`](Self::put) would put in
    /// elsewhere.
    ///
    /// # Errors
    /// [`LegacyError`] if the store fails, or there is too much.
    pub async fn items(&self) -> Result<Vec<Item>, LegacyError> {
        let mut items = Vec::new();
        for held in self.0.list().await? {
            items.push(Item::new(format!("pr/{}", held.text), held.value.raw()));
        }
        for command in self.0.locked_commands().await? {
            if let Some(lock) = self.0.check_command_lock(command).await? {
                items.push(Item::new(command.redis_key(), lock.raw()));
            }
        }
        for key in self.0.keys().await? {
            if let Some(value) = self.0.value_of_key(&key).await? {
                items.push(Item::new(key, value));
            }
        }
        Ok(items)
    }

    async fn put_lock(&self, text: &str, lock: &Stored<ProjectLock>) -> Result<Put, LegacyError> {
        Ok(match self.0.try_lock_at(text, lock).await? {
            TryLock::Acquired(_) => Put::Moved,
            TryLock::Mine(_) => Put::Already,
            TryLock::HeldBy(held) => Put::Conflict { with: holder(&held) },
        })
    }

    async fn put_command(
        &self,
        command: CommandName,
        lock: &Stored<CommandLock>,
    ) -> Result<Put, LegacyError> {
        match self.0.lock_command(command, lock).await {
            Ok(()) => Ok(Put::Moved),
            Err(LegacyError::CommandLocked) => {
                let found = self.0.check_command_lock(command).await?;
                Ok(match found {
                    Some(found) if found.raw() == lock.raw() => Put::Already,
                    _ => Put::Conflict { with: locked_at_another_time(command) },
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn put_other(&self, item: &Item) -> Result<Put, LegacyError> {
        let put = self.0.compare_and_set_key(&item.key, None, item.value.clone()).await?;
        Ok(match put {
            Ok(()) => Put::Moved,
            Err(Some(found)) if found == item.value => Put::Already,
            Err(_) => Put::Conflict { with: "another value".to_owned() },
        })
    }
}

fn holder(held: &HeldLock) -> String {
    match &held.record.request.pull {
        Some(pull) => format!("{pull}"),
        None => held.record.owner().to_string(),
    }
}

fn locked_at_another_time(command: CommandName) -> String {
    format!("{command} is locked with another time")
}
