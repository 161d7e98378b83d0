//! The key of Atlantis as an alias of our own. Owns the one way from a text to a key, and the way back.

use std::borrow::Cow;

use enhanced_locking_foundation::{LockRecord, ProjectKey, ResourceKey, ValueError};

use super::error::LegacyError;
use crate::key::LockKey;
use crate::record::ProjectLock;

/// The longest key of Atlantis that can be locked, in bytes. It is kept among the labels of the lock.
pub const TEXT_BYTES_MAX: usize = 1024;

/// The label that keeps the text a lock was taken under, if our own key does not lead back to it.
pub(super) const TEXT_LABEL: &str = "atlantis_key";

/// The key that stands for a text of Atlantis: the same that the project has everywhere else, without a host.
///
/// Texts of three parts (up to v0.39) stand for the project without a name. Texts are taken apart as Atlantis does
/// ([`LockKey::parse`]), so that two projects it takes for one are one here as well.
///
/// # Errors
/// [`LegacyError::Key`] or [`LegacyError::Value`] for a text that can be no key.
pub fn alias_key(text: &str) -> Result<ResourceKey, LegacyError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ValueError::TooLong { what: "lock key", len: text.len(), max: TEXT_BYTES_MAX }.into());
    }
    let four = if slashes(text) == 3 { Cow::Owned(format!("{text}/")) } else { Cow::Borrowed(text) };
    Ok(LockKey::parse(&four)?.project("")?.key()?)
}

/// Where a value belongs that is written under a text, and the label that leads back.
///
/// A text of three parts belongs where the value says: the name of the project is in the value, and whoever comes with
/// a key of four parts has to be in its way. Old texts with a longer path look like new ones; the value tells them.
pub(super) fn place(text: &str, lock: &ProjectLock) -> Result<(ResourceKey, Option<String>), LegacyError> {
    let of = LockKey::of(lock);
    let current = of.text();
    if text == of.old_text() && text != current {
        return Ok((alias_key(&current)?, Some(text.to_owned())));
    }
    let key = alias_key(text)?;
    let label = (canonical(&key).as_deref() != Some(text)).then(|| text.to_owned());
    Ok((key, label))
}

/// The text under which Atlantis finds a lock; `None` if there is none, as for a key that is no project's.
///
/// Never a text of three parts: an Atlantis that starts would move such a lock to its new key, which is the same lock
/// here, and delete it.
pub(super) fn text_of(record: &LockRecord) -> Option<String> {
    let key = &record.request.key;
    let leads_back = |text: &String| slashes(text) > 3 && alias_key(text).is_ok_and(|alias| alias == *key);
    label(record).map(str::to_owned).filter(leads_back).or_else(|| canonical(key).filter(leads_back))
}

/// The text in the label, which may be an old one.
pub(super) fn label(record: &LockRecord) -> Option<&str> {
    record.request.metadata.entries().get(TEXT_LABEL).map(String::as_str)
}

/// The text of three parts under which a lock of the project without a name may have been taken.
pub(super) fn may_be_old(text: &str) -> bool {
    !text.ends_with('/')
}

/// Whether it can only be a text of three parts.
pub(super) fn is_old(text: &str) -> bool {
    slashes(text) == 3
}

fn canonical(key: &ResourceKey) -> Option<String> {
    let project = ProjectKey::parse(key).filter(|project| project.host.is_empty())?;
    Some(LockKey::from(&project).text())
}

fn slashes(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'/').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_no_key_is_refused() {
        for text in
            ["", "invalidkey", "a/b/c", "///", "////", "o/r/p/w\n/", "o/r/p/w\u{7}/", &"a/".repeat(600)]
        {
            assert!(alias_key(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn old_and_unclean_texts_have_the_key_of_the_project() {
        let key = alias_key("o/r/a/b/w/").unwrap();
        assert_eq!(alias_key("o/r/./a//b/w/").unwrap(), key);
        assert_eq!(alias_key("o/r/a/w").unwrap().as_str(), "project::o/r:a:w:");
    }
}
