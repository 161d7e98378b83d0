//! Who has what. Owns the index from owners to their entries, cheap for the many owners that have one.

use std::collections::BTreeMap;

use enhanced_locking_foundation::{OwnerId, ResourceKey};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry as MapEntry;

use super::entry::Handle;

/// The entries of every owner; one owner has at most one per resource.
///
/// The map is only ever asked for one owner, never walked: its order cannot show.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    by_owner: HashMap<OwnerId, Owned>,
    entries: usize,
}

#[derive(Clone, Debug)]
enum Owned {
    One(ResourceKey, Handle),
    Many(BTreeMap<ResourceKey, Handle>),
}

impl Owners {
    /// How many entries there are, of all owners.
    pub(super) fn len(&self) -> usize {
        self.entries
    }

    /// The entry of an owner for a resource.
    pub(super) fn get(&self, owner: &OwnerId, key: &ResourceKey) -> Option<Handle> {
        match self.by_owner.get(owner)? {
            Owned::One(of, handle) => (of == key).then_some(*handle),
            Owned::Many(owned) => owned.get(key).copied(),
        }
    }

    /// Everything an owner has, in the order of keys.
    pub(super) fn of(&self, owner: &OwnerId) -> Vec<Handle> {
        match self.by_owner.get(owner) {
            None => Vec::new(),
            Some(Owned::One(_, handle)) => vec![*handle],
            Some(Owned::Many(owned)) => owned.values().copied().collect(),
        }
    }

    /// Adds the entry of an owner for a resource, which must not have one.
    pub(super) fn insert(&mut self, owner: &OwnerId, key: &ResourceKey, handle: Handle) {
        self.entries += 1;
        match self.by_owner.entry_ref(owner) {
            hashbrown::hash_map::EntryRef::Vacant(vacant) => {
                vacant.insert(Owned::One(key.clone(), handle));
            }
            hashbrown::hash_map::EntryRef::Occupied(occupied) => {
                let owned = occupied.into_mut();
                if let Owned::One(first, of_first) = owned {
                    *owned = Owned::Many(BTreeMap::from([(first.clone(), *of_first)]));
                }
                if let Owned::Many(many) = owned {
                    many.insert(key.clone(), handle);
                }
            }
        }
    }

    /// Removes the entry of an owner for a resource.
    pub(super) fn remove(&mut self, owner: &OwnerId, key: &ResourceKey) {
        let MapEntry::Occupied(mut owned) = self.by_owner.entry(owner.clone()) else { return };
        let left = match owned.get_mut() {
            Owned::One(..) => 0,
            Owned::Many(many) => {
                many.remove(key);
                many.len()
            }
        };
        self.entries -= 1;
        if left == 0 {
            owned.remove();
        }
    }
}
