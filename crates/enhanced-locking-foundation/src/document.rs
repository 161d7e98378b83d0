//! Documents: opaque values that are kept beside the locks, as durably as they are. Owns the port and its promises; what
//! the values mean belongs to those who write them, such as the compatibility with Atlantis (design §8).

use async_trait::async_trait;

use crate::text::{check, text_newtype};
use crate::{BackendError, Page};

text_newtype! {
    /// The name of a document: any UTF-8 text without control characters, at most [`DocumentName::MAX_BYTES`] bytes.
    ///
    /// ```
    /// use enhanced_locking_foundation::DocumentName;
    /// assert_eq!(DocumentName::new("github.com::acme/infra::9")?.as_str(), "github.com::acme/infra::9");
    /// # Ok::<(), enhanced_locking_foundation::ValueError>(())
    /// ```
    DocumentName, "document name", 2048, check
}

/// A store of documents: object safe, and implemented by the stores of locks themselves.
///
/// # What every store promises
/// * An answer `Ok` is as durable as an answer about a lock ([`BackendInfo::durability`](crate::BackendInfo::durability)).
/// * [`put_document`](Self::put_document) compares and writes in one atomic step.
/// * A [`BackendError`] says whether the change did not happen or is unknown; then read, or put again.
///
/// # Errors
/// Every method fails with [`BackendError`]; one of the kind [`Full`](crate::BackendErrorKind::Full) if a value has more than
/// [`MAX_VALUE`](DocumentUpdate::MAX_VALUE) bytes or the store has no room.
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
