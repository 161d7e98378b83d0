//! A compact hash index of numbers. Owns hashing and probing; what a number stands for, and whether it is the one
//! looked for, is the caller's.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Finds a number by the hash of what it stands for.
///
/// Eight bytes an entry, so that a million of them stay near the processor; the hash is kept, so that growing
/// needs no look at what the numbers stand for. Never walked: its order cannot show.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookup {
    entries: HashTable<(u32, u32)>,
    hasher: DefaultHashBuilder,
}

impl Lookup {
    /// How many numbers it knows.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The number that stands for `value`, as told by `is_it`.
    pub(super) fn find<T: Hash + ?Sized>(&self, value: &T, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let hash = self.hash(value);
        let found = self.entries.find(spread(hash), |(h, number)| *h == hash && is_it(*number as usize));
        found.map(|(_, number)| *number as usize)
    }

    /// Adds a number that stands for `value`.
    pub(super) fn insert<T: Hash + ?Sized>(&mut self, value: &T, number: usize) {
        let hash = self.hash(value);
        // Entries are bounded far below 2^32 by `Limits`.
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.entries.insert_unique(spread(hash), (hash, number), |(hash, _)| spread(*hash));
    }

    /// Removes a number that stood for `value`.
    pub(super) fn remove<T: Hash + ?Sized>(&mut self, value: &T, number: usize) {
        let hash = self.hash(value);
        if let Ok(entry) = self.entries.find_entry(spread(hash), |(h, n)| *h == hash && *n as usize == number)
        {
            entry.remove();
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    fn hash<T: Hash + ?Sized>(&self, value: &T) -> u32 {
        self.hasher.hash_one(value) as u32
    }
}

/// The table takes its bucket from the low bits and its tag from the high ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
