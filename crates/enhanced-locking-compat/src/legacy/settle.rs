//! Answers that were lost. Owns asking again until it is known what happened, a few times.
//!
//! Every change of the port can be repeated with the same arguments: what is asked again here never happens twice.

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendError, DocumentName, DocumentOutcome,
    DocumentUpdate, Grant, ReleaseError, ReleaseOutcome,
};

use super::error::{LegacyError, of_release};
use super::locks::LegacyLocks;

/// How often it is asked.
const ATTEMPTS: usize = 3;

impl LegacyLocks {
    pub(super) async fn acquire(&self, request: &AcquireRequest) -> Result<AcquireOutcome, AcquireError> {
        let mut left = ATTEMPTS;
        loop {
            left -= 1;
            match self.locks.acquire(request.clone()).await {
                Err(error) if error.is_indeterminate() && left > 0 => {}
                answer => return answer,
            }
        }
    }

    /// Releases a grant; whether it was held until now. What was released before was not, unless it was by us.
    pub(super) async fn let_go(&self, grant: &Grant) -> Result<bool, BackendError> {
        let mut left = ATTEMPTS;
        loop {
            left -= 1;
            match self.locks.release(grant).await {
                Ok(ReleaseOutcome::Released { .. }) => return Ok(true),
                Ok(ReleaseOutcome::AlreadyReleased) => return Ok(left + 1 < ATTEMPTS),
                Err(ReleaseError::Backend(error)) if error.is_indeterminate() && left > 0 => {}
                Err(error) => return of_release(error).map_or(Ok(false), Err),
            }
        }
    }

    /// Writes or deletes a document whatever was there: the same however often it is done.
    pub(super) async fn put(&self, name: &DocumentName, update: DocumentUpdate) -> Result<bool, LegacyError> {
        let mut left = ATTEMPTS;
        loop {
            left -= 1;
            match self.documents.put_document(name, update.clone()).await {
                Ok(DocumentOutcome::Done { existed }) => return Ok(existed),
                Ok(DocumentOutcome::Differs(found)) => return Ok(found.is_some()),
                Err(error) if error.is_indeterminate() && left > 0 => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Deletes a document that nobody needs any more. A failure leaves an orphan, which a sweep finds.
    pub(super) async fn forget(&self, name: &DocumentName) {
        drop(self.documents.put_document(name, DocumentUpdate::delete()).await);
    }
}
