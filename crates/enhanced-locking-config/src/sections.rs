//! Owns the sections of the settings: plain values, one struct for each section of the file. Does not own the whole,
//! its sources and its defaults (see `settings`).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::choice::{Durability, LogFormat, LogLevel, MigrationMode};
use crate::secret::Secret;
use crate::units::ByteSize;

/// `embedded`: the store in the data directory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EmbeddedSettings {
    /// `embedded.map-size`.
    pub map_size: ByteSize,
    /// `embedded.journal-size`.
    pub journal_size: ByteSize,
    /// `embedded.backup-dir`.
    pub backup_dir: Option<PathBuf>,
}

/// `priority-queue`: who is served first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PriorityQueueSettings {
    /// `priority-queue.enabled`, or the switch `priority-queue` itself.
    pub enabled: bool,
    /// `priority-queue.credits`.
    pub credits: CreditSettings,
    /// `priority-queue.starvation-threshold`.
    pub starvation_threshold: Option<Duration>,
    /// `priority-queue.max-priority-boost`.
    pub max_priority_boost: Option<u32>,
    /// `priority-queue.priority-boost-interval`.
    pub priority_boost_interval: Option<Duration>,
}

/// `priority-queue.credits`: how much earlier than it arrived a request counts as having arrived.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CreditSettings {
    /// `priority-queue.credits.low`.
    pub low: Option<Duration>,
    /// `priority-queue.credits.normal`.
    pub normal: Option<Duration>,
    /// `priority-queue.credits.high`.
    pub high: Option<Duration>,
    /// `priority-queue.credits.critical`.
    pub critical: Option<Duration>,
    /// `priority-queue.credits.emergency`.
    pub emergency: Option<Duration>,
}

/// `deadlock-detection`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadlockDetectionSettings {
    /// `deadlock-detection.enabled`, or the switch `deadlock-detection` itself.
    pub enabled: bool,
    /// `deadlock-detection.check-interval`.
    pub check_interval: Duration,
}

/// `retries`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RetrySettings {
    /// `retries.enabled`, or the switch `retries` itself.
    pub enabled: bool,
    /// `retries.max-attempts`.
    pub max_attempts: u32,
    /// `retries.base-delay`.
    pub base_delay: Duration,
    /// `retries.max-delay`.
    pub max_delay: Duration,
}

/// `metrics`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MetricsSettings {
    /// `metrics.enabled`, or the switch `metrics` itself.
    pub enabled: bool,
}

/// `redis`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RedisSettings {
    /// `redis.addresses`.
    pub addresses: Vec<String>,
    /// `redis.username`.
    pub username: Option<String>,
    /// `redis.password`, or the content of `redis.password-file`.
    pub password: Option<Secret>,
    /// `redis.password-file`.
    pub password_file: Option<PathBuf>,
    /// `redis.cluster-mode`.
    pub cluster_mode: bool,
    /// `redis.sentinel-master`.
    pub sentinel_master: Option<String>,
    /// `redis.sentinel-username`.
    pub sentinel_username: Option<String>,
    /// `redis.sentinel-password`, or the content of `redis.sentinel-password-file`.
    pub sentinel_password: Option<Secret>,
    /// `redis.sentinel-password-file`.
    pub sentinel_password_file: Option<PathBuf>,
    /// `redis.db`.
    pub db: u8,
    /// `redis.namespace`.
    pub namespace: String,
    /// `redis.buckets`.
    pub buckets: Option<u16>,
    /// `redis.pool-size`.
    pub pool_size: usize,
    /// `redis.connect-timeout`.
    pub connect_timeout: Duration,
    /// `redis.command-timeout`.
    pub command_timeout: Duration,
    /// `redis.poll-period`.
    pub poll_period: Duration,
    /// `redis.durability`.
    pub durability: Durability,
    /// `redis.replicas`.
    pub replicas: u32,
    /// `redis.replica-timeout`.
    pub replica_timeout: Duration,
    /// `redis.promotion-grace`.
    pub promotion_grace: Duration,
    /// `redis.tls`.
    pub tls: RedisTlsSettings,
}

/// `redis.tls`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RedisTlsSettings {
    /// `redis.tls.enabled`, or the switch `redis.tls` itself.
    pub enabled: bool,
    /// `redis.tls.ca-file`.
    pub ca_file: Option<PathBuf>,
    /// `redis.tls.cert-file`.
    pub cert_file: Option<PathBuf>,
    /// `redis.tls.key-file`.
    pub key_file: Option<PathBuf>,
}

/// `migration`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MigrationSettings {
    /// `migration.mode`.
    pub mode: MigrationMode,
    /// `migration.traffic-percentage`, 0 to 100.
    pub traffic_percentage: u8,
    /// `migration.fallback-enabled`.
    pub fallback_enabled: bool,
    /// `migration.validation-enabled`.
    pub validation_enabled: bool,
}

/// `locks`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LockSettings {
    /// `locks.default-lease`.
    pub default_lease: Duration,
    /// `locks.claim-window`.
    pub claim_window: Duration,
    /// `locks.keep-alive`.
    pub keep_alive: Duration,
}

/// `limits`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LimitSettings {
    /// `limits.waiters-per-key`.
    pub waiters_per_key: usize,
    /// `limits.waiters-total`.
    pub waiters_total: usize,
    /// `limits.waiters-per-owner`.
    pub waiters_per_owner: usize,
    /// `limits.locks-total`.
    pub locks_total: usize,
    /// `limits.finished-requests`.
    pub finished_requests: usize,
    /// `limits.events`.
    pub events: usize,
}

/// `server`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerSettings {
    /// `server.listen`.
    pub listen: SocketAddr,
    /// `server.auth-token`, or the content of `server.auth-token-file`.
    pub auth_token: Option<Secret>,
    /// `server.auth-token-file`.
    pub auth_token_file: Option<PathBuf>,
    /// `server.max-body`.
    pub max_body: ByteSize,
    /// `server.max-requests-in-flight`.
    pub max_requests_in_flight: usize,
    /// `server.max-waiting-requests`.
    pub max_waiting_requests: usize,
    /// `server.max-connections`.
    pub max_connections: usize,
    /// `server.read-timeout`.
    pub read_timeout: Duration,
    /// `server.longest-wait`.
    pub longest_wait: Duration,
    /// `server.shutdown-grace`.
    pub shutdown_grace: Duration,
    /// `server.insecure-listen`.
    pub insecure_listen: bool,
}

/// `atlantis`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AtlantisSettings {
    /// `atlantis.listen`.
    pub listen: Option<SocketAddr>,
    /// `atlantis.username`.
    pub username: Option<String>,
    /// `atlantis.password`, or the content of `atlantis.password-file`.
    pub password: Option<Secret>,
    /// `atlantis.password-file`.
    pub password_file: Option<PathBuf>,
    /// `atlantis.tls`.
    pub tls: AtlantisTlsSettings,
    /// `atlantis.max-connections`.
    pub max_connections: usize,
}

/// `atlantis.tls`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AtlantisTlsSettings {
    /// `atlantis.tls.cert-file`.
    pub cert_file: Option<PathBuf>,
    /// `atlantis.tls.key-file`.
    pub key_file: Option<PathBuf>,
}

/// `webhooks`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WebhookSettings {
    /// `webhooks.github-secret`, or the content of `webhooks.github-secret-file`.
    pub github_secret: Option<Secret>,
    /// `webhooks.github-secret-file`.
    pub github_secret_file: Option<PathBuf>,
    /// `webhooks.gitlab-token`, or the content of `webhooks.gitlab-token-file`.
    pub gitlab_token: Option<Secret>,
    /// `webhooks.gitlab-token-file`.
    pub gitlab_token_file: Option<PathBuf>,
}

/// `log`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogSettings {
    /// `log.level`.
    pub level: LogLevel,
    /// `log.format`.
    pub format: LogFormat,
}
