//! What is held or waited for, by key. Owns finding a resource by hash, the order of keys, and keeping the ones that
//! fell free a while: what was locked once is usually locked again soon.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, Index, IndexMut};

use enhanced_locking_foundation::ResourceKey;
use slab::Slab;

use super::entry::{Resource, ResourceIndex};
use super::lookup::{Hasher, Lookup};

/// Free resources that are kept.
const MAX_KEPT: usize = 1_024;

/// All resources that are held or waited for, and a few that were.
#[derive(Clone, Debug, Default)]
pub(super) struct Resources {
    slab: Slab<Slot>,
    by_key: Lookup,
    hasher: Hasher,
    in_order: BTreeMap<ResourceKey, ResourceIndex>,
    /// Resources that fell free, oldest first, each once; some may be in use again.
    fell_free: VecDeque<ResourceIndex>,
}

#[derive(Clone, Debug)]
struct Slot {
    key: ResourceKey,
    resource: Resource,
    /// Whether it is among those that fell free.
    listed: bool,
}

impl Resources {
    /// The resource of a key, which may be free.
    pub(super) fn find(&self, key: &ResourceKey) -> Option<ResourceIndex> {
        self.by_key.find(self.hasher.of(key), |index| self.slab[index].key == *key)
    }

    /// The resource of a key, made if it is not known.
    pub(super) fn find_or_new(&mut self, key: &ResourceKey) -> ResourceIndex {
        if let Some(index) = self.find(key) {
            return index;
        }
        let slot = Slot { key: key.clone(), resource: Resource::default(), listed: false };
        let index = self.slab.insert(slot);
        self.by_key.insert(self.hasher.of(key), index);
        self.in_order.insert(key.clone(), index);
        index
    }

    /// Notes that a resource may have fallen free. Forgets the one that did so longest ago, if too many did; of many
    /// that are released in a row, that may be one whose turn is still to come.
    pub(super) fn release(&mut self, index: ResourceIndex) {
        let Some(slot) = self.slab.get_mut(index) else { return };
        if slot.listed || !slot.resource.is_free() {
            return;
        }
        slot.listed = true;
        self.fell_free.push_back(index);
        if self.fell_free.len() <= MAX_KEPT {
            return;
        }
        let Some(oldest) = self.fell_free.pop_front() else { return };
        self.slab[oldest].listed = false;
        if self.slab[oldest].resource.is_free() {
            let Slot { key, .. } = self.slab.remove(oldest);
            self.by_key.remove(self.hasher.of(&key), oldest);
            self.in_order.remove(&key);
        }
    }

    /// The resources whose keys are not before `start`, in the order of keys; free ones among them.
    pub(super) fn in_order<'a>(
        &'a self,
        start: Bound<&'a str>,
    ) -> impl Iterator<Item = (&'a ResourceKey, ResourceIndex)> {
        let range = self.in_order.range::<str, _>((start, Bound::Unbounded));
        range.map(|(key, index)| (key, *index))
    }

    /// What its indexes disagree about, if they do.
    pub(super) fn violation(&self) -> Option<String> {
        let unlisted = self.slab.iter().find(|(_, slot)| slot.resource.is_free() && !slot.listed);
        if let Some((_, slot)) = unlisted {
            return Some(format!("{} is free and not listed", slot.key));
        }
        let counts = [self.slab.len(), self.in_order.len(), self.by_key.len()];
        let listed = self.slab.iter().filter(|(_, slot)| slot.listed).count();
        (counts != [self.slab.len(); 3] || listed != self.fell_free.len())
            .then(|| format!("resources are counted {counts:?}, {listed} of {} listed", self.fell_free.len()))
    }
}

impl Index<ResourceIndex> for Resources {
    type Output = Resource;

    fn index(&self, index: ResourceIndex) -> &Resource {
        &self.slab[index].resource
    }
}

impl IndexMut<ResourceIndex> for Resources {
    fn index_mut(&mut self, index: ResourceIndex) -> &mut Resource {
        &mut self.slab[index].resource
    }
}
