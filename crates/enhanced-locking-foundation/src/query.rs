//! Questions about what is stored, answered in pages. Owns filters and views; every page is bounded.

use std::sync::Arc;
use std::time::Duration;

use crate::{
    AcquireRequest, FencingToken, LockRecord, OwnerId, Priority, PullRequest, ResourceKey, Timestamp,
};

/// One page of an answer, in the order of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Where the next page begins: pass it back unchanged. `None` on the last page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The most entries of one page.
    pub const MAX_ITEMS: usize = 1_000;

    /// The same page with other entries.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

/// Which locks to list. All given conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockQuery {
    /// Keys that start with this.
    pub prefix: Option<String>,
    /// Locks of this owner.
    pub owner: Option<OwnerId>,
    /// Locks of this pull request.
    pub pull: Option<PullRequest>,
    /// Where to go on: [`Page::next`] of the page before.
    pub cursor: Option<String>,
    /// Entries wanted; 0 means the most a page can have.
    pub limit: usize,
}

/// Which lines to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueQuery {
    /// Keys that start with this.
    pub prefix: Option<String>,
    /// Where to go on.
    pub cursor: Option<String>,
    /// Lines wanted; 0 means the most a page can have.
    pub limit: usize,
    /// Waiters wanted of each line; the depth is always told.
    pub waiters: usize,
}

/// One resource: who holds it and who waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueView {
    /// The resource.
    pub key: ResourceKey,
    /// Its holders, at most [`Page::MAX_ITEMS`].
    pub holders: Vec<LockRecord>,
    /// How many wait.
    pub depth: usize,
    /// The first of those who wait, in line.
    pub waiters: Vec<WaiterView>,
}

/// One place in a line, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaiterView {
    /// The request.
    pub request: Arc<AcquireRequest>,
    /// 1 for the next in line.
    pub position: usize,
    /// When it joined.
    pub enqueued_at: Timestamp,
    /// When it gives up; `None` if it may wait for ever.
    pub gives_up_at: Option<Timestamp>,
    /// See [`QueuePlace::generation`](crate::QueuePlace::generation).
    pub generation: u64,
}

/// Whose locks and places are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// One owner's.
    Owner(OwnerId),
    /// One pull request's of exactly one repository, whoever the owners are.
    Pull(PullRequest),
}

/// Which part of the wait-for graph to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeQuery {
    /// What one owner waits for: the step of an edge chase.
    Owner(OwnerId),
    /// Everything, in pages: where to go on.
    All {
        /// Where to go on: [`Page::next`] of the page before.
        cursor: Option<String>,
        /// Edges wanted; 0 means the most a page can have.
        limit: usize,
    },
}

/// One edge bundle of the wait-for graph: a waiting request and those it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitEdge {
    /// The request that waits.
    pub request: Arc<AcquireRequest>,
    /// The generation of its entry: an abort names it, so that it cannot hit a later one.
    pub generation: u64,
    /// Hard edges: the holders in its way, with the tokens they hold.
    pub holders: Vec<(OwnerId, FencingToken)>,
    /// Soft edges: those ahead of it in the line whose modes do not get along with its own.
    pub ahead: Vec<(OwnerId, u64)>,
}

/// Figures of a store, cheap at any size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Server time of the reading.
    pub now: Timestamp,
    /// Locks held.
    pub held: usize,
    /// Requests waiting.
    pub waiting: usize,
    /// Requests waiting, by [`Priority::index`].
    pub waiting_by_priority: [usize; Priority::ALL.len()],
    /// How long the oldest waiting request has waited.
    pub oldest_wait: Duration,
    /// Resources that are held or waited for.
    pub resources: usize,
}
