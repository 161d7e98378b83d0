//! What a Redis store tells about its servers. Owns the figures and reading them from `INFO`; when it is asked is the
//! monitor's.

use std::time::Duration;

use enhanced_locking_foundation::{Durability, Timestamp};

use crate::BreakerState;

/// How the servers of a store are, and what was done so far by this process. From [`status`](crate::RedisBackend::status).
///
/// ```
/// let status = enhanced_locking_redis::RedisStatus::default();
/// assert_eq!(status.problems(), ["there is no connection to the server"]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RedisStatus {
    /// Whether there is a connection for commands.
    pub connected: bool,
    /// Where the circuit breaker stands; in a cluster the worst of them.
    pub breaker: BreakerState,
    /// What an acknowledged change shall survive.
    pub durability: Durability,
    /// How many replicas must have a change before it counts.
    pub replicas_wanted: u32,
    /// The servers that commands go to: one, or the masters of a cluster.
    pub nodes: Vec<RedisNode>,
    /// How often connections were made.
    pub connections: u64,
    /// Promotions and restarts of servers that this process has noticed.
    pub promotions: u64,
    /// Until when nothing new is granted after a promotion (strict only).
    pub paused_until: Option<Timestamp>,
    /// Calls of the script.
    pub calls: u64,
    /// Operations in them.
    pub operations: u64,
    /// Operations that were tried again.
    pub retries: u64,
    /// Calls that fewer replicas had than were asked for.
    pub shortfalls: u64,
}

/// One server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RedisNode {
    /// Where it is, without secrets.
    pub address: String,
    /// What it says it is: `master` or `slave`. Empty if it did not answer.
    pub role: String,
    /// Its version.
    pub version: String,
    /// How long a `PING` took; `None` if it did not answer.
    pub latency: Option<Duration>,
    /// Bytes it uses.
    pub used_memory: u64,
    /// Bytes it may use; 0 for no bound.
    pub max_memory: u64,
    /// What it does when they are used up.
    pub memory_policy: String,
    /// Its replicas.
    pub replicas: Vec<RedisReplica>,
    /// Its replication id: another one after every promotion and restart.
    pub replication_id: String,
    /// Why it did not answer.
    pub problem: Option<String>,
}

/// One replica of a server, as the server sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisReplica {
    /// Host and port.
    pub address: String,
    /// Whether it gets what is written at once.
    pub online: bool,
    /// Bytes that it has not said it has.
    pub behind_bytes: u64,
    /// How long ago it was last heard of.
    pub silent: Duration,
}

impl RedisStatus {
    /// Operations per call: 1 if callers never share a round trip.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn coalescing(&self) -> f64 {
        if self.calls == 0 { 1.0 } else { self.operations as f64 / self.calls as f64 }
    }

    /// What is wrong, in words; empty if all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.connected {
            problems.push("there is no connection to the server".to_owned());
        }
        if self.breaker != BreakerState::Closed {
            problems.push(format!("calls are refused, the breaker is {}", self.breaker.as_str()));
        }
        if let Some(until) = self.paused_until {
            problems.push(format!("a server was replaced, so nothing new is granted before {until}"));
        }
        for node in &self.nodes {
            let address = &node.address;
            if let Some(problem) = &node.problem {
                problems.push(format!("{address}: {problem}"));
                continue;
            }
            let online = node.replicas.iter().filter(|replica| replica.online).count();
            if online < usize::try_from(self.replicas_wanted).unwrap_or(usize::MAX) {
                let wanted = self.replicas_wanted;
                problems.push(format!("{address}: {online} replicas are connected and {wanted} are needed"));
            }
            if node.max_memory > 0 && node.used_memory > node.max_memory / 10 * 9 {
                let (used, most) = (node.used_memory, node.max_memory);
                problems.push(format!("{address}: {used} of {most} bytes are used, raise maxmemory"));
            }
            if !matches!(node.memory_policy.as_str(), "" | "noeviction") {
                let policy = &node.memory_policy;
                problems.push(format!(
                    "{address}: maxmemory-policy is {policy}, which deletes locks; set it to noeviction"
                ));
            }
        }
        problems
    }
}

impl Default for RedisStatus {
    fn default() -> Self {
        Self {
            connected: false,
            breaker: BreakerState::Closed,
            durability: Durability::Fast,
            replicas_wanted: 0,
            nodes: Vec::new(),
            connections: 0,
            promotions: 0,
            paused_until: None,
            calls: 0,
            operations: 0,
            retries: 0,
            shortfalls: 0,
        }
    }
}

impl RedisNode {
    /// What a server says in `INFO`.
    pub(crate) fn read(address: String, latency: Duration, info: &str) -> Self {
        let text = |name: &str| field(info, name).unwrap_or_default().to_owned();
        let number = |name: &str| field(info, name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let written = number("master_repl_offset");
        let replicas = (0..number("connected_slaves"))
            .filter_map(|at| Some(RedisReplica::read(field(info, &format!("slave{at}"))?, written)));
        Self {
            address,
            role: text("role"),
            version: text("redis_version"),
            latency: Some(latency),
            used_memory: number("used_memory"),
            max_memory: number("maxmemory"),
            memory_policy: text("maxmemory_policy"),
            replicas: replicas.collect(),
            replication_id: text("master_replid"),
            problem: None,
        }
    }
}

impl RedisReplica {
    /// Reads `ip=…,port=…,state=online,offset=…,lag=…`.
    fn read(line: &str, written: u64) -> Self {
        let part = |name: &str| {
            line.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
        };
        let number = |name: &str| part(name).parse::<u64>().unwrap_or(0);
        Self {
            address: format!("{}:{}", part("ip"), part("port")),
            online: part("state") == "online",
            behind_bytes: written.saturating_sub(number("offset")),
            silent: Duration::from_secs(number("lag")),
        }
    }
}

/// A field of `INFO`.
pub(crate) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nused_memory:950\r\nused_memory_human:950B\r\n\
        maxmemory:1000\r\nmaxmemory_policy:allkeys-lru\r\nrole:master\r\nconnected_slaves:2\r\n\
        slave0:ip=10.0.0.2,port=6380,state=online,offset=90,lag=1\r\n\
        slave1:ip=10.0.0.3,port=6380,state=wait_bgsave,offset=0,lag=0\r\n\
        master_replid:abc\r\nmaster_repl_offset:100\r\n";

    #[test]
    fn a_server_is_read_from_its_words() {
        let node = RedisNode::read("a:1".to_owned(), Duration::from_millis(1), INFO);
        assert_eq!((node.role.as_str(), node.version.as_str()), ("master", "7.0.15"));
        assert_eq!((node.used_memory, node.max_memory), (950, 1_000));
        assert_eq!(node.replication_id, "abc");
        let [first, second] = &node.replicas[..] else { panic!("{:?}", node.replicas) };
        assert_eq!((first.address.as_str(), first.behind_bytes, first.online), ("10.0.0.2:6380", 10, true));
        assert_eq!((first.silent, second.online), (Duration::from_secs(1), false));
    }

    #[test]
    fn problems_are_named_and_a_healthy_store_has_none() {
        let sick = RedisNode::read("a:1".to_owned(), Duration::ZERO, INFO);
        let mut status = RedisStatus { connected: true, nodes: vec![sick.clone()], ..RedisStatus::default() };
        status.replicas_wanted = 2;
        let problems = status.problems().join("\n");
        for word in ["1 replicas are connected and 2", "950 of 1000 bytes", "allkeys-lru"] {
            assert!(problems.contains(word), "{problems}");
        }
        let node = RedisNode { used_memory: 1, memory_policy: "noeviction".to_owned(), ..sick };
        let healthy =
            RedisStatus { connected: true, replicas_wanted: 1, nodes: vec![node], ..RedisStatus::default() };
        assert_eq!(healthy.problems(), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_answer_is_a_problem() {
        let node = RedisNode { problem: Some("no answer came".to_owned()), ..RedisNode::default() };
        let status = RedisStatus { connected: true, nodes: vec![node], ..RedisStatus::default() };
        assert_eq!(status.problems(), [": no answer came"]);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "small whole numbers are exact")]
    fn coalescing_is_operations_per_call() {
        assert_eq!(RedisStatus::default().coalescing(), 1.0);
        assert_eq!(RedisStatus { calls: 2, operations: 8, ..RedisStatus::default() }.coalescing(), 4.0);
    }
}
