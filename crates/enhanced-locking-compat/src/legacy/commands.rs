//! Locks on commands for everybody. Owns that the second one fails in one step.

use enhanced_locking_foundation::{AcquireRequest, Lease, LockQuery, OwnerId, ResourceKey, Wait};

use super::error::LegacyError;
use super::locks::{LegacyLocks, Taken, lock_document};
use crate::key::CommandName;
use crate::record::{CommandLock, Stored};

/// What the keys of command locks begin with.
const COMMANDS: &str = "atlantis:global/";

/// Who holds them: Atlantis does not say who locked a command.
const OWNER: &str = "atlantis";

impl LegacyLocks {
    /// Locks a command.
    ///
    /// # Errors
    /// [`LegacyError::CommandLocked`] if it is locked, [`LegacyError`] if the store fails.
    pub async fn lock_command(
        &self,
        command: CommandName,
        lock: &Stored<CommandLock>,
    ) -> Result<(), LegacyError> {
        let request =
            AcquireRequest::new(key_of(command)?, OwnerId::new(OWNER)?).lease(Lease::Sticky).wait(Wait::No);
        match self.take(request, lock.raw()).await? {
            Taken::New(_) => Ok(()),
            Taken::Old(_) => Err(LegacyError::CommandLocked),
        }
    }

    /// Unlocks a command.
    ///
    /// # Errors
    /// [`LegacyError::CommandNotLocked`] if it is not locked, [`LegacyError`] if the store fails.
    pub async fn unlock_command(&self, command: CommandName) -> Result<(), LegacyError> {
        let holder = self.holder_of(&key_of(command)?).await?.ok_or(LegacyError::CommandNotLocked)?;
        // Unlocked by another in between: then this one did not.
        if self.unlock_grant(&holder.grant()).await? { Ok(()) } else { Err(LegacyError::CommandNotLocked) }
    }

    /// The lock on a command, if there is one.
    ///
    /// # Errors
    /// [`LegacyError`] if the store fails.
    pub async fn check_command_lock(
        &self,
        command: CommandName,
    ) -> Result<Option<Stored<CommandLock>>, LegacyError> {
        let Some(record) = self.holder_of(&key_of(command)?).await? else { return Ok(None) };
        let raw = self.documents.document(&lock_document(&record.request.id)?).await?;
        // A lock whose value is lost locks all the same.
        match raw.and_then(|raw| Stored::<CommandLock>::read(raw).ok()) {
            Some(stored) => Ok(Some(stored)),
            None => Ok(Some(Stored::<CommandLock>::write(CommandLock::new(command, record.acquired_at))?)),
        }
    }

    /// The commands that are locked.
    ///
    /// # Errors
    /// [`LegacyError`] if the store fails.
    pub async fn locked_commands(&self) -> Result<Vec<CommandName>, LegacyError> {
        let query = LockQuery { prefix: Some(COMMANDS.to_owned()), ..LockQuery::default() };
        let records = self.locks.locks(&query).await?.items;
        let names = records.iter().filter_map(|record| record.request.key.as_str().strip_prefix(COMMANDS));
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }
}

fn key_of(command: CommandName) -> Result<ResourceKey, LegacyError> {
    Ok(ResourceKey::new(format!("{COMMANDS}{command}"))?)
}
