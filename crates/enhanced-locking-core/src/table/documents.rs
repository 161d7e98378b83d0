//! Documents beside the locks. Owns comparing, writing, their limits and pages of their names; knows nothing of locks, and needs no time.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use enhanced_locking_foundation::{
    DocumentLimit, DocumentName, DocumentOutcome, Expected, Limits, Page, ValueError,
};

use super::LockTable;
use super::read::{page, page_size};

/// What a change of a document has come to, with what is there shared and not copied: many may be told in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentPut {
    /// It was made.
    Done {
        /// Whether a document was there before.
        existed: bool,
    },
    /// Something else is there, and stays.
    Differs(Option<Arc<[u8]>>),
}

impl From<DocumentPut> for DocumentOutcome {
    fn from(put: DocumentPut) -> Self {
        match put {
            DocumentPut::Done { existed } => Self::Done { existed },
            DocumentPut::Differs(found) => Self::Differs(found.map(|found| found.to_vec())),
        }
    }
}

/// All documents of a store.
#[derive(Clone, Debug, Default)]
pub(super) struct Documents {
    by_name: BTreeMap<DocumentName, Arc<[u8]>>,
    /// How many bytes their values have together.
    bytes: usize,
}

impl Documents {
    /// Refuses what would be one too many, or too much. Whatever adds nothing is let through.
    fn check(&self, limits: &Limits, before: Option<usize>, after: usize) -> Result<(), DocumentLimit> {
        if before.is_none() && self.by_name.len() >= limits.documents {
            return Err(DocumentLimit::Count { limit: limits.documents });
        }
        let before = before.unwrap_or_default();
        if after > before && self.bytes - before + after > limits.document_bytes {
            return Err(DocumentLimit::Bytes { limit: limits.document_bytes });
        }
        Ok(())
    }

    /// Puts a value in the place of what is there.
    fn set(&mut self, name: &DocumentName, value: Option<Arc<[u8]>>) {
        self.bytes += value.as_ref().map_or(0, |value| value.len());
        let before = match value {
            Some(value) => self.by_name.insert(name.clone(), value),
            None => self.by_name.remove(name),
        };
        self.bytes -= before.map_or(0, |before| before.len());
    }

    /// What the count disagrees with, if it does.
    pub(super) fn violation(&self) -> Option<String> {
        let bytes: usize = self.by_name.values().map(|value| value.len()).sum();
        (bytes != self.bytes).then(|| format!("documents have {bytes} bytes and are counted {}", self.bytes))
    }
}

impl LockTable {
    /// The value of a document.
    #[must_use]
    pub fn document(&self, name: &DocumentName) -> Option<&Arc<[u8]>> {
        self.documents.by_name.get(name)
    }

    /// How many documents there are.
    #[must_use]
    pub fn document_count(&self) -> usize {
        self.documents.by_name.len()
    }

    /// Writes a document, or deletes it, if what is there is what is expected.
    ///
    /// ```
    /// use enhanced_locking_core::{DocumentPut, LockTable, TablePolicy};
    /// use enhanced_locking_foundation::{DocumentName, Expected};
    ///
    /// let mut table = LockTable::new(TablePolicy::default());
    /// let name = DocumentName::new("acme/infra::9")?;
    /// let put = table.put_document(&name, Some(b"planned"[..].into()), &Expected::Absent)?;
    /// assert_eq!(put, DocumentPut::Done { existed: false });
    /// let put = table.put_document(&name, None, &Expected::Value(b"applied".to_vec()))?;
    /// assert_eq!(put, DocumentPut::Differs(Some(b"planned"[..].into())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`DocumentLimit`] if there is no room for it. Deleting, and writing what is no longer than before, always works.
    pub fn put_document(
        &mut self,
        name: &DocumentName,
        value: Option<Arc<[u8]>>,
        expected: &Expected,
    ) -> Result<DocumentPut, DocumentLimit> {
        let found = self.document(name);
        if !expected.is_met(found.map(|found| &found[..])) {
            return Ok(DocumentPut::Differs(found.cloned()));
        }
        let before = found.map(|found| found.len());
        if let Some(value) = &value {
            self.documents.check(&self.policy.limits, before, value.len())?;
        }
        if before.is_some() || value.is_some() {
            self.documents.set(name, value);
            if self.track_changes {
                self.effects.documents.insert(name.clone());
            }
        }
        Ok(DocumentPut::Done { existed: before.is_some() })
    }

    /// Lists the names that start with `prefix`, in the order of their bytes. The cursor is the name shown last.
    ///
    /// # Errors
    /// [`ValueError::PageCursor`] if the cursor is no name.
    pub fn documents(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<DocumentName>, ValueError> {
        let after = cursor.map(|cursor| DocumentName::new(cursor).map_err(|_| ValueError::PageCursor));
        let after = after.transpose()?;
        let limit = page_size(limit);
        let start = match &after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(prefix),
        };
        let names = self.documents.by_name.range::<str, _>((start, Bound::Unbounded));
        let names = names.map(|(name, _)| name).take_while(|name| name.as_str().starts_with(prefix));
        let names = names.take(limit + 1).cloned().collect();
        Ok(page(names, limit, |name: &DocumentName| name.as_str().to_owned()))
    }

    /// Takes in documents that a store has kept, whatever the limits say now.
    pub fn restore_documents(&mut self, documents: impl IntoIterator<Item = (DocumentName, Arc<[u8]>)>) {
        for (name, value) in documents {
            self.documents.set(&name, Some(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use enhanced_locking_foundation::Timestamp;

    use super::*;
    use crate::TablePolicy;

    const DONE: Result<DocumentPut, DocumentLimit> = Ok(DocumentPut::Done { existed: false });
    const AGAIN: Result<DocumentPut, DocumentLimit> = Ok(DocumentPut::Done { existed: true });

    fn name(text: &str) -> DocumentName {
        DocumentName::new(text).unwrap()
    }

    fn table(documents: usize, document_bytes: usize) -> LockTable {
        let limits = Limits { documents, document_bytes, ..Limits::default() };
        LockTable::new(TablePolicy { limits, ..TablePolicy::default() })
    }

    fn put(table: &mut LockTable, text: &str, bytes: usize) -> Result<DocumentPut, DocumentLimit> {
        let put = table.put_document(&name(text), Some(vec![7; bytes].into()), &Expected::Anything);
        table.check_invariants(Timestamp::ZERO).unwrap();
        put
    }

    fn delete(table: &mut LockTable, text: &str) -> Result<DocumentPut, DocumentLimit> {
        table.put_document(&name(text), None, &Expected::Anything)
    }

    #[test]
    fn limits_hold_for_what_is_added_and_for_nothing_else() {
        let mut table = table(2, 10);
        assert_eq!((put(&mut table, "a", 4), put(&mut table, "b", 6)), (DONE, DONE));
        assert_eq!(put(&mut table, "c", 0), Err(DocumentLimit::Count { limit: 2 }));
        assert_eq!(put(&mut table, "a", 5), Err(DocumentLimit::Bytes { limit: 10 }));
        // What lies over a limit that was lowered stays, and may become less.
        table.set_limits(Limits { documents: 1, document_bytes: 1, ..Limits::default() });
        assert_eq!((put(&mut table, "b", 6), put(&mut table, "b", 5)), (AGAIN, AGAIN));
        assert_eq!(put(&mut table, "b", 6), Err(DocumentLimit::Bytes { limit: 1 }));
        assert_eq!((delete(&mut table, "a"), delete(&mut table, "b")), (AGAIN, AGAIN));
        assert_eq!((put(&mut table, "c", 1), table.document_count()), (DONE, 1));
    }

    #[test]
    fn changes_are_told_once_they_are_asked_for_and_only_if_there_are_any() {
        let mut table = table(10, 100);
        put(&mut table, "untold", 1).unwrap();
        assert!(table.take_effects().is_empty());
        table.track_changes();
        put(&mut table, "a", 1).unwrap();
        delete(&mut table, "untold").unwrap();
        delete(&mut table, "never there").unwrap();
        let refused = table.put_document(&name("a"), None, &Expected::Absent);
        assert_eq!(refused, Ok(DocumentPut::Differs(Some(vec![7].into()))));
        let effects = table.take_effects();
        assert!(!effects.is_empty() && effects.events.is_empty());
        assert_eq!(effects.documents, [name("a"), name("untold")].into());
    }

    #[test]
    fn pages_go_on_behind_a_name_that_is_gone_and_never_before_the_prefix() {
        let mut table = table(10, 100);
        for text in ["a", "b/1", "b/2", "b/3", "c"] {
            put(&mut table, text, 0).unwrap();
        }
        let page = table.documents("b/", None, 2).unwrap();
        assert_eq!((page.items, page.next.as_deref()), (vec![name("b/1"), name("b/2")], Some("b/2")));
        delete(&mut table, "b/2").unwrap();
        let rest = table.documents("b/", Some("b/2"), 2).unwrap();
        assert_eq!((rest.items, rest.next), (vec![name("b/3")], None));
        assert_eq!(table.documents("b/", Some("A"), 0).unwrap().items.len(), 2);
        assert_eq!(table.documents("b/", Some(""), 0), Err(ValueError::PageCursor));
    }
}
