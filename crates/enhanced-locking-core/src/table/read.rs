//! Questions about the table. Owns views and pages; nothing here changes anything, and every answer is bounded.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    EdgeQuery, LockMode, LockQuery, LockRecord, Page, QueuePlace, QueueQuery, QueueView, RequestId,
    RequestState, ResourceKey, Selector, Stats, Timestamp, ValueError, WaitEdge, WaiterView,
};

use super::LockTable;
use super::entry::{Handle, ResourceIndex};

/// Soft edges named per waiting request.
const MAX_AHEAD: usize = 64;

impl LockTable {
    /// Finds a request by its id alone, without touching it.
    #[must_use]
    pub fn find(&self, id: &RequestId) -> Option<(ResourceKey, RequestState)> {
        let hash = self.ids.of(id);
        if let Some(handle) = self.request_of(hash, id) {
            let entry = &self.entries[handle];
            let state = match entry.record() {
                Some(record) => RequestState::Held(record),
                None => RequestState::Queued(self.place(handle)),
            };
            return Some((entry.request.key.clone(), state));
        }
        self.finished.find(hash, id).map(|(key, ended)| (key.clone(), RequestState::Finished(ended.clone())))
    }

    /// One resource and the first `waiters` of its line.
    #[must_use]
    pub fn resource(&self, key: &ResourceKey, waiters: usize) -> Option<QueueView> {
        let resource = self.resources.find(key).filter(|resource| !self.resources[*resource].is_free());
        resource.map(|resource| self.view(key, resource, waiters))
    }

    /// Lists locks in the order of keys, and of request ids within a key.
    ///
    /// # Errors
    /// [`ValueError::PageCursor`] if the cursor is not one of ours.
    pub fn locks(&self, query: &LockQuery) -> Result<Page<LockRecord>, ValueError> {
        let after = query.cursor.as_deref().map(parse_cursor).transpose()?;
        let limit = page_size(query.limit);
        let prefix = query.prefix.as_deref().unwrap_or("");
        let wanted = |record: &LockRecord| {
            let request = &record.request;
            query.owner.as_ref().is_none_or(|owner| *owner == request.owner)
                && query.pull.as_ref().is_none_or(|pull| Some(pull) == request.pull.as_ref())
                && request.key.as_str().starts_with(prefix)
        };
        let selector = match (&query.owner, &query.pull) {
            (Some(owner), _) => Some(Selector::Owner(owner.clone())),
            (None, Some(pull)) => Some(Selector::Pull(pull.clone())),
            (None, None) => None,
        };
        let mut items = Vec::new();
        if let Some(selector) = selector {
            // What one owner or pull request has is asked of its own index, which is in the order of keys.
            let mine =
                self.selected(&selector).into_iter().filter_map(|handle| self.entries[handle].record());
            items.extend(
                mine.filter(|record| wanted(record) && is_after(record, after.as_ref())).take(limit + 1),
            );
        } else {
            let start = match &after {
                Some((key, _)) => Bound::Included(key.as_str()),
                None => Bound::Included(prefix),
            };
            let keys = self.resources.in_order(start);
            for (_, resource) in keys.take_while(|(key, _)| key.as_str().starts_with(prefix)) {
                let mut holders: Vec<LockRecord> = self.resources[resource]
                    .holders
                    .iter()
                    .filter_map(|handle| self.entries[*handle].record())
                    .filter(|record| is_after(record, after.as_ref()))
                    .collect();
                holders.sort_by(|a, b| a.request.id.cmp(&b.request.id));
                items.extend(holders);
                if items.len() > limit {
                    break;
                }
            }
        }
        Ok(page(items, limit, |record| cursor(&record.request.key, Some(&record.request.id))))
    }

    /// Lists the resources somebody waits for, in the order of keys.
    ///
    /// # Errors
    /// [`ValueError::PageCursor`] if the cursor is not one of ours.
    pub fn queues(&self, query: &QueueQuery) -> Result<Page<QueueView>, ValueError> {
        let limit = page_size(query.limit);
        let prefix = query.prefix.as_deref().unwrap_or("");
        let after = query.cursor.as_deref().map(parse_cursor).transpose()?;
        let start = match &after {
            Some((key, _)) => Bound::Excluded(key.as_str()),
            None => Bound::Included(prefix),
        };
        let keys = self.queued.range::<str, _>((start, Bound::Unbounded));
        let views = keys
            .take_while(|key| key.as_str().starts_with(prefix))
            .filter_map(|key| self.resource(key, query.waiters))
            .take(limit + 1)
            .collect();
        Ok(page(views, limit, |view| cursor(&view.key, None)))
    }

    /// Reads the wait-for graph.
    ///
    /// # Errors
    /// [`ValueError::PageCursor`] if the cursor is not one of ours.
    pub fn wait_edges(&self, query: &EdgeQuery) -> Result<Page<WaitEdge>, ValueError> {
        match query {
            EdgeQuery::Owner(owner) => {
                let mine = self.selected(&Selector::Owner(owner.clone()));
                let items =
                    mine.into_iter().filter_map(|handle| self.edge(handle)).take(Page::<()>::MAX_ITEMS);
                Ok(Page { items: items.collect(), next: None })
            }
            EdgeQuery::All { cursor: at, limit } => {
                let limit = page_size(*limit);
                let after = at.as_deref().map(parse_cursor).transpose()?;
                let start = match &after {
                    Some((key, _)) => Bound::Included(key.as_str()),
                    None => Bound::Unbounded,
                };
                let mut items = Vec::new();
                for key in self.queued.range::<str, _>((start, Bound::Unbounded)) {
                    let Some(resource) = self.resources.find(key) else { continue };
                    // Within a key in the order of ids: places change while somebody pages through.
                    let mut handles: Vec<Handle> =
                        self.resources[resource].line.iter().map(|(_, handle)| *handle).collect();
                    handles.sort_by(|a, b| self.entries[*a].request.id.cmp(&self.entries[*b].request.id));
                    let rest = handles.into_iter().filter(|handle| {
                        let request = &self.entries[*handle].request;
                        after
                            .as_ref()
                            .is_none_or(|(k, id)| (&request.key, Some(&request.id)) > (k, id.as_ref()))
                    });
                    let room = limit + 1 - items.len();
                    items.extend(rest.take(room).filter_map(|handle| self.edge(handle)));
                    if items.len() > limit {
                        break;
                    }
                }
                Ok(page(items, limit, |edge| cursor(&edge.request.key, Some(&edge.request.id))))
            }
        }
    }

    /// Figures for health and metrics, cheap at any size.
    #[must_use]
    pub fn stats(&self, now: Timestamp) -> Stats {
        Stats {
            now,
            held: self.held,
            waiting: self.arrivals.len(),
            waiting_by_priority: self.waiting_by_priority,
            oldest_wait: self.arrivals.first().map_or(Duration::ZERO, |(since, _)| now.since(*since)),
            resources: self.in_use,
        }
    }

    /// When anything is over next; `None` if nothing waits for time to pass.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.earliest_deadline()
    }

    /// The place of a waiter, as it sees it.
    pub(super) fn place(&self, handle: Handle) -> QueuePlace {
        let entry = &self.entries[handle];
        let line = &self.resources[entry.resource].line;
        let (position, enqueued_at, gives_up_at, generation) = entry.waiting().map_or_else(
            || (0, Timestamp::ZERO, None, 0),
            |w| (line.position(w.place).unwrap_or(0), w.enqueued_at, w.gives_up_at, w.place.sequence),
        );
        QueuePlace {
            request: Arc::clone(&entry.request),
            position,
            depth: line.len(),
            enqueued_at,
            gives_up_at,
            holders: self.blockers(entry.resource),
            generation,
        }
    }

    fn view(&self, key: &ResourceKey, resource: ResourceIndex, waiters: usize) -> QueueView {
        let own = &self.resources[resource];
        let waiters = own.line.iter().take(waiters.min(Page::<()>::MAX_ITEMS)).enumerate();
        QueueView {
            key: key.clone(),
            holders: own
                .holders
                .iter()
                .take(Page::<()>::MAX_ITEMS)
                .filter_map(|handle| self.entries[*handle].record())
                .collect(),
            depth: own.line.len(),
            waiters: waiters
                .filter_map(|(index, (_, handle))| {
                    let entry = &self.entries[*handle];
                    entry.waiting().map(|waiting| WaiterView {
                        request: Arc::clone(&entry.request),
                        position: index + 1,
                        enqueued_at: waiting.enqueued_at,
                        gives_up_at: waiting.gives_up_at,
                        generation: waiting.place.sequence,
                    })
                })
                .collect(),
        }
    }

    fn edge(&self, handle: Handle) -> Option<WaitEdge> {
        let entry = &self.entries[handle];
        let waiting = entry.waiting()?;
        let own = &self.resources[entry.resource];
        let blocks = |mode: LockMode| !mode.is_compatible_with(entry.request.mode);
        let holders = own.holders.iter().filter_map(|handle| self.entries[*handle].record());
        let mut ahead: Vec<_> = own
            .line
            .iter()
            .take_while(|(place, _)| *place < waiting.place)
            .map(|(place, handle)| (&self.entries[*handle].request, place.sequence))
            .filter(|(request, _)| blocks(request.mode))
            .map(|(request, generation)| (request.owner.clone(), generation))
            .collect();
        ahead.drain(..ahead.len().saturating_sub(MAX_AHEAD));
        Some(WaitEdge {
            request: Arc::clone(&entry.request),
            generation: waiting.place.sequence,
            holders: holders
                .filter(|record| blocks(record.request.mode))
                .map(|record| (record.owner().clone(), record.token))
                .collect(),
            ahead,
        })
    }
}

/// The entries a page may have: 0 stands for the most.
pub(super) fn page_size(limit: usize) -> usize {
    if limit == 0 { Page::<()>::MAX_ITEMS } else { limit.min(Page::<()>::MAX_ITEMS) }
}

/// Makes a page of `limit` entries out of what was found, which may be more.
pub(super) fn page<T>(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(cursor) } else { None };
    Page { items, next }
}

fn is_after(record: &LockRecord, after: Option<&(ResourceKey, Option<RequestId>)>) -> bool {
    after.is_none_or(|(key, id)| (&record.request.key, Some(&record.request.id)) > (key, id.as_ref()))
}

/// `<bytes of the key>:<key><request id>`: what was shown last.
fn cursor(key: &ResourceKey, id: Option<&RequestId>) -> String {
    format!("{}:{key}{}", key.as_str().len(), id.map_or("", |id| id.as_str()))
}

fn parse_cursor(text: &str) -> Result<(ResourceKey, Option<RequestId>), ValueError> {
    let parse = || {
        let (len, rest) = text.split_once(':')?;
        let (key, id) = rest.split_at_checked(len.parse().ok()?)?;
        let id = if id.is_empty() { None } else { Some(RequestId::new(id).ok()?) };
        Some((ResourceKey::new(key).ok()?, id))
    };
    parse().ok_or(ValueError::PageCursor)
}
