//! Documents in a map, and everything that can be wrong with a store of them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use enhanced_locking_foundation::{
    BackendError, BackendErrorKind, DocumentName, DocumentOutcome, DocumentStore, DocumentUpdate, Page,
};
use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(crate) struct Documents {
    pub(crate) map: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Whether it is away.
    pub(crate) away: AtomicBool,
}

impl Documents {
    fn here(&self) -> Result<(), BackendError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(BackendError::new(BackendErrorKind::Unavailable, "the store is away")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl DocumentStore for Documents {
    async fn document(&self, name: &DocumentName) -> Result<Option<Vec<u8>>, BackendError> {
        self.here()?;
        Ok(self.map.lock().get(name.as_str()).cloned())
    }

    async fn put_document(
        &self,
        name: &DocumentName,
        update: DocumentUpdate,
    ) -> Result<DocumentOutcome, BackendError> {
        self.here()?;
        let mut map = self.map.lock();
        let found = map.get(name.as_str()).cloned();
        if !update.expected.is_met(found.as_deref()) {
            return Ok(DocumentOutcome::Differs(found));
        }
        match update.value {
            Some(value) => map.insert(name.as_str().to_owned(), value),
            None => map.remove(name.as_str()),
        };
        Ok(DocumentOutcome::Done { existed: found.is_some() })
    }

    async fn documents(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<DocumentName>, BackendError> {
        self.here()?;
        let limit = if limit == 0 { Page::<DocumentName>::MAX_ITEMS } else { limit };
        let from = cursor.map_or(Bound::Included(prefix), Bound::Excluded);
        let map = self.map.lock();
        let names = map.range::<str, _>((from, Bound::Unbounded)).map(|(name, _)| name);
        let items: Vec<_> = names.take_while(|name| name.starts_with(prefix)).take(limit).collect();
        let next = (items.len() == limit).then(|| items[limit - 1].clone());
        Ok(Page { items: items.into_iter().map(|name| DocumentName::new(name).unwrap()).collect(), next })
    }
}
