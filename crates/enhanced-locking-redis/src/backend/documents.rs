//! Documents on Redis. Owns the port of documents and how much of them is on its way; comparing and writing are one
//! step of the script of the document's bucket.

use async_trait::async_trait;
use enhanced_locking_foundation::{
    BackendError, BackendErrorKind, DocumentName, DocumentOutcome, DocumentStore, DocumentUpdate, Page,
};

use super::RedisBackend;
use crate::wire::{self, Operation};

/// Bytes of documents that may be on their way: callers beyond wait their turn.
pub(super) const BYTES_IN_FLIGHT: usize = 64 << 20;

#[async_trait]
impl DocumentStore for RedisBackend {
    async fn document(&self, name: &DocumentName) -> Result<Option<Vec<u8>>, BackendError> {
        let bucket = self.layout.bucket_of_name(name.as_str());
        wire::document(&self.dispatch.call(bucket, Operation::document(name)).await?)
    }

    async fn put_document(
        &self,
        name: &DocumentName,
        update: DocumentUpdate,
    ) -> Result<DocumentOutcome, BackendError> {
        update.check()?;
        let bytes = update.value_bytes() + update.expected.value_bytes();
        let room = self.document_room.acquire_many(u32::try_from(bytes).unwrap_or(u32::MAX)).await;
        // Nobody closes it.
        let _room = room.map_err(|e| BackendError::new(BackendErrorKind::Internal, e.to_string()))?;
        let bucket = self.layout.bucket_of_name(name.as_str());
        let operation = Operation::put_document(name, &update);
        drop(update);
        wire::document_put(&self.dispatch.call(bucket, operation).await?, &self.config.policy.limits)
    }

    async fn documents(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<DocumentName>, BackendError> {
        self.page_of_documents(prefix, cursor, limit).await
    }
}
