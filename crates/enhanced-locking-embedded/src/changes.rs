//! What a journal changes, record by record. Owns finding the newest state of each; the form of the bytes is `frame`'s.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// A record's key, and its value unless it is gone.
pub(crate) type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// The newest state of every record a journal tells of.
///
/// Most records of a journal are gone again before it ends: what is borrowed, and found by its hash, costs little.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    /// Each once, in the order in which they appear first.
    records: Vec<Change<'a>>,
    places: HashMap<&'a [u8], usize>,
}

impl<'a> Changes<'a> {
    /// Whether it tells of a record.
    pub(crate) fn tells_of(&self, key: &[u8]) -> bool {
        self.places.contains_key(key)
    }

    /// The records that are there, in the order of keys.
    pub(crate) fn put(&self) -> Vec<(&'a [u8], &'a [u8])> {
        let there = self.records.iter().filter_map(|(key, value)| value.map(|value| (*key, value)));
        let mut there: Vec<_> = there.collect();
        there.sort_unstable();
        there
    }

    /// The records that are gone.
    pub(crate) fn removed(&self) -> impl Iterator<Item = &'a [u8]> {
        self.records.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| *key)
    }
}

impl<'a> FromIterator<Change<'a>> for Changes<'a> {
    /// Of the changes from the oldest to the newest.
    fn from_iter<I: IntoIterator<Item = Change<'a>>>(changes: I) -> Self {
        let mut newest = Self::default();
        for (key, value) in changes {
            match newest.places.entry(key) {
                Entry::Occupied(place) => {
                    if let Some(record) = newest.records.get_mut(*place.get()) {
                        record.1 = value;
                    }
                }
                Entry::Vacant(place) => {
                    place.insert(newest.records.len());
                    newest.records.push((key, value));
                }
            }
        }
        newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_state_of_each_record_counts() {
        let (old, new) = (Some(&b"old"[..]), Some(&b"new"[..]));
        let told = [
            (&b"b"[..], old),
            (b"c", old),
            (b"a", old),
            (b"c", None),
            (b"d", None),
            (b"b", new),
            (b"d", old),
        ];
        let changes: Changes<'_> = told.into_iter().collect();
        assert_eq!(changes.put(), [(&b"a"[..], &b"old"[..]), (b"b", b"new"), (b"d", b"old")]);
        assert_eq!(changes.removed().collect::<Vec<_>>(), [b"c"]);
        assert!(changes.tells_of(b"c") && !changes.tells_of(b"e"));
    }
}
