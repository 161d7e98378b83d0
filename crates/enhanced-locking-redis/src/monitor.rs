//! Watching the servers while the store is open. Owns when they are asked: from time to time, and after every new
//! connection; what they say is `status`'s.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::dispatch::Dispatch;
use crate::driver::NodeAnswer;
use crate::promotion::Promotions;
use crate::status::field;
use crate::{RedisNode, RedisStatus};

/// How often servers are asked while nothing happens.
const PERIOD: Duration = Duration::from_secs(5);

/// A task that looks at the servers, until this is dropped.
#[derive(Debug)]
pub(crate) struct Monitor {
    promotions: Arc<Mutex<Promotions>>,
    task: AbortHandle,
}

impl Monitor {
    /// Begins to watch the servers that a dispatch sends to. Has seen them once when this returns: what comes
    /// afterwards is compared with that.
    pub(crate) async fn start(dispatch: &Dispatch) -> Self {
        let promotions = Arc::new(Mutex::new(Promotions::default()));
        ask(dispatch, &promotions).await;
        let task = tokio::spawn(watch(dispatch.clone(), Arc::clone(&promotions))).abort_handle();
        Self { promotions, task }
    }

    /// Looks now.
    pub(crate) async fn look(&self, dispatch: &Dispatch) -> RedisStatus {
        let nodes = ask(dispatch, &self.promotions).await;
        let (driver, counts) = (dispatch.driver(), dispatch.counts());
        let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        RedisStatus {
            connected: driver.is_connected(),
            breaker: dispatch.breaker(),
            nodes,
            connections: *driver.connections().borrow(),
            promotions: self.promotions.lock().count(),
            calls: count(&counts.calls),
            operations: count(&counts.operations),
            retries: count(&counts.retries),
            shortfalls: count(&counts.shortfalls),
            ..RedisStatus::default()
        }
    }

    /// Looks no more.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn watch(dispatch: Dispatch, promotions: Arc<Mutex<Promotions>>) {
    let mut connections = dispatch.driver().connections();
    loop {
        match tokio::time::timeout(PERIOD, connections.changed()).await {
            Ok(Ok(())) => dispatch.hurry(),
            Ok(Err(_)) => return,
            Err(_) => {}
        }
        ask(&dispatch, &promotions).await;
    }
}

async fn ask(dispatch: &Dispatch, promotions: &Mutex<Promotions>) -> Vec<RedisNode> {
    let answers = dispatch.driver().nodes().await;
    answers
        .into_iter()
        .map(|NodeAnswer { address, info }| match info {
            Ok((latency, info)) => {
                let node = RedisNode::read(address, latency, &info);
                let follows = field(&info, "master_replid2").unwrap_or_default();
                if promotions.lock().note(&node.address, &node.replication_id, follows) {
                    tracing::warn!(
                        address = %node.address,
                        "the server was replaced or started again; what it was told last may be lost"
                    );
                }
                node
            }
            Err(failure) => {
                let problem = Some(failure.error(false).message().to_owned());
                RedisNode { address, problem, ..RedisNode::default() }
            }
        })
        .collect()
}
