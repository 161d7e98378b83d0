//! Pages of what is stored. Owns cursors, and putting the pages of many buckets together in the order of keys.

use std::future::Future;

use enhanced_locking_foundation::{
    BackendError, BackendErrorKind, DocumentName, EdgeQuery, LockQuery, LockRecord, Page, QueueQuery,
    QueueView, RequestId, ResourceKey, Selector, ValueError, WaitEdge,
};
use futures_util::future::try_join_all;

use super::RedisBackend;
use crate::wire::{self, Operation};

/// What was shown last: a key, and an id if there are several entries of a key.
type Shown = (ResourceKey, Option<RequestId>);

impl RedisBackend {
    /// Locks in the order of keys and ids.
    pub(super) async fn page_of_locks(&self, query: &LockQuery) -> Result<Page<LockRecord>, BackendError> {
        let prefix = query.prefix.as_deref().unwrap_or("");
        let selector = match (&query.owner, &query.pull) {
            (Some(owner), _) => Some(Selector::Owner(owner.clone())),
            (None, Some(pull)) => Some(Selector::Pull(pull.clone())),
            (None, None) => None,
        };
        let show = |record: &LockRecord| (record.request.key.clone(), Some(record.request.id.clone()));
        self.entries(query.cursor.as_deref(), query.limit, show, |bucket, after, limit| {
            let operation = match &selector {
                Some(selector) => {
                    // What is selected by needs no look at each.
                    let pull = query.pull.as_ref().filter(|_| query.owner.is_some());
                    Operation::selected(selector, prefix, after.as_ref(), limit, pull)
                }
                None => Operation::locks(prefix, after.as_ref(), limit),
            };
            async move { wire::locks(&self.dispatch.call(bucket, operation).await?) }
        })
        .await
    }

    /// Lines in the order of keys.
    pub(super) async fn page_of_queues(&self, query: &QueueQuery) -> Result<Page<QueueView>, BackendError> {
        let prefix = query.prefix.as_deref().unwrap_or("");
        let waiters = query.waiters.min(Page::<()>::MAX_ITEMS);
        let show = |view: &QueueView| (view.key.clone(), None);
        self.entries(query.cursor.as_deref(), query.limit, show, |bucket, after, limit| {
            let key = after.map(|(key, _)| key);
            let operation = Operation::queues(prefix, key.as_ref(), limit, waiters);
            async move { wire::queues(&self.dispatch.call(bucket, operation).await?) }
        })
        .await
    }

    /// Edges of the wait-for graph.
    pub(super) async fn page_of_edges(&self, query: &EdgeQuery) -> Result<Page<WaitEdge>, BackendError> {
        match query {
            EdgeQuery::Owner(owner) => {
                let most = Page::<()>::MAX_ITEMS;
                let mut items = Vec::new();
                for reply in self.ask_all(&Operation::owner_edges(owner, most)).await? {
                    items.extend(wire::edges(&reply)?);
                }
                items.sort_by(|a, b| a.request.key.cmp(&b.request.key));
                items.truncate(most);
                Ok(Page { items, next: None })
            }
            EdgeQuery::All { cursor, limit } => {
                let show = |edge: &WaitEdge| (edge.request.key.clone(), Some(edge.request.id.clone()));
                self.entries(cursor.as_deref(), *limit, show, |bucket, after, limit| {
                    let operation = Operation::edges(after.as_ref(), limit);
                    async move { wire::edges(&self.dispatch.call(bucket, operation).await?) }
                })
                .await
            }
        }
    }

    /// Names of documents, in the order of their bytes. The cursor is the name shown last.
    pub(super) async fn page_of_documents(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<DocumentName>, BackendError> {
        let after = cursor.map(|cursor| DocumentName::new(cursor).map_err(|_| no_cursor())).transpose()?;
        let (items, next) = self
            .merged(after, limit, DocumentName::clone, |bucket, after, limit| {
                let operation = Operation::documents(prefix, after.as_ref(), limit);
                async move { wire::documents(&self.dispatch.call(bucket, operation).await?) }
            })
            .await?;
        Ok(Page { items, next: next.map(|name| name.as_str().to_owned()) })
    }

    /// A page of what is shown by key and id.
    async fn entries<T, F>(
        &self,
        cursor: Option<&str>,
        limit: usize,
        show: impl Fn(&T) -> Shown,
        ask: impl Fn(usize, Option<Shown>, usize) -> F,
    ) -> Result<Page<T>, BackendError>
    where
        F: Future<Output = Result<Vec<T>, BackendError>>,
    {
        let after = cursor.map(parse_cursor).transpose()?;
        let (items, next) = self.merged(after, limit, show, ask).await?;
        Ok(Page { items, next: next.as_ref().map(text_of) })
    }

    /// One page out of those of all buckets: each is asked for some, and for more only if what it has is used up. Also
    /// tells what was shown last, if there is more.
    async fn merged<T, S, F>(
        &self,
        after: Option<S>,
        limit: usize,
        show: impl Fn(&T) -> S,
        ask: impl Fn(usize, Option<S>, usize) -> F,
    ) -> Result<(Vec<T>, Option<S>), BackendError>
    where
        S: Clone + Ord,
        F: Future<Output = Result<Vec<T>, BackendError>>,
    {
        let limit = if limit == 0 { Page::<()>::MAX_ITEMS } else { limit.min(Page::<()>::MAX_ITEMS) };
        let buckets = self.dispatch.buckets();
        let part = if buckets == 1 { limit + 1 } else { (2 * limit / buckets + 16).min(limit + 1) };
        let mut items: Vec<T> = Vec::new();
        let mut asking: Vec<(usize, Option<S>)> = (0..buckets).map(|b| (b, after.clone())).collect();
        while !asking.is_empty() {
            let parts = try_join_all(asking.iter().map(|(b, after)| ask(*b, after.clone(), part))).await?;
            let mut open = Vec::new();
            for ((bucket, _), found) in asking.iter().zip(parts) {
                if found.len() >= part {
                    open.extend(found.last().map(|last| (*bucket, Some(show(last)))));
                }
                items.extend(found);
            }
            items.sort_by_key(&show);
            // Whatever a bucket has not told yet comes behind the last that it told.
            let end = items.get(limit).map(&show);
            asking = open
                .into_iter()
                .filter(|(_, last)| end.as_ref().is_none_or(|e| last.as_ref() < Some(e)))
                .collect();
        }
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(&show) } else { None };
        Ok((items, next))
    }
}

/// `<bytes of the key>:<key><request id>`.
fn text_of((key, id): &Shown) -> String {
    format!("{}:{key}{}", key.as_str().len(), id.as_ref().map_or("", |id| id.as_str()))
}

fn parse_cursor(text: &str) -> Result<Shown, BackendError> {
    let parse = || {
        let (len, rest) = text.split_once(':')?;
        let (key, id) = rest.split_at_checked(len.parse().ok()?)?;
        let id = if id.is_empty() { None } else { Some(RequestId::new(id).ok()?) };
        Some((ResourceKey::new(key).ok()?, id))
    };
    parse().ok_or_else(no_cursor)
}

fn no_cursor() -> BackendError {
    BackendError::new(BackendErrorKind::Invalid, ValueError::PageCursor.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_being_written_down() {
        let key = ResourceKey::new("a:1/ü").unwrap();
        for id in [None, Some(RequestId::generate())] {
            let shown = (key.clone(), id);
            assert_eq!(parse_cursor(&text_of(&shown)).unwrap(), shown);
        }
        for bad in ["", "nonsense", "9:a", "-1:a", "1:ä"] {
            assert!(parse_cursor(bad).is_err(), "{bad}");
        }
    }
}
