//! The one script that Atlantis sends. Owns recognising it; what it does is an operation of its own.
//!
//! Since v0.46 Atlantis deletes the lock of a pull request by a script that reads, compares and deletes. There is no
//! interpreter here: exactly this text is known, by its digest, and anything else is refused.

use bytes::Bytes;
use enhanced_locking_compat::legacy::LegacyError;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::Shared;
use super::commands::{is, syntax, unknown_subcommand};
use super::keys::Kind;
use super::resp::Reply;

/// The digests of the script, as text: the long one tells it, the short one names it in the protocol.
const SHA_256: &str = "58e18868089c7a3255963f293c3b12b570e5b768f4d61aacc0a134e5e898e0df";
const SHA_1: &str = "c09313c9247bdb6383a96b527fe8492ef19a1eeb";

const UNKNOWN: &str = "ERR only the script by which Atlantis unlocks what a pull request owns is known here; update this \
                       service if a newer Atlantis sends another";

/// `EVAL script 1 key number`, and the same by the digest.
pub(super) async fn eval(
    shared: &Shared,
    by_digest: bool,
    script: &[u8],
    count: &[u8],
    rest: &[Bytes],
) -> Reply {
    let count: Option<i64> = std::str::from_utf8(count).ok().and_then(|text| text.parse().ok());
    match count {
        None => return Reply::error("ERR value is not an integer or out of range"),
        Some(..0) => return Reply::error("ERR Number of keys can't be negative"),
        Some(count) if usize::try_from(count).is_ok_and(|count| count > rest.len()) => {
            return Reply::error("ERR Number of keys can't be greater than number of args");
        }
        Some(_) => {}
    }
    if by_digest && !is(script, SHA_1) {
        return Reply::error("NOSCRIPT No matching script. Please use EVAL.");
    }
    if !by_digest && !is_known(script) {
        return Reply::error(UNKNOWN);
    }
    let (Some(1), [key, number]) = (count, rest) else {
        return Reply::error("ERR the script takes one key and the number of a pull request");
    };
    let number: Option<i64> = std::str::from_utf8(number).ok().and_then(|text| text.trim().parse().ok());
    let Kind::Lock(text) = Kind::of(key) else {
        return Reply::error("ERR the script is for keys of locks, which begin with pr/");
    };
    // What is no number is nobody's.
    let Some(number) = number else { return Reply::Null };
    match shared.locks.unlock_if_owned_by_pull(text, number).await {
        Ok(Some(held)) => Reply::Bulk(Bytes::from(held.value.into_parts().0)),
        Ok(None) | Err(LegacyError::Key(_) | LegacyError::Value(_)) => Reply::Null,
        Err(error) => error.into(),
    }
}

/// `SCRIPT LOAD`, `EXISTS` and `FLUSH`.
pub(super) fn manage(arguments: &[Bytes]) -> Reply {
    match arguments {
        [word, script] if is(word, "LOAD") && is_known(script) => Reply::text(SHA_1),
        [word, _] if is(word, "LOAD") => Reply::error(UNKNOWN),
        [word, digests @ ..] if is(word, "EXISTS") && !digests.is_empty() => {
            Reply::Array(digests.iter().map(|digest| Reply::Number(is(digest, SHA_1).into())).collect())
        }
        [word, ..] if is(word, "FLUSH") => Reply::OK,
        [word, ..] => unknown_subcommand("SCRIPT", word),
        [] => syntax(),
    }
}

fn is_known(script: &[u8]) -> bool {
    hex(digest(&SHA256, script).as_ref()) == SHA_256
}

/// A name of 40 hexadecimal digits for any text.
pub(super) fn name_of(text: &str) -> String {
    hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
