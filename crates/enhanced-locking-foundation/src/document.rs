//! Documents: opaque values that are kept beside the locks, as durably as they are. Owns the port and its promises; what
//! the values mean belongs to those who write them, such as the compatibility with Atlantis (design §8).

use async_trait::async_trait;

use crate::text::{check, text_newtype};
use crate::{BackendError, BackendErrorKind, Page};

text_newtype! {
    /// The name of a document: any UTF-8 text without control characters, at most [`DocumentName::MAX_BYTES`] bytes.
    ///
    /// ```
    /// use enhanced_locking_foundation::DocumentName;
    /// assert_eq!(DocumentName::new("github.com::acme/infra::9")?.as_str(), "github.com::acme/infra::9");
    /// # Ok::<(), enhanced_locking_foundation::ValueError>(())
    /// ```
    DocumentName, "document name", 1536, check
}

/// A store of documents: object safe, and implemented by the stores of locks themselves.
///
/// # What every store promises
/// * An answer `Ok` is as durable as an answer about a lock ([`BackendInfo::durability`](crate::BackendInfo::durability)).
/// * [`put_document`](Self::put_document) compares and writes in one atomic step.
/// * A [`BackendError`] says whether the change did not happen or is unknown; then read, or put again.
///
/// # Errors
/// Every method fails with [`BackendError`]; one of the kind [`Full`](crate::BackendErrorKind::Full) with a
/// [`DocumentLimit`] as its message if a value is too long or the store has no room.
#[async_trait]
pub trait DocumentStore: Send + Sync + std::fmt::Debug + 'static {
    /// The value of a document; `None` if there is none.
    async fn document(&self, name: &DocumentName) -> Result<Option<Vec<u8>>, BackendError>;

    /// Writes or deletes a document, if it is what is expected.
    async fn put_document(
        &self,
        name: &DocumentName,
        update: DocumentUpdate,
    ) -> Result<DocumentOutcome, BackendError>;

    /// Lists the names that start with `prefix`, in the order of their bytes; 0 means the most a page can have.
    ///
    /// A page goes on behind the name that its cursor is, whether there still is such a document or not.
    async fn documents(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<DocumentName>, BackendError>;
}

/// A change of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentUpdate {
    /// The new value; `None` deletes.
    pub value: Option<Vec<u8>>,
    /// What must be there for the change to be made.
    pub expected: Expected,
}

impl DocumentUpdate {
    /// The longest value, in bytes.
    pub const MAX_VALUE: usize = 8 << 20;

    /// Writes a value, whatever was there.
    #[must_use]
    pub fn write(value: Vec<u8>) -> Self {
        Self { value: Some(value), expected: Expected::Anything }
    }

    /// Deletes, whatever was there.
    #[must_use]
    pub fn delete() -> Self {
        Self { value: None, expected: Expected::Anything }
    }

    /// The same change, only if this value is there; `None` stands for no document.
    ///
    /// ```
    /// use enhanced_locking_foundation::DocumentUpdate;
    /// let first = DocumentUpdate::write(b"mine".to_vec()).if_was(None);
    /// assert!(first.expected.is_met(None) && !first.expected.is_met(Some(b"theirs")));
    /// ```
    #[must_use]
    pub fn if_was(self, value: Option<Vec<u8>>) -> Self {
        Self { expected: value.map_or(Expected::Absent, Expected::Value), ..self }
    }

    /// Refuses what no store keeps, before it is sent anywhere.
    ///
    /// # Errors
    /// [`DocumentLimit::Value`] if the new value or the expected one is longer than [`MAX_VALUE`](Self::MAX_VALUE).
    pub fn check(&self) -> Result<(), DocumentLimit> {
        match self.value_bytes().max(self.expected.value_bytes()) {
            bytes if bytes > Self::MAX_VALUE => Err(DocumentLimit::Value { bytes }),
            _ => Ok(()),
        }
    }

    /// How many bytes the new value has; none when it deletes.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        self.value.as_ref().map_or(0, Vec::len)
    }
}

/// What must be there for a change to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything or nothing.
    Anything,
    /// No document.
    Absent,
    /// A document with exactly this value.
    Value(Vec<u8>),
}

impl Expected {
    /// Whether what is there is what is expected.
    #[must_use]
    pub fn is_met(&self, found: Option<&[u8]>) -> bool {
        match self {
            Self::Anything => true,
            Self::Absent => found.is_none(),
            Self::Value(value) => found == Some(value),
        }
    }

    /// How many bytes the expected value has, if one is.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        match self {
            Self::Anything | Self::Absent => 0,
            Self::Value(value) => value.len(),
        }
    }
}

/// What a change of a document has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentOutcome {
    /// It was made. Whether a document was there before.
    Done {
        /// Whether a document was there before.
        existed: bool,
    },
    /// Something else is there, and stays; `None` stands for no document.
    Differs(Option<Vec<u8>>),
}

/// Why a store does not keep one more document, or a longer one. The change did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentLimit {
    /// One value is too long.
    #[error(
        "a document of {bytes} bytes is too long, at most {} are kept in one; store it in parts",
        DocumentUpdate::MAX_VALUE
    )]
    Value {
        /// Its length.
        bytes: usize,
    },
    /// There are as many as [`Limits::documents`](crate::Limits::documents) allows.
    #[error(
        "there are {limit} documents, which is the limit; delete some that nobody needs, or raise the limit"
    )]
    Count {
        /// The most that are kept.
        limit: usize,
    },
    /// Together they would have more bytes than [`Limits::document_bytes`](crate::Limits::document_bytes) allows.
    #[error(
        "all documents would have more than {limit} bytes, which is the limit; delete some that nobody needs, or raise the limit"
    )]
    Bytes {
        /// The most that are kept.
        limit: usize,
    },
}

impl From<DocumentLimit> for BackendError {
    fn from(limit: DocumentLimit) -> Self {
        Self::new(BackendErrorKind::Full, limit.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_too_long_is_refused_wherever_it_stands() {
        let (most, over) = (vec![0; DocumentUpdate::MAX_VALUE], vec![0; DocumentUpdate::MAX_VALUE + 1]);
        let fits = DocumentUpdate::write(most.clone()).if_was(Some(most));
        assert_eq!(fits.check(), Ok(()));
        assert_eq!(DocumentUpdate::delete().if_was(None).check(), Ok(()));
        let bytes = over.len();
        for refused in [DocumentUpdate::write(over.clone()), DocumentUpdate::delete().if_was(Some(over))] {
            assert_eq!(refused.check(), Err(DocumentLimit::Value { bytes }));
        }
    }

    #[test]
    fn a_limit_is_told_as_a_store_that_is_full() {
        let error = BackendError::from(DocumentLimit::Count { limit: 7 });
        assert_eq!((error.kind(), error.is_indeterminate()), (BackendErrorKind::Full, false));
        assert!(error.message().contains("there are 7 documents") && error.message().contains("delete some"));
    }
}
