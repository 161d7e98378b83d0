//! The embedded backend as its users see it. Owns opening; everything else is the port.

use std::sync::Arc;

use enhanced_locking_core::backend::TableBackend;

use crate::engine::EmbeddedEngine;
use crate::{EmbeddedConfig, OpenError};

/// A durable store of locks in a directory: one process, no server. Made by [`open`].
pub type EmbeddedBackend = TableBackend<EmbeddedEngine>;

/// Opens the store of a directory, or makes one.
///
/// Whoever holds or waits by a lease gets its full time anew: a stop never costs a live holder its lock.
///
/// # Errors
/// [`OpenError`]: another process has it, it is damaged, full, not writable, or newer than this software.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use enhanced_locking_embedded::EmbeddedConfig;
/// use enhanced_locking_foundation::{AcquireOutcome, AcquireRequest, LockBackend, OwnerId, ResourceKey};
///
/// let directory = tempfile::tempdir()?;
/// let locks = enhanced_locking_embedded::open(EmbeddedConfig::new(directory.path()))?;
/// let request = AcquireRequest::new(ResourceKey::new("demo")?, OwnerId::new("me")?).sticky();
/// let AcquireOutcome::Held(record) = locks.acquire(request).await? else { panic!("nobody else is here") };
/// locks.close().await?;
///
/// // The lock is still held after a restart, with the same token.
/// let locks = enhanced_locking_embedded::open(EmbeddedConfig::new(directory.path()))?;
/// let view = locks.resource(&record.request.key, 0).await?.ok_or("it is held")?;
/// assert_eq!(view.holders, [record]);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open(config: EmbeddedConfig) -> Result<Arc<EmbeddedBackend>, OpenError> {
    Ok(Arc::new(TableBackend::of(EmbeddedEngine::open(config)?)))
}
