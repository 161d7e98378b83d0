//! Owns the one table of all keys: name, kind, default, meaning, field, and whether it can change at run time.
//! Environment names, `config show`, reload and the reference page are derived from it, so they cannot drift.
//! Does not own checks that involve two keys.

use std::time::Duration;

use crate::choice::{Backend, Durability, LogFormat, LogLevel, MigrationMode};
use crate::settings::Settings;
use crate::suggest::nearest;
use crate::units::ByteSize;
use crate::value::{Field, Rule};

/// The prefix of every environment variable of ours.
pub(crate) const ENV_PREFIX: &str = "ATLANTIS_ENHANCED_LOCKING_";

/// Whether a change takes effect in a running service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// At the next reload.
    Live,
    /// At the next reload, if the store is not shared with other services.
    LiveUnlessShared,
    /// When the service is started again.
    Restart,
}

/// One setting.
pub(crate) struct Key {
    /// Below `enhanced-locking`.
    pub(crate) path: &'static str,
    pub(crate) rule: Rule,
    /// As it would be written in the file; `None` leaves the setting unset.
    pub(crate) default: Option<&'static str>,
    pub(crate) when: When,
    pub(crate) about: &'static str,
    pub(crate) field: fn(&Settings) -> &dyn Field,
    pub(crate) field_mut: fn(&mut Settings) -> &mut dyn Field,
}

/// What a path in the file stands for.
pub(crate) enum Target {
    /// The setting with this index.
    Setting(usize),
    /// A table that may also be written as a bool, which then is the setting with this index.
    Switch(usize),
    /// A table.
    Table,
    /// Nothing.
    Unknown,
}

/// Finds what `path` (below `enhanced-locking`) stands for.
pub(crate) fn find(path: &str) -> Target {
    if let Some(index) = KEYS.iter().position(|key| key.path == path) {
        return Target::Setting(index);
    }
    if let Some(index) = KEYS.iter().position(|key| key.switch() == Some(path)) {
        return Target::Switch(index);
    }
    let is_table =
        KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')));
    if is_table { Target::Table } else { Target::Unknown }
}

/// The names that may stand in the table `path` (empty for the top), in the order of the schema.
pub(crate) fn names_in(path: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in KEYS {
        let rest = if path.is_empty() {
            Some(key.path)
        } else {
            key.path.strip_prefix(path).and_then(|rest| rest.strip_prefix('.'))
        };
        let name = rest.map(|rest| rest.split('.').next().unwrap_or(rest));
        if let Some(name) = name.filter(|name| !names.contains(name)) {
            names.push(name);
        }
    }
    names
}

/// What to say about a name that the table `table` does not have.
pub(crate) fn help_for_unknown(table: &str, name: &str) -> String {
    let names = names_in(table);
    if let Some(near) = nearest(name, names.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    // The right name in the wrong table.
    let elsewhere = KEYS.iter().find(|key| key.path.rsplit('.').next() == Some(name));
    match elsewhere {
        Some(key) => format!("did you mean `{}`?", key.path),
        None => format!("known here: {}", names.join(", ")),
    }
}

impl Key {
    /// The environment variable that sets this key.
    pub(crate) fn environment(&self) -> String {
        env_name(self.path)
    }

    /// For the on/off setting of a table that may be written as a bool: the table's path.
    pub(crate) fn switch(&self) -> Option<&'static str> {
        self.path.strip_suffix(".enabled")
    }
}

/// The environment variable for a path: upper case, `-` and `.` become `_`.
pub(crate) fn env_name(path: &str) -> String {
    format!("{ENV_PREFIX}{}", path.to_ascii_uppercase().replace(['-', '.'], "_"))
}

/// A setting that exists, for whoever offers flags or completions.
///
/// ```
/// let listen = enhanced_locking_config::known_keys().into_iter().find(|key| key.path == "server.listen").unwrap();
/// assert_eq!(listen.environment, "ATLANTIS_ENHANCED_LOCKING_SERVER_LISTEN");
/// assert_eq!(listen.default, Some("127.0.0.1:4141"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownKey {
    /// Below `enhanced-locking`, such as `redis.pool-size`.
    pub path: &'static str,
    /// The environment variable that sets it.
    pub environment: String,
    /// The value when nobody says anything; `None` is unset.
    pub default: Option<&'static str>,
    /// What is allowed, in words.
    pub allowed: String,
    /// What it does, one sentence.
    pub about: &'static str,
    /// Whether a change takes effect without a restart, if the store is not shared with other services.
    pub reloadable: bool,
}

/// Every setting there is, in the order of the reference.
pub fn known_keys() -> Vec<KnownKey> {
    KEYS.iter()
        .map(|key| KnownKey {
            path: key.path,
            environment: key.environment(),
            default: key.default,
            allowed: key.rule.to_string(),
            about: key.about,
            reloadable: key.when != When::Restart,
        })
        .collect()
}

const fn duration(min_ms: u64, max_ms: u64) -> Rule {
    Rule::Duration { min: Duration::from_millis(min_ms), max: Duration::from_millis(max_ms) }
}

const fn integer(min: u64, max: u64) -> Rule {
    Rule::Integer { min, max }
}

const fn size(min: u64, max: u64) -> Rule {
    Rule::Size { min: ByteSize::from_bytes(min), max: ByteSize::from_bytes(max) }
}

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

macro_rules! keys {
    ($( $path:literal => $($field:ident).+ , $rule:expr, $default:expr, $when:ident, $about:literal; )*) => {
        /// Every key, in the order of the reference.
        pub(crate) static KEYS: &[Key] = &[ $( Key {
            path: $path,
            rule: $rule,
            default: $default,
            when: When::$when,
            about: $about,
            field: |settings| &settings.$($field).+,
            field_mut: |settings| &mut settings.$($field).+,
        } ),* ];
    };
}

keys! {
    "enabled" => enabled, Rule::Switch, Some("true"), Restart,
        "Whether this system decides about locks. Off with a migration mode: it only watches.";
    "compatibility-mode" => compatibility_mode, Rule::Switch, Some("false"), Restart,
        "Behave as the legacy locking does, for callers written against it.";
    "backend" => backend, Rule::Choice(Backend::NAMES), Some("embedded"), Restart,
        "Where locks are kept. `boltdb` is another name for `embedded`.";
    "data-dir" => data_dir, Rule::Path, Some("./enhanced-locks-data"), Restart,
        "The embedded store's directory; relative to the working directory, made when missing.";
    "embedded.map-size" => embedded.map_size, size(1 << 20, 1 << 44), Some("1GiB"), Restart,
        "Address space reserved for the embedded store at the start; it grows by itself.";
    "embedded.journal-size" => embedded.journal_size, size(64 << 10, 1 << 34), Some("16MiB"), Restart,
        "How much is committed to the journal before it is moved into the data file.";
    "embedded.backup-dir" => embedded.backup_dir, Rule::Path, None, Restart,
        "Where `enhanced-locks backup` puts copies; `backups` in `data-dir` if not set.";
    "priority-queue.enabled" => priority_queue.enabled, Rule::Switch, Some("false"), Restart,
        "Serve waiters by priority; off is first come, first served.";
    "priority-queue.credits.low" => priority_queue.credits.low, duration(0, DAY_MS), None, Restart,
        "How far a `low` request may overtake: it counts as having arrived this much earlier.";
    "priority-queue.credits.normal" => priority_queue.credits.normal, duration(0, DAY_MS), None, Restart,
        "The same for `normal`.";
    "priority-queue.credits.high" => priority_queue.credits.high, duration(0, DAY_MS), None, Restart,
        "The same for `high`.";
    "priority-queue.credits.critical" => priority_queue.credits.critical, duration(0, DAY_MS), None, Restart,
        "The same for `critical`.";
    "priority-queue.credits.emergency" => priority_queue.credits.emergency, duration(0, DAY_MS), None, Restart,
        "The same for `emergency`.";
    "priority-queue.starvation-threshold" => priority_queue.starvation_threshold, duration(1000, DAY_MS), None, Restart,
        "A request that waits longer than this counts as starving.";
    "priority-queue.max-priority-boost" => priority_queue.max_priority_boost, integer(0, 4), None, Restart,
        "How many priorities a starving request may rise.";
    "priority-queue.priority-boost-interval" => priority_queue.priority_boost_interval, duration(1000, DAY_MS), None, Restart,
        "How long a starving request waits for each further rise.";
    "deadlock-detection.enabled" => deadlock_detection.enabled, Rule::Switch, Some("false"), Restart,
        "Find and resolve cycles of requests that wait for each other.";
    "deadlock-detection.check-interval" => deadlock_detection.check_interval, duration(100, HOUR_MS), Some("30s"), Restart,
        "How often the whole graph is looked at, as a net under the check at each blocked request.";
    "retries.enabled" => retries.enabled, Rule::Switch, Some("false"), Restart,
        "Repeat operations that failed and surely did not happen.";
    "retries.max-attempts" => retries.max_attempts, integer(1, 100), Some("3"), Restart,
        "Attempts in all, the first one included.";
    "retries.base-delay" => retries.base_delay, duration(1, HOUR_MS), Some("1s"), Restart,
        "The pause before the second attempt; later ones grow.";
    "retries.max-delay" => retries.max_delay, duration(1, HOUR_MS), Some("30s"), Restart,
        "The longest pause between attempts.";
    "metrics.enabled" => metrics.enabled, Rule::Switch, Some("true"), Restart,
        "Count and time operations, and serve the figures.";
    "redis.addresses" => redis.addresses, Rule::HostPorts, None, Restart,
        "The Redis servers, or the Sentinels; in a variable or flag separated by commas.";
    "redis.username" => redis.username, Rule::Text, None, Restart,
        "The Redis user (ACL); unset is the default user.";
    "redis.password" => redis.password, Rule::Secret, None, Restart,
        "The Redis password. Never printed.";
    "redis.password-file" => redis.password_file, Rule::Path, None, Restart,
        "A file that holds the password; one line break at its end is dropped.";
    "redis.cluster-mode" => redis.cluster_mode, Rule::Switch, Some("false"), Restart,
        "The addresses are nodes of a Redis Cluster.";
    "redis.sentinel-master" => redis.sentinel_master, Rule::Text, None, Restart,
        "The addresses are Sentinels that watch the master of this name.";
    "redis.sentinel-username" => redis.sentinel_username, Rule::Text, None, Restart,
        "The user at the Sentinels, which have users of their own.";
    "redis.sentinel-password" => redis.sentinel_password, Rule::Secret, None, Restart,
        "The password at the Sentinels. Never printed.";
    "redis.sentinel-password-file" => redis.sentinel_password_file, Rule::Path, None, Restart,
        "A file that holds it; one line break at its end is dropped.";
    "redis.db" => redis.db, integer(0, 255), Some("0"), Restart,
        "The number of the Redis database; a cluster has only 0.";
    "redis.namespace" => redis.namespace, Rule::Text, Some("enhanced-locks"), Restart,
        "The first part of all names in Redis: services with the same one share locks and lines.";
    "redis.buckets" => redis.buckets, integer(1, 4_096), None, Restart,
        "How many parts the keys are spread over: 1, or 256 in a cluster, if not set. Fixed once the namespace is used.";
    "redis.pool-size" => redis.pool_size, integer(1, 1_000), Some("10"), Restart,
        "The most connections to one Redis server; a part of the keys uses one, so a single server needs one.";
    "redis.connect-timeout" => redis.connect_timeout, duration(10, 5 * 60_000), Some("5s"), Restart,
        "How long it may take to connect.";
    "redis.command-timeout" => redis.command_timeout, duration(10, 5 * 60_000), Some("5s"), Restart,
        "How long Redis may take to answer before the outcome counts as unknown.";
    "redis.poll-period" => redis.poll_period, duration(50, 60_000), Some("2s"), Restart,
        "How often a waiting request is looked at although nothing was heard: what a lost message costs at most.";
    "redis.durability" => redis.durability, Rule::Choice(Durability::NAMES), Some("fast"), Restart,
        "What an acknowledged change survives; `strict` also pauses grants after a replica took over.";
    "redis.replicas" => redis.replicas, integer(1, 100), Some("1"), Restart,
        "How many replicas must have a change before it is acknowledged; not for `fast`.";
    "redis.replica-timeout" => redis.replica_timeout, duration(1, 60_000), Some("1s"), Restart,
        "How long they have; after it the change is taken back or reported as unknown.";
    "redis.promotion-grace" => redis.promotion_grace, duration(0, DAY_MS), Some("30s"), Restart,
        "How long nothing new is granted at least after a replica took over; only for `strict`.";
    "redis.tls.enabled" => redis.tls.enabled, Rule::Switch, Some("false"), Restart,
        "Speak TLS with Redis and the Sentinels.";
    "redis.tls.ca-file" => redis.tls.ca_file, Rule::Path, None, Restart,
        "The certificates (PEM) of the authorities to trust, instead of the system's.";
    "redis.tls.cert-file" => redis.tls.cert_file, Rule::Path, None, Restart,
        "The client's certificate (PEM), for servers that ask for one.";
    "redis.tls.key-file" => redis.tls.key_file, Rule::Path, None, Restart,
        "The key (PEM) of the client's certificate.";
    "migration.mode" => migration.mode, Rule::Choice(MigrationMode::NAMES), Some("disabled"), Restart,
        "How locks move here from the legacy store.";
    "migration.traffic-percentage" => migration.traffic_percentage, integer(0, 100), Some("0"), Restart,
        "The share of keys this system decides about in the modes `gradual` and `canary`.";
    "migration.fallback-enabled" => migration.fallback_enabled, Rule::Switch, Some("true"), Restart,
        "Go back to the legacy store when this system fails.";
    "migration.validation-enabled" => migration.validation_enabled, Rule::Switch, Some("true"), Restart,
        "Compare the answers of both stores.";
    "locks.default-lease" => locks.default_lease, duration(10, 30 * DAY_MS), Some("30s"), Restart,
        "How long a lock lives without renewal when the request does not say.";
    "locks.claim-window" => locks.claim_window, duration(10, HOUR_MS), Some("5s"), Restart,
        "How long a waiter has to take a lock that was handed to it before the next one gets it.";
    "locks.keep-alive" => locks.keep_alive, duration(100, DAY_MS), Some("30s"), Restart,
        "How long a waiter with a lease may stay silent before it loses its place.";
    "limits.waiters-per-key" => limits.waiters_per_key, integer(1, 100_000_000), Some("10000"), LiveUnlessShared,
        "Requests in the line of one key.";
    "limits.waiters-total" => limits.waiters_total, integer(1, 100_000_000), Some("1000000"), LiveUnlessShared,
        "Requests in all lines.";
    "limits.waiters-per-owner" => limits.waiters_per_owner, integer(1, 100_000_000), Some("100000"), LiveUnlessShared,
        "Requests of one owner in all lines.";
    "limits.locks-total" => limits.locks_total, integer(1, 1_000_000_000), Some("10000000"), LiveUnlessShared,
        "Locks held at once.";
    "limits.finished-requests" => limits.finished_requests, integer(1, 100_000_000), Some("16384"), LiveUnlessShared,
        "Finished requests remembered so that a repeated one gets the same answer.";
    "limits.events" => limits.events, integer(1, 100_000_000), Some("16384"), Restart,
        "Events kept for readers that resume.";
    "server.listen" => server.listen, Rule::Listen, Some("127.0.0.1:4141"), Restart,
        "Where the HTTP service listens.";
    "server.auth-token" => server.auth_token, Rule::Secret, None, Restart,
        "The bearer token clients must send. Never printed.";
    "server.auth-token-file" => server.auth_token_file, Rule::Path, None, Restart,
        "A file that holds the token; one line break at its end is dropped.";
    "server.max-body" => server.max_body, size(1 << 10, 1 << 28), Some("1MiB"), Restart,
        "The largest request body.";
    "server.max-requests-in-flight" => server.max_requests_in_flight, integer(1, 1_000_000), Some("10000"), Restart,
        "Requests worked on at once; more are refused.";
    "server.max-waiting-requests" => server.max_waiting_requests, integer(1, 1_000_000), Some("10000"), Restart,
        "Requests that wait for a lock or read events at once, counted apart; more are refused.";
    "server.max-connections" => server.max_connections, integer(1, 1_000_000), Some("12000"), Restart,
        "Connections open at once; further ones wait until one closes. Each needs an open file.";
    "server.read-timeout" => server.read_timeout, duration(100, HOUR_MS), Some("1m"), Restart,
        "How long a client may take to send a request, or leave its connection idle.";
    "server.longest-wait" => server.longest_wait, duration(1000, DAY_MS), Some("1h"), Restart,
        "The longest one request may wait for a lock before it is answered; clients ask again.";
    "server.shutdown-grace" => server.shutdown_grace, duration(0, HOUR_MS), Some("10s"), Restart,
        "How long open requests may still take when the service stops.";
    "server.insecure-listen" => server.insecure_listen, Rule::Switch, Some("false"), Restart,
        "Allow an address that other machines reach without a token.";
    "atlantis.listen" => atlantis.listen, Rule::Listen, None, Restart,
        "Where Atlantis finds its locks, by the protocol of Redis; unset is nowhere.";
    "atlantis.username" => atlantis.username, Rule::Text, None, Restart,
        "The user that Atlantis may name besides `default`.";
    "atlantis.password" => atlantis.password, Rule::Secret, None, Restart,
        "What Atlantis must say (`--redis-password`). Never printed.";
    "atlantis.password-file" => atlantis.password_file, Rule::Path, None, Restart,
        "A file that holds it; one line break at its end is dropped.";
    "atlantis.tls.cert-file" => atlantis.tls.cert_file, Rule::Path, None, Restart,
        "The certificate (PEM) to show to Atlantis; with it the port speaks TLS.";
    "atlantis.tls.key-file" => atlantis.tls.key_file, Rule::Path, None, Restart,
        "The key (PEM) of the certificate.";
    "atlantis.max-connections" => atlantis.max_connections, integer(1, 1_000_000), Some("1000"), Restart,
        "Connections of Atlantis open at once; further ones are refused.";
    "webhooks.github-secret" => webhooks.github_secret, Rule::Secret, None, Restart,
        "The secret with which GitHub signs reports of closed pull requests. Never printed.";
    "webhooks.github-secret-file" => webhooks.github_secret_file, Rule::Path, None, Restart,
        "A file that holds it; one line break at its end is dropped.";
    "webhooks.gitlab-token" => webhooks.gitlab_token, Rule::Secret, None, Restart,
        "The token that GitLab sends with reports of closed merge requests. Never printed.";
    "webhooks.gitlab-token-file" => webhooks.gitlab_token_file, Rule::Path, None, Restart,
        "A file that holds it; one line break at its end is dropped.";
    "log.level" => log.level, Rule::Choice(LogLevel::NAMES), Some("info"), Live,
        "How much is logged.";
    "log.format" => log.format, Rule::Choice(LogFormat::NAMES), Some("text"), Restart,
        "How a log line looks.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_keys_share_an_environment_name() {
        let mut names = BTreeSet::new();
        for key in KEYS {
            assert!(names.insert(key.environment()), "{}", key.path);
            if let Some(table) = key.switch() {
                assert!(names.insert(env_name(table)), "{table}");
            }
        }
    }

    #[test]
    fn the_meaning_of_every_key_is_one_sentence_or_two() {
        for key in KEYS {
            assert!(
                key.about.ends_with('.') && key.about.len() < 120 && !key.about.contains('|'),
                "{}",
                key.path
            );
        }
    }

    #[test]
    fn an_unknown_name_is_helped_with_the_nearest_or_the_right_table_or_the_list() {
        assert_eq!(help_for_unknown("redis", "pool_size"), "did you mean `pool-size`?");
        assert_eq!(help_for_unknown("", "cluster-mode"), "did you mean `redis.cluster-mode`?");
        assert_eq!(help_for_unknown("log", "colour"), "known here: level, format");
    }
}
