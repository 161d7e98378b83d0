//! The entries of a bucket as records. Owns that one which cannot be read is one report; reading is `record`'s.

use std::marker::PhantomData;

use super::error::{Damage, EntryFault, shown_key};
use super::walk::{Entries, Entry};
use crate::record::{Record, Stored};

/// A record and the key under which it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoltRecord<T> {
    /// The key, as it is: for locks see [`LockKey`](crate::key::LockKey), for statuses
    /// [`PullKey`](crate::key::PullKey), for command locks
    /// [`CommandName::of_bolt_key`](crate::key::CommandName::of_bolt_key).
    pub key: String,
    /// The record.
    pub record: Stored<T>,
}

/// The records of a bucket in the order of their keys. What cannot be read is among them as [`Damage`].
#[derive(Debug)]
pub struct Records<'a, T> {
    bucket: &'static str,
    entries: Entries<'a>,
    kind: PhantomData<fn() -> T>,
}

impl<'a, T: Record> Records<'a, T> {
    pub(super) fn new(bucket: &'static str, entries: Entries<'a>) -> Self {
        Self { bucket, entries, kind: PhantomData }
    }

    fn read(&self, entry: &Entry<'_>) -> Result<BoltRecord<T>, Damage> {
        let value = entry.value.ok_or_else(|| entry.damage(EntryFault::UnexpectedBucket))?;
        let key = std::str::from_utf8(entry.key).map_err(|_| entry.damage(EntryFault::KeyNotText))?;
        let record = Stored::read(value).map_err(|source| Damage::Record {
            bucket: self.bucket,
            key: shown_key(entry.key),
            source,
        })?;
        Ok(BoltRecord { key: key.to_owned(), record })
    }
}

impl<T: Record> Iterator for Records<'_, T> {
    type Item = Result<BoltRecord<T>, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.next()?;
        Some(entry.and_then(|entry| self.read(&entry)))
    }
}

impl<T: Record> std::iter::FusedIterator for Records<'_, T> {}
