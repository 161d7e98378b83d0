//! How a backend plugs into the suite. Owns the [`Fixture`] port and the runner of one case; not the cases.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use enhanced_locking_foundation::{Limits, LockBackend, Priority, Timing};

/// The longest a case may take on the wall clock before it is called hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a store is opened with. The default is the foundation's limits and timing, and no credits: first come,
/// first served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixturePolicy {
    /// How much the store takes.
    pub limits: Limits,
    /// Its claim window and keep-alive.
    pub timing: Timing,
    /// What each priority is worth, by [`Priority::index`].
    pub credits: [Duration; Priority::ALL.len()],
}

/// Makes stores for the suite: one fixture per case, so nothing is shared between cases.
///
/// ```
/// use std::{sync::{Arc, Mutex}, time::Duration};
/// use enhanced_locking_core::{TablePolicy, memory::MemoryBackend};
/// use enhanced_locking_foundation::{LockBackend, ManualClock, Timestamp};
/// use enhanced_locking_testkit::conformance::{Fixture, FixturePolicy};
///
/// #[derive(Default)]
/// struct Memory(Arc<ManualClock>);
///
/// #[async_trait::async_trait]
/// impl Fixture for Memory {
///     async fn open(&self, policy: FixturePolicy) -> Arc<dyn LockBackend> {
///         let policy = TablePolicy {
///             limits: policy.limits,
///             timing: policy.timing,
///             ..TablePolicy::default()
///         };
///         MemoryBackend::new(policy, self.0.clone())
///     }
///     async fn advance(&self, by: Duration) {
///         self.0.advance(by);
///     }
/// }
/// ```
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens a fresh, empty store. Called at most once per fixture.
    async fn open(&self, policy: FixturePolicy) -> Arc<dyn LockBackend>;

    /// Moves the store's clock forward. It must stand still otherwise, and may start anywhere after the epoch.
    async fn advance(&self, by: Duration);

    /// Closes the store that [`open`](Self::open) made and opens it again with the same policy; `None` if it is not durable.
    async fn reopen(&self) -> Option<Arc<dyn LockBackend>> {
        None
    }
}

#[async_trait]
impl<F: Fixture + ?Sized> Fixture for Box<F> {
    async fn open(&self, policy: FixturePolicy) -> Arc<dyn LockBackend> {
        (**self).open(policy).await
    }

    async fn advance(&self, by: Duration) {
        (**self).advance(by).await;
    }

    async fn reopen(&self) -> Option<Arc<dyn LockBackend>> {
        (**self).reopen().await
    }
}

/// Runs one case on a runtime of its own. `fixture` is called inside the runtime.
///
/// # Panics
/// If the case fails, does not end within a minute, or no runtime can be made.
pub fn run<F, C>(name: &str, fixture: impl FnOnce() -> F, case: C)
where
    F: Fixture,
    C: for<'f> FnOnce(&'f dyn Fixture) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'f>>,
{
    run_in_time(name, async {
        let fixture = fixture();
        case(&fixture).await;
    });
}

/// Runs a case that makes its fixture itself.
pub(super) fn run_in_time(name: &str, case: impl Future<Output = ()>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            assert!(error.to_string().is_empty(), "no runtime for {name}: {error}");
            return;
        }
    };
    let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, case).await });
    assert!(ended.is_ok(), "{name} did not end within {PATIENCE:?}: a future that nobody wakes");
}
