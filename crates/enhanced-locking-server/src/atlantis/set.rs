//! `SET`. Owns its options and what writing means for each kind of key: for a lock, taking it.

use bytes::Bytes;
use enhanced_locking_compat::key::CommandName;
use enhanced_locking_compat::legacy::{LegacyError, TryLock};
use enhanced_locking_compat::record::{CommandLock, ProjectLock, Stored};

use super::Shared;
use super::commands::{is, syntax};
use super::keys::{Kind, read};
use super::refusal::held_by;
use super::resp::Reply;
use super::session::Session;

/// How often a document is tried to be written while others change it.
const ATTEMPTS: usize = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options {
    /// Only if nothing is there, or only if something is.
    only_if: Option<bool>,
    /// Answer what was there before.
    get: bool,
}

impl Options {
    fn parse(words: &[Bytes]) -> Result<Self, Reply> {
        let mut options = Self::default();
        for word in words {
            if is(word, "NX") && options.only_if != Some(true) {
                options.only_if = Some(false);
            } else if is(word, "XX") && options.only_if != Some(false) {
                options.only_if = Some(true);
            } else if is(word, "GET") {
                options.get = true;
            } else if ["EX", "PX", "EXAT", "PXAT"].iter().any(|expiry| is(word, expiry)) {
                return Err(Reply::error(
                    "ERR locks of Atlantis do not expire here; set without an expiry, and delete when done",
                ));
            } else if !is(word, "KEEPTTL") {
                return Err(syntax());
            }
        }
        Ok(options)
    }

    /// The answer if it was written.
    fn done(self, before: Option<Bytes>) -> Reply {
        match (self.get, before) {
            (false, _) => Reply::OK,
            (true, Some(before)) => Reply::Bulk(before),
            (true, None) => Reply::Null,
        }
    }

    /// The answer if the condition was not met.
    fn not_done(self, there: Option<Bytes>) -> Reply {
        if self.get { self.done(there) } else { Reply::Null }
    }
}

/// `SET key value [NX | XX] [GET] [KEEPTTL]`.
pub(super) async fn set(
    shared: &Shared,
    session: &Session,
    key: &[u8],
    value: &Bytes,
    options: &[Bytes],
) -> Reply {
    let options = match Options::parse(options) {
        Ok(options) => options,
        Err(refused) => return refused,
    };
    let written = match Kind::of(key) {
        Kind::Lock(text) => lock(shared, session, text, value, options).await,
        Kind::Command(command) => lock_command(shared, session, key, command, value, options).await,
        Kind::Document(key) => document(shared, key, value, options).await,
        Kind::Impossible => Ok(Reply::error("ERR keys are UTF-8 text here")),
    };
    written.unwrap_or_else(Reply::from)
}

/// Takes the lock. The pull request that holds it already is told OK, and its first value stays: a retry after a lost
/// answer is the same. Everybody else is told who holds it.
async fn lock(
    shared: &Shared,
    session: &Session,
    text: &str,
    value: &Bytes,
    options: Options,
) -> Result<Reply, LegacyError> {
    if options.only_if == Some(true) && !shared.locks.is_locked(text).await? {
        return Ok(options.not_done(None));
    }
    let lock = Stored::<ProjectLock>::read(&value[..])?;
    let tried = shared.locks.try_lock_at(text, &lock).await?;
    let before = |tried: &TryLock| Some(Bytes::copy_from_slice(tried.held().value.raw()));
    Ok(match &tried {
        TryLock::Acquired(held) => {
            shared.sightings.note(session.client(), text, Some(held.record.grant()));
            options.done(None)
        }
        TryLock::Mine(held) => {
            shared.sightings.note(session.client(), text, Some(held.record.grant()));
            if options.only_if == Some(false) {
                options.not_done(before(&tried))
            } else {
                options.done(before(&tried))
            }
        }
        TryLock::HeldBy(_) if options.only_if == Some(false) => options.not_done(before(&tried)),
        TryLock::HeldBy(held) => held_by(held),
    })
}

/// Locks a command. The second one is refused.
async fn lock_command(
    shared: &Shared,
    session: &Session,
    key: &[u8],
    command: CommandName,
    value: &Bytes,
    options: Options,
) -> Result<Reply, LegacyError> {
    let lock = Stored::<CommandLock>::read(&value[..])?;
    if options.only_if == Some(true) {
        // What is there is never replaced.
        let there = read(shared, session, key).await?;
        return Ok(if there.is_some() { options.done(there) } else { options.not_done(None) });
    }
    match shared.locks.lock_command(command, &lock).await {
        Ok(()) => Ok(options.done(None)),
        Err(LegacyError::CommandLocked) if options.only_if == Some(false) => {
            Ok(options.not_done(read(shared, session, key).await?))
        }
        Err(error) => Err(error),
    }
}

async fn document(shared: &Shared, key: &str, value: &Bytes, options: Options) -> Result<Reply, LegacyError> {
    if options == Options::default() {
        shared.locks.set_key(key, Some(value.to_vec())).await?;
        return Ok(Reply::OK);
    }
    let mut found = match options.only_if {
        Some(false) => None,
        _ => shared.locks.value_of_key(key).await?,
    };
    for _ in 0..ATTEMPTS {
        if options.only_if == Some(true) && found.is_none() {
            return Ok(options.not_done(None));
        }
        match shared.locks.compare_and_set_key(key, found.clone(), value.to_vec()).await? {
            Ok(()) => return Ok(options.done(found.map(Bytes::from))),
            Err(there) if options.only_if == Some(false) => {
                return Ok(options.not_done(there.map(Bytes::from)));
            }
            Err(there) => found = there,
        }
    }
    Err(LegacyError::Contended { attempts: ATTEMPTS })
}
