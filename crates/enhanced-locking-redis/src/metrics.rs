//! The figures of a store's servers as OpenMetrics text. Owns names and forms; the figures are `status`'s.

use std::fmt::Write;

use crate::{BreakerState, RedisNode, RedisStatus};

/// One figure of a server, if it has answered.
type Figure = fn(&RedisNode) -> Option<u64>;

impl RedisStatus {
    /// The figures as families of OpenMetrics, to be put in front of `# EOF`.
    ///
    /// ```
    /// let text = enhanced_locking_redis::RedisStatus::default().open_metrics();
    /// assert!(text.contains("\natlantis_redis_connected 0\n"));
    /// ```
    #[must_use]
    pub fn open_metrics(&self) -> String {
        let mut text = Families(String::new());
        text.gauge("connected", "Whether there is a connection for commands", u64::from(self.connected));
        text.family("breaker", "gauge", "Where the circuit breaker stands");
        for state in [BreakerState::Closed, BreakerState::HalfOpen, BreakerState::Open] {
            let labels = labels(&[("state", state.as_str())]);
            text.sample("breaker", &labels, u64::from(self.breaker == state));
        }
        let paused = u64::from(self.paused_until.is_some());
        text.gauge("paused", "Whether new grants pause after a promotion", paused);
        text.gauge("replicas_wanted", "Replicas that must have a change", self.replicas_wanted.into());
        text.counter("connections", "Connections made", self.connections);
        text.counter("calls", "Calls of the script", self.calls);
        text.counter("operations", "Operations in calls", self.operations);
        text.counter("retries", "Operations tried again", self.retries);
        text.counter("shortfalls", "Calls that too few replicas had", self.shortfalls);
        text.counter("promotions", "Servers replaced or started again", self.promotions);
        let of_nodes: [(&str, &str, Figure); 4] = [
            ("up", "Whether the server answers", |node| Some(u64::from(node.problem.is_none()))),
            ("used_memory_bytes", "Memory in use", |node| node.latency.map(|_| node.used_memory)),
            ("max_memory_bytes", "Memory allowed, 0 for no bound", |node| {
                node.latency.map(|_| node.max_memory)
            }),
            ("replicas", "Replicas that get what is written", |node| {
                node.latency.map(|_| node.replicas.iter().filter(|replica| replica.online).count() as u64)
            }),
        ];
        for (name, help, figure) in of_nodes {
            text.family(name, "gauge", help);
            for node in &self.nodes {
                if let Some(value) = figure(node) {
                    text.sample(name, &labels(&[("node", &node.address)]), value);
                }
            }
        }
        text.family("latency_seconds", "gauge", "Time a PING took");
        for node in &self.nodes {
            if let Some(latency) = node.latency {
                text.sample("latency_seconds", &labels(&[("node", &node.address)]), latency.as_secs_f64());
            }
        }
        text.family("replica_behind_bytes", "gauge", "What a replica has not said it has");
        for node in &self.nodes {
            for replica in &node.replicas {
                let labels = labels(&[("node", &node.address), ("replica", &replica.address)]);
                text.sample("replica_behind_bytes", &labels, replica.behind_bytes);
            }
        }
        text.0
    }
}

struct Families(String);

impl Families {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP atlantis_redis_{name} {help}.\n# TYPE atlantis_redis_{name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "atlantis_redis_{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help);
        self.sample(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(&format!("{name}_total"), "", value);
    }
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", quoted(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::RedisReplica;

    #[test]
    fn every_sample_belongs_to_a_family_that_was_announced_once() {
        let replica = RedisReplica { address: "b:2".to_owned(), online: true, ..RedisReplica::default() };
        let node = RedisNode {
            address: "quo\"te\\".to_owned(),
            latency: Some(Duration::from_micros(1_500)),
            replicas: vec![replica],
            ..RedisNode::default()
        };
        let status = RedisStatus { nodes: vec![node], calls: 7, ..RedisStatus::default() };
        let text = status.open_metrics();
        let mut families = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(families.insert(rest.split(' ').next().unwrap()), "{line}");
            } else if !line.starts_with('#') {
                let name = line.split([' ', '{']).next().unwrap();
                let family = name.strip_suffix("_total").unwrap_or(name);
                assert!(families.contains(family), "{line}");
            }
        }
        for line in [
            "atlantis_redis_calls_total 7",
            "atlantis_redis_breaker{state=\"closed\"} 1",
            "atlantis_redis_latency_seconds{node=\"quo\\\"te\\\\\"} 0.0015",
            "atlantis_redis_replica_behind_bytes{node=\"quo\\\"te\\\\\",replica=\"b:2\"} 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_server_that_does_not_answer_has_no_figures() {
        let node = RedisNode { problem: Some("no answer".to_owned()), ..RedisNode::default() };
        let text = RedisStatus { nodes: vec![node], ..RedisStatus::default() }.open_metrics();
        assert!(text.contains("atlantis_redis_up{node=\"\"} 0\n"), "{text}");
        assert!(!text.contains("used_memory_bytes{"), "{text}");
    }
}
