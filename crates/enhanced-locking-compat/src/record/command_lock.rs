//! The lock on a command for everybody: only `apply` is ever locked by Atlantis. Owns its members.

use enhanced_locking_foundation::Timestamp;
use serde::Serialize;
use serde::ser::SerializeMap;

use super::decode;
use super::error::RecordError;
use super::other::OtherMembers;
use super::show::{Show, Shown, serialize_without_secrets};
use super::stored::Record;
use crate::json::{self, EncodeError};
use crate::key::CommandName;

/// A command that is locked for everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLock {
    /// Since when, in seconds since the Unix epoch.
    pub unix_seconds: i64,
    /// The command, as the number Atlantis stores.
    pub command_number: i64,
    /// Members that a later Atlantis may have added.
    pub other: OtherMembers,
}

impl CommandLock {
    /// A lock taken at a point in time.
    #[must_use]
    pub fn new(command: CommandName, at: Timestamp) -> Self {
        let seconds = i64::try_from(at.as_micros() / 1_000_000).unwrap_or(i64::MAX);
        Self { unix_seconds: seconds, command_number: command.number(), other: OtherMembers::default() }
    }

    /// The command; `None` if this crate does not know its number.
    #[must_use]
    pub fn command(&self) -> Option<CommandName> {
        CommandName::from_number(self.command_number)
    }

    /// The lock as Atlantis writes it, byte for byte. Unknown members follow the known ones.
    ///
    /// # Errors
    /// [`EncodeError`]; a lock always has a JSON form, so that no caller sees it.
    pub fn to_json(&self) -> Result<Vec<u8>, EncodeError> {
        json::to_vec(&Shown(self, Show::Everything))
    }
}

impl Record for CommandLock {
    fn decode(raw: &[u8]) -> Result<Self, RecordError> {
        let mut lock = Self::default();
        let Self { unix_seconds, command_number, other } = &mut lock;
        let value = decode::value::<Self>(raw)?;
        let names = &["LockMetadata", "CommandName"];
        decode::object(value, "the value", names, Some(other), |member, value| match member {
            "LockMetadata" => decode::object(value, "LockMetadata", &["UnixTime"], None, |_, value| {
                decode::whole(value, "LockMetadata.UnixTime", unix_seconds)
            }),
            _ => decode::whole(value, "CommandName", command_number),
        })?;
        Ok(lock)
    }
}

impl Serialize for Shown<'_, CommandLock> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(lock, show) = *self;
        let metadata = std::collections::BTreeMap::from([("UnixTime", lock.unix_seconds)]);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("LockMetadata", &metadata)?;
        map.serialize_entry("CommandName", &lock.command_number)?;
        lock.other.write(&mut map, show)?;
        map.end()
    }
}

serialize_without_secrets!(CommandLock);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_written_as_atlantis_writes_it() {
        let lock = CommandLock::new(CommandName::Apply, Timestamp::from_micros(1_787_383_815_999_999));
        let raw = br#"{"LockMetadata":{"UnixTime":1787383815},"CommandName":0}"#;
        assert_eq!(lock.to_json().unwrap(), raw);
        assert_eq!(CommandLock::decode(raw), Ok(lock));
    }

    #[test]
    fn numbers_without_a_command_are_kept() {
        let lock = CommandLock::decode(br#"{"CommandName":99,"Lease":"x"}"#).unwrap();
        assert_eq!((lock.command(), lock.command_number), (None, 99));
        let written = String::from_utf8(lock.to_json().unwrap()).unwrap();
        assert_eq!(written, r#"{"LockMetadata":{"UnixTime":0},"CommandName":99,"Lease":"x"}"#);
    }

    #[test]
    fn damage_is_named_by_its_place() {
        let error = CommandLock::decode(br#"{"LockMetadata":{"UnixTime":1.5}}"#).unwrap_err();
        assert_eq!(error, RecordError::NotWhole { member: "LockMetadata.UnixTime" });
    }
}
