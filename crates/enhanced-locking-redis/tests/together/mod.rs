//! Operations that go together in one call of the script.
#![expect(clippy::expect_used, reason = "the helpers of tests may panic")]

use enhanced_locking_foundation::LockBackend;
use futures_util::future::{join, join_all};

/// Has what is asked go in one call, in this order. Two calls of a bucket may be under way: while two pings are, the
/// others gather. Not with renewals, which go in calls of their own.
pub(crate) async fn together<T>(
    store: &dyn LockBackend,
    asked: impl IntoIterator<Item = impl Future<Output = T>>,
) -> Vec<T> {
    let (pings, answers) = join(join(store.ping(), store.ping()), join_all(asked)).await;
    pings.0.and(pings.1).expect("the server answers");
    answers
}
