//! Who wants to hear what happened. Owns the sink port; reading the feed is the pump's work.

use enhanced_locking_foundation::LockEvent;

/// Takes events in order, one by one. Called from the event pump: must not block and should not panic.
///
/// A sink that does slow work puts the event into a bounded channel of its own.
///
/// ```
/// use enhanced_locking_foundation::LockEvent;
/// use enhanced_locking_manager::EventSink;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// #[derive(Debug, Default)]
/// struct Count(AtomicU64);
/// impl EventSink for Count {
///     fn event(&self, _event: &LockEvent) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
/// ```
pub trait EventSink: Send + Sync + std::fmt::Debug {
    /// One change of state. Sequences of one stream have no gaps, unless [`gap`](Self::gap) was called in between.
    fn event(&self, event: &LockEvent);

    /// Events were lost before they could be read: look at the state anew.
    fn gap(&self) {}
}
