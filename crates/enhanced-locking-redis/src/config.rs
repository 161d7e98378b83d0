//! What a Redis store is opened with. Owns the settings and their defaults; reading them from files is configuration's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{Clock, Limits, Timing};
use enhanced_locking_queue::CreditTable;

use crate::RedisDurability;

/// Limits, windows and the worth of priorities. Every process of a namespace should be given the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedisPolicy {
    /// How much the store takes. With many buckets the totals are divided among them, evenly.
    pub limits: Limits,
    /// How long things may take.
    pub timing: Timing,
    /// What priorities are worth; all zero by default, which is first come, first served.
    pub credits: CreditTable,
}

/// Where the servers are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Servers {
    /// One server by its address.
    Single {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// One server by its socket.
    Unix {
        /// Path of the socket.
        path: PathBuf,
    },
    /// Whatever Sentinel says is the master.
    Sentinel {
        /// Some of the sentinels.
        nodes: Vec<(String, u16)>,
        /// Name of the service.
        service: String,
    },
    /// A cluster.
    Cluster {
        /// Some of its nodes.
        nodes: Vec<(String, u16)>,
    },
}

impl Servers {
    /// One server by its address.
    #[must_use]
    pub fn single(host: impl Into<String>, port: u16) -> Self {
        Self::Single { host: host.into(), port }
    }

    /// One server by its socket.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix { path: path.into() }
    }

    /// Whether keys are spread over several masters.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster { .. })
    }

    /// The address as people write it, without secrets.
    #[must_use]
    pub fn location(&self) -> String {
        let list = |nodes: &[(String, u16)]| {
            nodes.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>().join(",")
        };
        match self {
            Self::Single { host, port } => format!("redis://{host}:{port}"),
            Self::Unix { path } => format!("redis+unix://{}", path.display()),
            Self::Sentinel { nodes, service } => format!("redis-sentinel://{}/{service}", list(nodes)),
            Self::Cluster { nodes } => format!("redis-cluster://{}", list(nodes)),
        }
    }
}

/// How to speak TLS. The default trusts the authorities of the system and shows no certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// The certificates of the authorities to trust (PEM), instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate and those above it (PEM).
    pub cert_file: Option<PathBuf>,
    /// The key of the client's certificate (PEM).
    pub key_file: Option<PathBuf>,
}

/// Everything a Redis store is opened with.
///
/// ```
/// use enhanced_locking_redis::{RedisConfig, Servers};
/// let config = RedisConfig::new(Servers::single("127.0.0.1", 6379)).namespace("locks-of-ci");
/// assert_eq!(config.buckets(), 1, "a single server needs no more");
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    /// Where the servers are.
    pub servers: Servers,
    /// Name in front of all keys: stores with different names do not see each other.
    pub namespace: String,
    /// ACL user; `None` for the default one.
    pub username: Option<String>,
    /// Password, if one is needed. Never shown.
    pub password: Option<String>,
    /// A file that has the password, read again with every new connection, so that it can be changed; it wins.
    pub password_file: Option<PathBuf>,
    /// ACL user at the Sentinels; `None` for the default one.
    pub sentinel_username: Option<String>,
    /// Password at the Sentinels, if one is needed. Never shown.
    pub sentinel_password: Option<String>,
    /// How to speak TLS, with servers and Sentinels; `None` for plain text.
    pub tls: Option<RedisTls>,
    /// Connections to one server at most. A bucket uses one of them, because its calls are gathered: more than
    /// there are buckets are not made, so one bucket has one. Another one is for what is heard.
    pub connections: usize,
    /// Database number; 0 in a cluster.
    pub database: u8,
    /// How many buckets keys are spread over. Fixed when a namespace is first used. `None` means 1, and 256 in a cluster.
    ///
    /// One bucket is one slot: with one, every operation sees everything, so batches over any keys are atomic, totals
    /// are exact and the feed has one order. More are needed only where the keys must be spread over several masters.
    pub buckets: Option<u16>,
    /// Limits, windows and credits.
    pub policy: RedisPolicy,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long an answer may take before the outcome is called unknown.
    pub command_timeout: Duration,
    /// How often one who waits looks although nobody told it to: what a lost message costs at most.
    pub poll_period: Duration,
    /// What an acknowledged change shall survive.
    pub durability: RedisDurability,
    /// How often a call that certainly did not happen is tried again at once, with a growing pause; a question or an
    /// acquire whose answer was lost, once. 0 for never.
    pub retries: u32,
    /// A clock instead of the server's, for tests: a namespace that was made with one is only opened with one.
    pub clock: Option<Arc<dyn Clock>>,
}

impl RedisConfig {
    /// Buckets of a cluster, unless told otherwise.
    pub const CLUSTER_BUCKETS: u16 = 256;

    /// A store on these servers, with the defaults.
    #[must_use]
    pub fn new(servers: Servers) -> Self {
        Self {
            servers,
            namespace: "enhanced-locks".to_owned(),
            username: None,
            password: None,
            password_file: None,
            sentinel_username: None,
            sentinel_password: None,
            tls: None,
            connections: 10,
            database: 0,
            buckets: None,
            policy: RedisPolicy::default(),
            connect_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(5),
            poll_period: Duration::from_secs(2),
            durability: RedisDurability::default(),
            retries: 3,
            clock: None,
        }
    }

    /// Sets the name in front of all keys.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How many buckets there are to be.
    #[must_use]
    pub fn buckets(&self) -> u16 {
        let default = if self.servers.is_cluster() { Self::CLUSTER_BUCKETS } else { 1 };
        self.buckets.unwrap_or(default)
    }
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConfig")
            .field("servers", &self.servers)
            .field("namespace", &self.namespace)
            .field("username", &self.username)
            .field("password_file", &self.password_file)
            .field("sentinel_username", &self.sentinel_username)
            .field("tls", &self.tls)
            .field("connections", &self.connections)
            .field("database", &self.database)
            .field("buckets", &self.buckets())
            .field("policy", &self.policy)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}
