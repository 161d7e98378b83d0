//! The servers behind a store in an answer. Owns their views; what is wrong with them is judged by the store.

use enhanced_locking_foundation::{BackendInfo, Timestamp};
use serde::{Deserialize, Serialize};

use super::InfoView;

/// The answer to `GET /cluster/status`.
///
/// ```
/// use enhanced_locking_client::api::ClusterView;
/// let view = ClusterView::default();
/// assert!(view.nodes.is_empty() && view.connection.is_none(), "a store without servers of its own");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The store.
    pub store: InfoView,
    /// Whether nothing is wrong.
    pub healthy: bool,
    /// What is wrong, in words.
    pub problems: Vec<String>,
    /// The servers that commands go to; none for a store in the service itself.
    pub nodes: Vec<NodeView>,
    /// What this service has seen of them; `null` for a store in the service itself.
    pub connection: Option<ConnectionView>,
}

/// The answer to `GET /cluster/nodes`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodesReply {
    /// The servers that commands go to.
    pub nodes: Vec<NodeView>,
}

/// One server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// Where it is, without secrets.
    pub address: String,
    /// What it says it is; empty if it does not answer.
    pub role: String,
    /// Its version.
    pub version: String,
    /// How long it takes to answer; `null` if it does not.
    pub latency_us: Option<u64>,
    /// Bytes it uses.
    pub used_memory_bytes: u64,
    /// Bytes it may use; 0 for no bound.
    pub max_memory_bytes: u64,
    /// Its replicas.
    pub replicas: Vec<ReplicaView>,
    /// Why it does not answer.
    pub problem: Option<String>,
}

/// One replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaView {
    /// Where it is.
    pub address: String,
    /// Whether it gets what is written at once.
    pub online: bool,
    /// Bytes that it has not said it has.
    pub behind_bytes: u64,
    /// How long ago it was last heard of.
    pub silent_ms: u64,
}

/// What a service has seen of its servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionView {
    /// Whether there is a connection.
    pub connected: bool,
    /// The circuit breaker: `closed`, `open` or `half_open`.
    pub breaker: String,
    /// How often connections were made.
    pub connections: u64,
    /// Calls of servers.
    pub calls: u64,
    /// Operations in them.
    pub operations: u64,
    /// Operations per call: 1 if callers never share a round trip.
    pub coalescing: f64,
    /// Operations that were tried again.
    pub retries: u64,
    /// How many replicas must have a change before it counts.
    pub replicas_wanted: u32,
    /// Calls that fewer replicas had.
    pub shortfalls: u64,
    /// Servers that were replaced or started again.
    pub promotions: u64,
    /// Until when nothing new is granted after such a change; `null` if that is not so.
    pub paused_until: Option<Timestamp>,
}

impl ClusterView {
    /// A store without servers of its own. `problem` says why it takes no changes.
    #[must_use]
    pub fn alone(info: &BackendInfo, problem: Option<String>) -> Self {
        Self {
            store: InfoView::from(info),
            healthy: problem.is_none(),
            problems: problem.into_iter().collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use enhanced_locking_foundation::Durability;

    use super::*;

    #[test]
    fn a_store_alone_is_as_healthy_as_it_takes_changes() {
        let info =
            BackendInfo { name: "memory", location: "here".to_owned(), durability: Durability::Process };
        assert!(ClusterView::alone(&info, None).healthy);
        let sick = ClusterView::alone(&info, Some("it is closed".to_owned()));
        assert_eq!((sick.healthy, sick.problems), (false, vec!["it is closed".to_owned()]));
    }

    #[test]
    fn views_survive_the_journey() {
        let connection =
            ConnectionView { paused_until: Some(Timestamp::from_micros(7)), ..Default::default() };
        let node =
            NodeView { latency_us: Some(3), replicas: vec![ReplicaView::default()], ..Default::default() };
        let view = ClusterView { nodes: vec![node], connection: Some(connection), ..ClusterView::default() };
        let json = serde_json::to_string(&view).unwrap();
        assert_eq!(serde_json::from_str::<ClusterView>(&json).unwrap(), view);
    }
}
