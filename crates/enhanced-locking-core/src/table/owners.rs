//! Who has what. Owns the index from owners to their entries, cheap for the many owners that have one. The entries
//! are the table's: whose they are and for what, it has to be told.

use std::collections::BTreeMap;

use enhanced_locking_foundation::{AcquireRequest, OwnerId, ResourceKey};
use slab::Slab;

use super::entry::Handle;
use super::lookup::{Hasher, Lookup, NameHash};

/// The entries of every owner; one owner has at most one per resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    owners: Slab<Owned>,
    by_id: Lookup,
    hasher: Hasher,
    entries: usize,
}

/// What an owner has. The one entry of an owner tells who that is.
#[derive(Clone, Debug)]
enum Owned {
    One(Handle),
    Many(Box<Many>),
}

#[derive(Clone, Debug)]
struct Many {
    owner: OwnerId,
    entries: BTreeMap<ResourceKey, Handle>,
}

impl Owners {
    /// How many entries there are, of all owners.
    pub(super) fn len(&self) -> usize {
        self.entries
    }

    /// The entry of an owner for a resource. `of` tells the request of an entry, here and below.
    pub(super) fn get<'a>(
        &self,
        owner: &OwnerId,
        key: &ResourceKey,
        of: impl Fn(Handle) -> &'a AcquireRequest,
    ) -> Option<Handle> {
        match &self.owners[self.index(self.hasher.of(owner), owner, &of)?] {
            Owned::One(handle) => (of(*handle).key == *key).then_some(*handle),
            Owned::Many(many) => many.entries.get(key).copied(),
        }
    }

    /// Everything an owner has, in the order of keys.
    pub(super) fn of<'a>(&self, owner: &OwnerId, of: impl Fn(Handle) -> &'a AcquireRequest) -> Vec<Handle> {
        match self.index(self.hasher.of(owner), owner, of).map(|index| &self.owners[index]) {
            None => Vec::new(),
            Some(Owned::One(handle)) => vec![*handle],
            Some(Owned::Many(many)) => many.entries.values().copied().collect(),
        }
    }

    /// Adds an entry, which must be the only one of its owner for its resource.
    pub(super) fn insert<'a>(&mut self, handle: Handle, of: impl Fn(Handle) -> &'a AcquireRequest) {
        self.entries += 1;
        let request = of(handle);
        let hash = self.hasher.of(&request.owner);
        let Some(index) = self.index(hash, &request.owner, &of) else {
            let index = self.owners.insert(Owned::One(handle));
            self.by_id.insert(hash, index);
            return;
        };
        let owned = &mut self.owners[index];
        match owned {
            Owned::One(first) => {
                let entries = [(of(*first).key.clone(), *first), (request.key.clone(), handle)];
                let many = Many { owner: request.owner.clone(), entries: BTreeMap::from(entries) };
                *owned = Owned::Many(Box::new(many));
            }
            Owned::Many(many) => {
                many.entries.insert(request.key.clone(), handle);
            }
        }
    }

    /// Removes an entry that is still there.
    pub(super) fn remove<'a>(&mut self, handle: Handle, of: impl Fn(Handle) -> &'a AcquireRequest) {
        let request = of(handle);
        let hash = self.hasher.of(&request.owner);
        let Some(index) = self.index(hash, &request.owner, of) else { return };
        self.entries -= 1;
        let left = match &mut self.owners[index] {
            Owned::One(..) => 0,
            Owned::Many(many) => {
                many.entries.remove(&request.key);
                many.entries.len()
            }
        };
        if left == 0 {
            self.by_id.remove(hash, index);
            self.owners.remove(index);
        }
    }

    fn index<'a>(
        &self,
        hash: NameHash,
        owner: &OwnerId,
        of: impl Fn(Handle) -> &'a AcquireRequest,
    ) -> Option<usize> {
        self.by_id.find(hash, |index| match &self.owners[index] {
            Owned::One(handle) => of(*handle).owner == *owner,
            Owned::Many(many) => many.owner == *owner,
        })
    }
}
