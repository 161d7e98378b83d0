//! What a service answers about the Redis servers behind it. Owns turning their figures into answers, health and
//! metrics; the figures and what is wrong with them are the store's.

use enhanced_locking_client::api::{
    ClusterView, ComponentView, ConnectionView, InfoView, NodeView, ReplicaView, millis,
};
use enhanced_locking_foundation::BackendInfo;
use enhanced_locking_redis::{RedisNode, RedisStatus};

/// The answer to `GET /cluster/status`.
pub(super) fn view(info: &BackendInfo, status: &RedisStatus) -> ClusterView {
    let problems = status.problems();
    ClusterView {
        store: InfoView::from(info),
        healthy: problems.is_empty(),
        problems,
        nodes: status.nodes.iter().map(node).collect(),
        connection: Some(ConnectionView {
            connected: status.connected,
            breaker: status.breaker.as_str().to_owned(),
            connections: status.connections,
            calls: status.calls,
            operations: status.operations,
            coalescing: status.coalescing(),
            retries: status.retries,
            replicas_wanted: status.replicas_wanted,
            shortfalls: status.shortfalls,
            promotions: status.promotions,
            paused_until: status.paused_until,
        }),
    }
}

/// A part of `GET /health/detailed`. It counts nothing: that the store takes changes is judged elsewhere.
pub(super) fn component(status: &RedisStatus) -> ComponentView {
    let problems = status.problems();
    let latencies = status.nodes.iter().filter_map(|node| node.latency);
    let latency = latencies.max().map_or_else(String::new, |latency| format!(", slowest {latency:?}"));
    let well = format!(
        "{} servers answer{latency}, {:.1} operations per call",
        status.nodes.len(),
        status.coalescing()
    );
    ComponentView {
        name: "redis".to_owned(),
        score: if problems.is_empty() {
            100.0
        } else if status.connected {
            50.0
        } else {
            0.0
        },
        weight: 0.0,
        detail: if problems.is_empty() { well } else { problems.join("; ") },
    }
}

/// The metrics of the service with those of its servers.
pub(super) fn with_metrics(text: String, status: &RedisStatus) -> String {
    const END: &str = "# EOF\n";
    let families = text.strip_suffix(END).unwrap_or(&text);
    format!("{families}{}{END}", status.open_metrics())
}

fn node(node: &RedisNode) -> NodeView {
    let replicas = node.replicas.iter().map(|replica| ReplicaView {
        address: replica.address.clone(),
        online: replica.online,
        behind_bytes: replica.behind_bytes,
        silent_ms: millis(replica.silent),
    });
    NodeView {
        address: node.address.clone(),
        role: node.role.clone(),
        version: node.version.clone(),
        latency_us: node.latency.map(|latency| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)),
        used_memory_bytes: node.used_memory,
        max_memory_bytes: node.max_memory,
        replicas: replicas.collect(),
        problem: node.problem.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use enhanced_locking_foundation::Durability;
    use enhanced_locking_redis::RedisReplica;

    use super::*;

    fn status() -> RedisStatus {
        let replica = RedisReplica {
            address: "b:2".to_owned(),
            online: true,
            behind_bytes: 3,
            silent: Duration::from_secs(1),
        };
        let node = RedisNode {
            address: "a:1".to_owned(),
            latency: Some(Duration::from_micros(70)),
            replicas: vec![replica],
            ..RedisNode::default()
        };
        RedisStatus { connected: true, nodes: vec![node], calls: 2, operations: 5, ..RedisStatus::default() }
    }

    #[test]
    fn servers_are_shown_with_their_replicas() {
        let info =
            BackendInfo { name: "redis", location: "redis://a:1".to_owned(), durability: Durability::Fast };
        let view = view(&info, &status());
        assert!(view.healthy, "{:?}", view.problems);
        assert_eq!((view.nodes[0].latency_us, view.nodes[0].replicas[0].silent_ms), (Some(70), 1_000));
        let coalescing = view.connection.unwrap().coalescing;
        assert!((coalescing - 2.5).abs() < f64::EPSILON, "{coalescing}");
    }

    #[test]
    fn what_is_wrong_is_told_and_costs_points() {
        let well = component(&status());
        assert!(well.score > 99.0 && well.detail.contains("slowest 70µs"), "{well:?}");
        let gone = component(&RedisStatus::default());
        assert!(gone.score < 1.0 && gone.detail.contains("no connection"), "{gone:?}");
    }

    #[test]
    fn metrics_end_once() {
        let text = with_metrics("# TYPE a gauge\na 1\n# EOF\n".to_owned(), &status());
        assert!(text.starts_with("# TYPE a gauge\na 1\n# HELP atlantis_redis_"), "{text}");
        assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
    }
}
