//! Everything else that Atlantis stores: pull statuses, and whatever a later version adds. Owns that it is kept as it is.

use enhanced_locking_foundation::{DocumentName, DocumentOutcome, DocumentUpdate};

use super::error::LegacyError;
use super::locks::LegacyLocks;

/// Where they are kept, by the key Atlantis gives.
const KEY_DOCUMENTS: &str = "atlantis/key/";

impl LegacyLocks {
    /// The value under a key that is no lock's.
    ///
    /// # Errors
    /// [`LegacyError::Value`] if it can be no name, [`LegacyError::Store`].
    pub async fn value_of_key(&self, key: &str) -> Result<Option<Vec<u8>>, LegacyError> {
        Ok(self.documents.document(&name_of(key)?).await?)
    }

    /// Writes a value, or deletes it, whatever was there; whether something was.
    ///
    /// # Errors
    /// As [`Self::value_of_key`].
    pub async fn set_key(&self, key: &str, value: Option<Vec<u8>>) -> Result<bool, LegacyError> {
        let update = value.map_or_else(DocumentUpdate::delete, DocumentUpdate::write);
        self.put(&name_of(key)?, update).await
    }

    /// Writes a value if `expected` is there; what is there instead, if it is not.
    ///
    /// # Errors
    /// As [`Self::value_of_key`]. An answer that was lost is an error here: the value may have been read by others.
    pub async fn compare_and_set_key(
        &self,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<Result<(), Option<Vec<u8>>>, LegacyError> {
        let update = DocumentUpdate::write(value).if_was(expected);
        match self.documents.put_document(&name_of(key)?, update).await? {
            DocumentOutcome::Done { .. } => Ok(Ok(())),
            DocumentOutcome::Differs(found) => Ok(Err(found)),
        }
    }

    /// All keys that are no lock's.
    ///
    /// # Errors
    /// [`LegacyError::TooMany`] beyond [`Self::LIST_MAX`], [`LegacyError::Store`].
    pub async fn keys(&self) -> Result<Vec<String>, LegacyError> {
        let (mut keys, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.documents.documents(KEY_DOCUMENTS, cursor.as_deref(), 0).await?;
            let names = page.items.iter().filter_map(|name| name.as_str().strip_prefix(KEY_DOCUMENTS));
            keys.extend(names.map(str::to_owned));
            if keys.len() > Self::LIST_MAX {
                return Err(LegacyError::TooMany { what: "keys", limit: Self::LIST_MAX });
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(keys);
            }
        }
    }
}

fn name_of(key: &str) -> Result<DocumentName, LegacyError> {
    Ok(DocumentName::new(format!("{KEY_DOCUMENTS}{key}"))?)
}
