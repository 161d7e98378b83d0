//! Lines and the wait-for graph in an answer. Owns their views; one's own place is in `views`.

use std::collections::BTreeMap;
use std::sync::Arc;

use enhanced_locking_foundation::{
    FencingToken, OwnerId, Page, Priority, QueueView as Resource, ResourceKey, Stats, Timestamp, WaitEdge,
    WaiterView,
};
use serde::{Deserialize, Serialize};

use super::views::{lock_views, records};
use super::{LockView, RequestView, millis};

/// The answer to `GET /queue/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Requests waiting in all.
    pub depth: usize,
    /// Requests waiting, by priority.
    pub by_priority: BTreeMap<String, usize>,
    /// How long the oldest has waited.
    pub oldest_wait_ms: u64,
    /// The lines, in the order of keys.
    pub queues: Vec<QueueView>,
    /// Pass it back as `cursor` for the next page; `null` on the last.
    pub next: Option<String>,
}

impl QueueStatus {
    /// The view of a page of lines and the figures over all.
    #[must_use]
    pub fn new(stats: &Stats, page: &Page<Resource>) -> Self {
        Self {
            depth: stats.waiting,
            by_priority: by_priority(stats),
            oldest_wait_ms: millis(stats.oldest_wait),
            queues: page.items.iter().map(|resource| QueueView::new(resource, stats.now)).collect(),
            next: page.next.clone(),
        }
    }
}

impl From<QueueStatus> for Page<Resource> {
    fn from(status: QueueStatus) -> Self {
        Self { items: status.queues.into_iter().map(Resource::from).collect(), next: status.next }
    }
}

/// Waiting requests by the names of their priorities.
pub(super) fn by_priority(stats: &Stats) -> BTreeMap<String, usize> {
    let count = |priority: Priority| stats.waiting_by_priority.get(priority.index()).copied().unwrap_or(0);
    Priority::ALL.into_iter().map(|priority| (priority.as_str().to_owned(), count(priority))).collect()
}

/// One resource: who holds it and who waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueView {
    /// The resource.
    pub key: ResourceKey,
    /// How many wait.
    pub depth: usize,
    /// Who holds it.
    pub holders: Vec<LockView>,
    /// The first of those who wait, in line.
    pub waiters: Vec<WaiterEntry>,
}

impl QueueView {
    /// The view of a resource at a point in time.
    #[must_use]
    pub fn new(resource: &Resource, now: Timestamp) -> Self {
        Self {
            key: resource.key.clone(),
            depth: resource.depth,
            holders: lock_views(&resource.holders),
            waiters: resource.waiters.iter().map(|waiter| WaiterEntry::new(waiter, now)).collect(),
        }
    }
}

impl From<QueueView> for Resource {
    fn from(view: QueueView) -> Self {
        Self {
            key: view.key,
            holders: records(view.holders),
            depth: view.depth,
            waiters: view.waiters.into_iter().map(WaiterView::from).collect(),
        }
    }
}

/// One place in a line, as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiterEntry {
    /// The request.
    #[serde(flatten)]
    pub request: RequestView,
    /// 1 for the next in line.
    pub position: usize,
    /// How long it has waited.
    pub waited_ms: u64,
    /// Expected wait from now; `null` while it is not known.
    pub eta_ms: Option<u64>,
    /// When it joined.
    pub enqueued_at: Timestamp,
    /// When it gives up; `null` if it does not.
    pub gives_up_at: Option<Timestamp>,
    /// Names this entry of the line.
    pub generation: u64,
}

impl WaiterEntry {
    /// The view of a waiter at a point in time.
    #[must_use]
    pub fn new(waiter: &WaiterView, now: Timestamp) -> Self {
        Self {
            request: RequestView::from(&*waiter.request),
            position: waiter.position,
            waited_ms: millis(now.since(waiter.enqueued_at)),
            eta_ms: None,
            enqueued_at: waiter.enqueued_at,
            gives_up_at: waiter.gives_up_at,
            generation: waiter.generation,
        }
    }
}

impl From<WaiterEntry> for WaiterView {
    fn from(entry: WaiterEntry) -> Self {
        Self {
            request: Arc::new(entry.request.into()),
            position: entry.position,
            enqueued_at: entry.enqueued_at,
            gives_up_at: entry.gives_up_at,
            generation: entry.generation,
        }
    }
}

/// One page of `GET /wait-edges`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitEdgesPage {
    /// The edge bundles.
    pub edges: Vec<WaitEdgeView>,
    /// Pass it back as `cursor` for the next page; `null` on the last.
    pub next: Option<String>,
}

/// One edge bundle of the wait-for graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitEdgeView {
    /// The request that waits.
    #[serde(flatten)]
    pub request: RequestView,
    /// Names its entry of the line.
    pub generation: u64,
    /// The holders in its way.
    pub holders: Vec<EdgeHolder>,
    /// Those ahead of it whose modes do not get along with its own.
    pub ahead: Vec<EdgeWaiter>,
}

/// A holder in somebody's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeHolder {
    /// Who holds.
    pub owner: OwnerId,
    /// With which token.
    pub token: FencingToken,
}

/// A waiter in somebody's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeWaiter {
    /// Who waits.
    pub owner: OwnerId,
    /// The generation of its entry.
    pub generation: u64,
}

impl From<&Page<WaitEdge>> for WaitEdgesPage {
    fn from(page: &Page<WaitEdge>) -> Self {
        let edge = |edge: &WaitEdge| WaitEdgeView {
            request: RequestView::from(&*edge.request),
            generation: edge.generation,
            holders: edge
                .holders
                .iter()
                .map(|(owner, token)| EdgeHolder { owner: owner.clone(), token: *token })
                .collect(),
            ahead: edge
                .ahead
                .iter()
                .map(|(owner, generation)| EdgeWaiter { owner: owner.clone(), generation: *generation })
                .collect(),
        };
        Self { edges: page.items.iter().map(edge).collect(), next: page.next.clone() }
    }
}

impl From<WaitEdgesPage> for Page<WaitEdge> {
    fn from(page: WaitEdgesPage) -> Self {
        let edge = |view: WaitEdgeView| WaitEdge {
            request: Arc::new(view.request.into()),
            generation: view.generation,
            holders: view.holders.into_iter().map(|holder| (holder.owner, holder.token)).collect(),
            ahead: view.ahead.into_iter().map(|waiter| (waiter.owner, waiter.generation)).collect(),
        };
        Self { items: page.edges.into_iter().map(edge).collect(), next: page.next }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::views::samples;
    use super::*;

    #[test]
    fn lines_survive_the_journey_and_tell_the_wait() {
        let place = samples::place("w");
        let waiter = WaiterView {
            request: place.request,
            position: 1,
            enqueued_at: place.enqueued_at,
            gives_up_at: None,
            generation: 4,
        };
        let resource = Resource {
            key: waiter.request.key.clone(),
            holders: vec![samples::record("h")],
            depth: 1,
            waiters: vec![waiter.clone()],
        };
        let stats = Stats {
            now: waiter.enqueued_at.plus(Duration::from_millis(1500)),
            waiting: 1,
            waiting_by_priority: [0, 0, 0, 1, 0],
            ..Stats::default()
        };
        let page = Page { items: vec![resource], next: Some("n".into()) };
        let json = serde_json::to_value(QueueStatus::new(&stats, &page)).unwrap();
        assert_eq!(json["queues"][0]["waiters"][0]["waited_ms"], 1500);
        assert_eq!(json["by_priority"]["critical"], 1);
        assert_eq!(Page::from(serde_json::from_value::<QueueStatus>(json).unwrap()), page);
    }

    #[test]
    fn edges_survive_the_journey() {
        let edge = WaitEdge {
            request: Arc::new(samples::request("w")),
            generation: 2,
            holders: vec![(OwnerId::new("h").unwrap(), FencingToken::from_u64(3))],
            ahead: vec![(OwnerId::new("a").unwrap(), 1)],
        };
        let page = Page { items: vec![edge], next: None };
        let json = serde_json::to_string(&WaitEdgesPage::from(&page)).unwrap();
        assert_eq!(Page::from(serde_json::from_str::<WaitEdgesPage>(&json).unwrap()), page);
    }
}
