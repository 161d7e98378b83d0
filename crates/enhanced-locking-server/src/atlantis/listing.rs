//! Listing keys: SCAN, KEYS, DBSIZE. Owns that every key is listed once, and in one page.
//!
//! A page is everything, with cursor 0, as the protocol allows: there is nothing to remember between pages, so that any
//! replica answers any page, no key is listed twice, and none is missed while others come and go.

use bytes::Bytes;
use enhanced_locking_compat::key::LockKey;
use enhanced_locking_compat::legacy::{LegacyError, LegacyLocks};

use super::Shared;
use super::commands::{is, syntax};
use super::glob::{PATTERN_BYTES_MAX, literal_prefix, matches};
use super::resp::Reply;

/// `SCAN cursor [MATCH pattern] [COUNT n] [TYPE type]`.
pub(super) async fn scan(shared: &Shared, cursor: &[u8], mut options: &[Bytes]) -> Reply {
    let cursor: Option<u64> = std::str::from_utf8(cursor).ok().and_then(|text| text.parse().ok());
    let Some(cursor) = cursor else { return Reply::error("ERR invalid cursor") };
    let (mut pattern, mut strings) = (Bytes::from_static(b"*"), true);
    while let Some((option, others)) = options.split_first() {
        let Some((value, rest)) = others.split_first() else { return syntax() };
        if is(option, "MATCH") {
            pattern = value.clone();
        } else if is(option, "TYPE") {
            strings = is(value, "string");
        } else if is(option, "COUNT") {
            let count: Option<i64> = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            match count {
                // How many a page should have is advice.
                Some(1..) => {}
                Some(_) => return syntax(),
                None => return Reply::error("ERR value is not an integer or out of range"),
            }
        } else {
            return syntax();
        }
        options = rest;
    }
    let keys = match cursor {
        0 if strings => matching(shared, &pattern).await,
        // Nobody was given another cursor than 0 here: it is the end of a scan begun elsewhere.
        _ => Ok(Vec::new()),
    };
    match keys {
        Ok(keys) => Reply::Array(vec![Reply::text("0"), Reply::Array(keys)]),
        Err(error) => error.into(),
    }
}

/// `KEYS pattern`.
pub(super) async fn keys(shared: &Shared, pattern: &[u8]) -> Reply {
    matching(shared, pattern).await.map_or_else(Reply::from, Reply::Array)
}

/// `DBSIZE`.
pub(super) async fn count(shared: &Shared) -> Reply {
    match matching(shared, b"*").await {
        Ok(keys) => Reply::Number(i64::try_from(keys.len()).unwrap_or(i64::MAX)),
        Err(error) => error.into(),
    }
}

/// All keys that match: locks on projects, locks on commands, documents.
///
/// Two patterns are not taken literally, because of what Atlantis does with what it finds.
///
/// `pr*`: Atlantis lists its locks by `pr*`, and decodes everything it finds as a lock: the
/// status of a pull request on a host called `prod-git` would be a lock without a project on its front page. It lists
/// locks only.
///
/// `pr/acme/infra*`: Atlantis looks for the locks of a repository, and deletes those with the number of its pull request,
/// also if they are of `acme/infra2`. It lists what is below `pr/acme/infra/`.
///
/// Every other pattern matches as in Redis, `pro*`, `pr/acme/inf**` and `[p]r*` included, for those who look after the
/// store.
async fn matching(shared: &Shared, pattern: &[u8]) -> Result<Vec<Reply>, LegacyError> {
    if pattern.len() > PATTERN_BYTES_MAX {
        let what = "bytes in the pattern";
        return Err(LegacyError::TooMany { what, limit: PATTERN_BYTES_MAX });
    }
    let prefix = literal_prefix(pattern);
    let may_be = |beginning: &[u8]| beginning.starts_with(prefix) || prefix.starts_with(beginning);
    let mut found = Vec::new();
    let of_repo = of_one_repo(pattern);
    let mut add = |key: String| {
        let is_other = of_repo.is_some_and(|repo| key.as_bytes().get(repo.len()) != Some(&b'/'));
        if matches(pattern, key.as_bytes()) && !is_other {
            found.push(Reply::text(key));
        }
    };
    if may_be(LockKey::REDIS_PREFIX.as_bytes()) {
        for text in shared.locks.texts().await? {
            add(format!("{}{text}", LockKey::REDIS_PREFIX));
        }
    }
    if pattern == b"pr*" || prefix.starts_with(LockKey::REDIS_PREFIX.as_bytes()) {
        return Ok(found);
    }
    if may_be(b"global/") {
        shared.locks.locked_commands().await?.into_iter().for_each(|command| add(command.redis_key()));
    }
    shared.locks.keys().await?.into_iter().for_each(&mut add);
    if found.len() > LegacyLocks::LIST_MAX {
        return Err(LegacyError::TooMany { what: "keys", limit: LegacyLocks::LIST_MAX });
    }
    Ok(found)
}

/// What is in front of the star in `pr/owner/repo*`, if the pattern is such a one.
fn of_one_repo(pattern: &[u8]) -> Option<&[u8]> {
    let repo = literal_prefix(pattern);
    let name = repo.strip_prefix(LockKey::REDIS_PREFIX.as_bytes())?;
    let is_name = name.contains(&b'/') && !name.ends_with(b"/");
    (is_name && pattern.get(repo.len()..) == Some(b"*")).then_some(repo)
}
