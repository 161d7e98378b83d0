//! Reading and deleting by key. Owns which kind of key goes where.

use bytes::Bytes;
use enhanced_locking_compat::key::{CommandName, RedisKey};
use enhanced_locking_compat::legacy::LegacyError;

use super::Shared;
use super::resp::Reply;
use super::session::Session;

/// What a key stands for here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind<'a> {
    /// A lock on a project, by Atlantis' key.
    Lock(&'a str),
    /// A lock on a command.
    Command(CommandName),
    /// A document.
    Document(&'a str),
    /// Not text: nothing is ever stored under it.
    Impossible,
}

impl<'a> Kind<'a> {
    pub(super) fn of(key: &'a [u8]) -> Self {
        let Ok(key) = std::str::from_utf8(key) else { return Self::Impossible };
        match RedisKey::of(key) {
            RedisKey::Lock(text) => Self::Lock(text),
            RedisKey::Command(command) => Self::Command(command),
            _ => Self::Document(key),
        }
    }
}

/// `GET key`.
pub(super) async fn get(shared: &Shared, session: &Session, key: &[u8]) -> Reply {
    match read(shared, session, key).await {
        Ok(Some(value)) => Reply::Bulk(value),
        Ok(None) => Reply::Null,
        Err(error) => error.into(),
    }
}

/// Reads a value, and notes which holder was seen.
pub(super) async fn read(
    shared: &Shared,
    session: &Session,
    key: &[u8],
) -> Result<Option<Bytes>, LegacyError> {
    let found = match Kind::of(key) {
        Kind::Lock(text) => shared.locks.get_lock(text).await.map(|held| {
            shared.sightings.note(session.client(), text, held.as_ref().map(|held| held.record.grant()));
            held.map(|held| Bytes::from(held.value.into_parts().0))
        }),
        Kind::Command(command) => shared
            .locks
            .check_command_lock(command)
            .await
            .map(|lock| lock.map(|lock| Bytes::from(lock.into_parts().0))),
        Kind::Document(key) => shared.locks.value_of_key(key).await.map(|value| value.map(Bytes::from)),
        Kind::Impossible => Ok(None),
    };
    match found {
        // Under what can be no key there is nothing.
        Err(LegacyError::Key(_) | LegacyError::Value(_)) => Ok(None),
        found => found,
    }
}

/// `MGET key …`.
pub(super) async fn mget(shared: &Shared, session: &Session, keys: &[Bytes]) -> Reply {
    let mut values = Vec::with_capacity(keys.len());
    let mut room = super::resp::RequestLimits::KNOWN.part;
    for key in keys {
        match read(shared, session, key).await {
            Ok(Some(value)) if value.len() > room => {
                return Reply::error("ERR the values are too long for one answer; ask for fewer keys");
            }
            Ok(Some(value)) => {
                room -= value.len();
                values.push(Reply::Bulk(value));
            }
            Ok(None) => values.push(Reply::Null),
            Err(error) => return error.into(),
        }
    }
    Reply::Array(values)
}

/// `DEL key …`, and `UNLINK`, which is the same here.
pub(super) async fn del(shared: &Shared, session: &Session, keys: &[Bytes]) -> Reply {
    let mut deleted = 0;
    for key in keys {
        match delete(shared, session, key).await {
            Ok(existed) => deleted += i64::from(existed),
            Err(LegacyError::Key(_) | LegacyError::Value(_)) => {}
            Err(error) => return error.into(),
        }
    }
    Reply::Number(deleted)
}

/// Deletes what is under a key; whether something was.
///
/// Atlantis reads a lock before it deletes it, on whichever of its connections. The holder that it saw is deleted, and
/// nobody who came in between. Without a look before, whoever holds it is deleted, as Redis would.
async fn delete(shared: &Shared, session: &Session, key: &[u8]) -> Result<bool, LegacyError> {
    match Kind::of(key) {
        Kind::Lock(text) => match shared.sightings.last(session.client(), text) {
            Some(grant) => shared.locks.unlock_grant(&grant).await,
            None => Ok(shared.locks.unlock(text).await?.is_some()),
        },
        Kind::Command(command) => match shared.locks.unlock_command(command).await {
            Ok(()) => Ok(true),
            Err(LegacyError::CommandNotLocked) => Ok(false),
            Err(error) => Err(error),
        },
        Kind::Document(key) => shared.locks.set_key(key, None).await,
        Kind::Impossible => Ok(false),
    }
}

/// Whether there is something under a key.
pub(super) async fn is_there(shared: &Shared, key: &[u8]) -> Result<bool, LegacyError> {
    let found = match Kind::of(key) {
        Kind::Lock(text) => shared.locks.is_locked(text).await,
        Kind::Command(command) => shared.locks.check_command_lock(command).await.map(|lock| lock.is_some()),
        Kind::Document(key) => shared.locks.value_of_key(key).await.map(|value| value.is_some()),
        Kind::Impossible => Ok(false),
    };
    match found {
        Err(LegacyError::Key(_) | LegacyError::Value(_)) => Ok(false),
        found => found,
    }
}

/// `EXISTS key …`; a key that is named twice counts twice.
pub(super) async fn exists(shared: &Shared, keys: &[Bytes]) -> Reply {
    let mut found = 0;
    for key in keys {
        match is_there(shared, key).await {
            Ok(there) => found += i64::from(there),
            Err(error) => return error.into(),
        }
    }
    Reply::Number(found)
}

/// One answer for a key that is there, and one for a key that is not.
pub(super) async fn describe(shared: &Shared, key: &[u8], there: Reply, absent: Reply) -> Reply {
    match is_there(shared, key).await {
        Ok(true) => there,
        Ok(false) => absent,
        Err(error) => error.into(),
    }
}

/// `STRLEN key`.
pub(super) async fn length(shared: &Shared, session: &Session, key: &[u8]) -> Reply {
    match read(shared, session, key).await {
        Ok(value) => Reply::Number(i64::try_from(value.map_or(0, |value| value.len())).unwrap_or(i64::MAX)),
        Err(error) => error.into(),
    }
}
