//! Who has what. Owns the index from owners to their entries, cheap for the many owners that have one.

use std::collections::BTreeMap;

use enhanced_locking_foundation::{OwnerId, ResourceKey};
use slab::Slab;

use super::entry::Handle;
use super::lookup::{Hasher, Lookup, NameHash};

/// The entries of every owner; one owner has at most one per resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    owners: Slab<Owner>,
    by_id: Lookup,
    hasher: Hasher,
    entries: usize,
}

#[derive(Clone, Debug)]
struct Owner {
    id: OwnerId,
    owned: Owned,
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
        match &self.owners[self.index(self.hasher.of(owner), owner)?].owned {
            Owned::One(of, handle) => (of == key).then_some(*handle),
            Owned::Many(owned) => owned.get(key).copied(),
        }
    }

    /// Everything an owner has, in the order of keys.
    pub(super) fn of(&self, owner: &OwnerId) -> Vec<Handle> {
        match self.index(self.hasher.of(owner), owner).map(|index| &self.owners[index].owned) {
            None => Vec::new(),
            Some(Owned::One(_, handle)) => vec![*handle],
            Some(Owned::Many(owned)) => owned.values().copied().collect(),
        }
    }

    /// Adds the entry of an owner for a resource, which must not have one.
    pub(super) fn insert(&mut self, owner: &OwnerId, key: &ResourceKey, handle: Handle) {
        self.entries += 1;
        let hash = self.hasher.of(owner);
        let Some(index) = self.index(hash, owner) else {
            let index =
                self.owners.insert(Owner { id: owner.clone(), owned: Owned::One(key.clone(), handle) });
            self.by_id.insert(hash, index);
            return;
        };
        let owned = &mut self.owners[index].owned;
        match owned {
            Owned::One(first, of_first) => {
                *owned = Owned::Many(BTreeMap::from([(first.clone(), *of_first), (key.clone(), handle)]));
            }
            Owned::Many(many) => {
                many.insert(key.clone(), handle);
            }
        }
    }

    /// Removes the entry of an owner for a resource.
    pub(super) fn remove(&mut self, owner: &OwnerId, key: &ResourceKey) {
        let hash = self.hasher.of(owner);
        let Some(index) = self.index(hash, owner) else { return };
        self.entries -= 1;
        let left = match &mut self.owners[index].owned {
            Owned::One(..) => 0,
            Owned::Many(many) => {
                many.remove(key);
                many.len()
            }
        };
        if left == 0 {
            self.by_id.remove(hash, index);
            self.owners.remove(index);
        }
    }

    fn index(&self, hash: NameHash, owner: &OwnerId) -> Option<usize> {
        self.by_id.find(hash, |index| self.owners[index].id == *owner)
    }
}
