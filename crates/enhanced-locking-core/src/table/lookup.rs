//! A compact hash index of numbers. Owns hashing and probing; what a number stands for, and whether it is the one
//! looked for, is the caller's. So is keeping a hash that will be needed again.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// The hash of a name. It means something to those who use the same [`Hasher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameHash(u32);

/// Hashes names, differently in every table: nobody can choose names that collide.
#[derive(Clone, Debug, Default)]
pub(super) struct Hasher(DefaultHashBuilder);

impl Hasher {
    /// The hash of a name.
    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    pub(super) fn of<T: Hash + ?Sized>(&self, name: &T) -> NameHash {
        NameHash(self.0.hash_one(name) as u32)
    }
}

/// Finds a number by the hash of what it stands for.
///
/// Eight bytes an entry, so that a million of them stay near the processor; the hash is kept, so that growing
/// needs no look at what the numbers stand for. Never walked: its order cannot show.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookup {
    entries: HashTable<(NameHash, u32)>,
}

impl Lookup {
    /// How many numbers it knows.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The number of this hash that is the one, as told by `is_it`.
    pub(super) fn find(&self, hash: NameHash, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let found = self.entries.find(spread(hash), |(h, number)| *h == hash && is_it(*number as usize));
        found.map(|(_, number)| *number as usize)
    }

    /// Adds a number that stands for something of this hash.
    pub(super) fn insert(&mut self, hash: NameHash, number: usize) {
        // Entries are bounded far below 2^32 by `Limits`.
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.entries.insert_unique(spread(hash), (hash, number), |(hash, _)| spread(*hash));
    }

    /// Removes a number that stood for something of this hash.
    pub(super) fn remove(&mut self, hash: NameHash, number: usize) {
        if let Ok(entry) = self.entries.find_entry(spread(hash), |(h, n)| *h == hash && *n as usize == number)
        {
            entry.remove();
        }
    }
}

/// The table takes its bucket from the low bits and its tag from the high ones.
fn spread(NameHash(hash): NameHash) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
