//! The line itself: an ordered sequence with positions. Owns the tree; what stands in line is the caller's.

use std::cmp::Ordering;

use crate::Rank;

/// No node.
const NONE: u32 = u32::MAX;

/// A place in a line: rank first, then the order of arrival. Unique within a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The rank.
    pub rank: Rank,
    /// The number of the arrival, which settles ties.
    pub sequence: u64,
}

/// An ordered line: insert, remove anywhere, first and position all take logarithmic time.
///
/// A treap whose heap keys are a hash of the sequence, so that its shape is balanced and the same every time.
///
/// ```
/// use enhanced_locking_foundation::{Priority, Timestamp};
/// use enhanced_locking_queue::{CreditTable, Line, Place};
///
/// let credits = CreditTable::default_aging();
/// let at = |micros, sequence, priority| Place { rank: credits.rank(Timestamp::from_micros(micros), priority), sequence };
/// let mut line = Line::new();
/// line.insert(at(10, 1, Priority::Normal), "plan");
/// line.insert(at(20, 2, Priority::Critical), "hotfix");
/// assert_eq!(line.first().map(|(_, who)| *who), Some("hotfix"));
/// assert_eq!(line.position(at(10, 1, Priority::Normal)), Some(2));
/// ```
#[derive(Clone, Debug)]
pub struct Line<T> {
    nodes: Vec<Node<T>>,
    free: u32,
    root: u32,
}

#[derive(Clone, Debug)]
struct Node<T> {
    place: Place,
    left: u32,
    right: u32,
    /// Nodes of this subtree; 0 for a free node, whose `left` is the next free one.
    size: u32,
    value: Option<T>,
}

impl<T> Line<T> {
    /// An empty line, without any memory of its own.
    #[must_use]
    pub const fn new() -> Self {
        Self { nodes: Vec::new(), free: NONE, root: NONE }
    }

    /// How many stand in line.
    #[must_use]
    pub fn len(&self) -> usize {
        self.size(self.root) as usize
    }

    /// Whether nobody does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root == NONE
    }

    /// Puts somebody in line. Returns who stood at exactly this place before.
    pub fn insert(&mut self, place: Place, value: T) -> Option<T> {
        if let Some(node) = self.find(place) {
            return self.nodes[node as usize].value.replace(value);
        }
        let node = self.allocate(place, value);
        let (before, after) = self.split(self.root, place);
        let before = self.merge(before, node);
        self.root = self.merge(before, after);
        None
    }

    /// Takes somebody out of the line.
    pub fn remove(&mut self, place: Place) -> Option<T> {
        let node = self.find(place)?;
        let mut parent = NONE;
        let mut at = self.root;
        while at != node {
            self.nodes[at as usize].size -= 1;
            parent = at;
            at = self.child(at, place);
        }
        let Node { left, right, .. } = self.nodes[node as usize];
        let joined = self.merge(left, right);
        match parent {
            NONE => self.root = joined,
            parent if place < self.nodes[parent as usize].place => self.nodes[parent as usize].left = joined,
            parent => self.nodes[parent as usize].right = joined,
        }
        let freed = &mut self.nodes[node as usize];
        (freed.size, freed.left) = (0, self.free);
        let value = freed.value.take();
        self.free = node;
        if self.is_empty() {
            // A line that was long once gives its memory back.
            *self = Self::new();
        }
        value
    }

    /// Who stands at a place.
    #[must_use]
    pub fn get(&self, place: Place) -> Option<&T> {
        self.find(place).and_then(|node| self.nodes[node as usize].value.as_ref())
    }

    /// The next in line.
    #[must_use]
    pub fn first(&self) -> Option<(Place, &T)> {
        let mut at = self.root;
        let mut first = None;
        while at != NONE {
            let node = &self.nodes[at as usize];
            first = node.value.as_ref().map(|value| (node.place, value));
            at = node.left;
        }
        first
    }

    /// The position of a place: 1 for the next in line; `None` if nobody stands there.
    #[must_use]
    pub fn position(&self, place: Place) -> Option<usize> {
        let mut ahead = 0;
        let mut at = self.root;
        while at != NONE {
            let node = &self.nodes[at as usize];
            match place.cmp(&node.place) {
                Ordering::Less => at = node.left,
                Ordering::Equal => return Some(ahead + self.size(node.left) as usize + 1),
                Ordering::Greater => {
                    ahead += self.size(node.left) as usize + 1;
                    at = node.right;
                }
            }
        }
        None
    }

    /// Everybody, in line.
    pub fn iter(&self) -> Iter<'_, T> {
        let mut iter = Iter { line: self, path: Vec::new() };
        iter.descend(self.root);
        iter
    }

    fn size(&self, node: u32) -> u32 {
        if node == NONE { 0 } else { self.nodes[node as usize].size }
    }

    fn child(&self, node: u32, place: Place) -> u32 {
        let node = &self.nodes[node as usize];
        if place < node.place { node.left } else { node.right }
    }

    fn find(&self, place: Place) -> Option<u32> {
        let mut at = self.root;
        while at != NONE && self.nodes[at as usize].place != place {
            at = self.child(at, place);
        }
        (at != NONE).then_some(at)
    }

    fn allocate(&mut self, place: Place, value: T) -> u32 {
        let node = Node { place, left: NONE, right: NONE, size: 1, value: Some(value) };
        if self.free == NONE {
            self.nodes.push(node);
            // Lines are limited far below 2^32 (`Limits::waiters_per_key`).
            u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
        } else {
            let at = self.free;
            self.free = std::mem::replace(&mut self.nodes[at as usize], node).left;
            at
        }
    }

    fn resize(&mut self, node: u32) {
        let Node { left, right, .. } = self.nodes[node as usize];
        self.nodes[node as usize].size = 1 + self.size(left) + self.size(right);
    }

    /// Parts a subtree into the places before `place` and the rest.
    fn split(&mut self, node: u32, place: Place) -> (u32, u32) {
        if node == NONE {
            return (NONE, NONE);
        }
        if self.nodes[node as usize].place < place {
            let (before, after) = self.split(self.nodes[node as usize].right, place);
            self.nodes[node as usize].right = before;
            self.resize(node);
            (node, after)
        } else {
            let (before, after) = self.split(self.nodes[node as usize].left, place);
            self.nodes[node as usize].left = after;
            self.resize(node);
            (before, node)
        }
    }

    /// Joins two subtrees, every place of the first before every place of the second.
    fn merge(&mut self, first: u32, second: u32) -> u32 {
        if first == NONE || second == NONE {
            return if first == NONE { second } else { first };
        }
        let weight = |node: u32| mix(self.nodes[node as usize].place.sequence);
        if weight(first) >= weight(second) {
            let joined = self.merge(self.nodes[first as usize].right, second);
            self.nodes[first as usize].right = joined;
            self.resize(first);
            first
        } else {
            let joined = self.merge(first, self.nodes[second as usize].left);
            self.nodes[second as usize].left = joined;
            self.resize(second);
            second
        }
    }
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, T> IntoIterator for &'a Line<T> {
    type Item = (Place, &'a T);
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// Walks a line from its head. Made by [`Line::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    line: &'a Line<T>,
    /// Nodes whose left side is done, the next one last.
    path: Vec<u32>,
}

impl<T> Iter<'_, T> {
    fn descend(&mut self, mut node: u32) {
        while node != NONE {
            self.path.push(node);
            node = self.line.nodes[node as usize].left;
        }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = (Place, &'a T);

    fn next(&mut self) -> Option<Self::Item> {
        let node = &self.line.nodes[self.path.pop()? as usize];
        self.descend(node.right);
        node.value.as_ref().map(|value| (node.place, value))
    }
}

/// Spreads consecutive numbers over all 64 bits (the finaliser of SplitMix64, Steele et al. 2014).
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
