//! Owns the checked settings: plain values that the rest of the system reads, with the source of every one.
//! Does not own the sections' fields, names, defaults and meaning of the keys (see the schema) nor loading.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::choice::{Backend, Durability, LogFormat, LogLevel, MigrationMode};
use crate::problem::Source;
use crate::schema::KEYS;
use crate::sections::{
    AtlantisSettings, CreditSettings, DeadlockDetectionSettings, EmbeddedSettings, LimitSettings,
    LockSettings, LogSettings, MetricsSettings, MigrationSettings, PriorityQueueSettings, RedisSettings,
    RedisTlsSettings, RetrySettings, ServerSettings, WebhookSettings,
};
use crate::units::ByteSize;
use crate::value::{Input, Rule, Text};

/// The whole configuration, checked. Made by the [`Loader`](crate::Loader); [`Settings::default`] is what
/// a run without any file, variable or flag gets.
///
/// ```
/// use enhanced_locking_config::{Backend, Settings};
///
/// let settings = Settings::default();
/// assert!(settings.enabled && settings.metrics.enabled && !settings.priority_queue.enabled);
/// assert_eq!(settings.backend, Backend::Embedded);
/// assert_eq!(settings.server.listen.to_string(), "127.0.0.1:4141");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// `enabled`.
    pub enabled: bool,
    /// `compatibility-mode`.
    pub compatibility_mode: bool,
    /// `backend`.
    pub backend: Backend,
    /// `data-dir`.
    pub data_dir: PathBuf,
    /// `embedded`.
    pub embedded: EmbeddedSettings,
    /// `priority-queue`.
    pub priority_queue: PriorityQueueSettings,
    /// `deadlock-detection`.
    pub deadlock_detection: DeadlockDetectionSettings,
    /// `retries`.
    pub retries: RetrySettings,
    /// `metrics`.
    pub metrics: MetricsSettings,
    /// `redis`.
    pub redis: RedisSettings,
    /// `migration`.
    pub migration: MigrationSettings,
    /// `locks`.
    pub locks: LockSettings,
    /// `limits`.
    pub limits: LimitSettings,
    /// `server`.
    pub server: ServerSettings,
    /// `atlantis`.
    pub atlantis: AtlantisSettings,
    /// `webhooks`.
    pub webhooks: WebhookSettings,
    /// `log`.
    pub log: LogSettings,
    /// One entry per key of the schema, in its order.
    pub(crate) origins: Vec<Origin>,
}

/// A setting as `config show` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ShownSetting {
    /// The key below `enhanced-locking`, such as `redis.pool-size`.
    pub path: &'static str,
    /// The value as it could stand in the file; `None` when unset; `***` for a secret.
    pub value: Option<String>,
    /// Who said so.
    pub source: Source,
}

/// Who said the value of a key, and in which words.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) source: Source,
    /// The word chosen where several mean the same, such as `boltdb`.
    pub(crate) given: Option<String>,
}

impl Settings {
    /// Every setting with its value and the source of it, in the order of the reference. Secrets are hidden.
    ///
    /// ```
    /// use enhanced_locking_config::Loader;
    ///
    /// let settings = Loader::new()
    ///     .text("atlantis.yaml", "enhanced-locking: {backend: boltdb}")
    ///     .flag("server.listen", "127.0.0.1:5000")
    ///     .load()?;
    /// let shown = settings.show();
    /// let backend = shown.iter().find(|setting| setting.path == "backend").unwrap();
    /// assert_eq!(backend.value.as_deref(), Some("boltdb"));
    /// assert_eq!(backend.source.to_string(), "atlantis.yaml:1:29");
    /// # Ok::<(), enhanced_locking_config::LoadError>(())
    /// ```
    pub fn show(&self) -> Vec<ShownSetting> {
        KEYS.iter()
            .zip(&self.origins)
            .map(|(key, origin)| {
                let value = (key.field)(self).value().map(|value| value.to_string());
                ShownSetting {
                    path: key.path,
                    value: origin.given.clone().or(value),
                    source: origin.source.clone(),
                }
            })
            .collect()
    }

    /// Who said the value of `path`; `None` for a key that does not exist.
    pub fn source_of(&self, path: &str) -> Option<&Source> {
        let index = KEYS.iter().position(|key| key.path == path)?;
        self.origins.get(index).map(|origin| &origin.source)
    }

    /// Everything empty: what the schema's defaults are put into.
    fn blank() -> Self {
        let zero = Duration::ZERO;
        Self {
            enabled: false,
            compatibility_mode: false,
            backend: Backend::Embedded,
            data_dir: PathBuf::new(),
            embedded: EmbeddedSettings {
                map_size: ByteSize::default(),
                journal_size: ByteSize::default(),
                backup_dir: None,
            },
            priority_queue: PriorityQueueSettings {
                enabled: false,
                credits: CreditSettings {
                    low: None,
                    normal: None,
                    high: None,
                    critical: None,
                    emergency: None,
                },
                starvation_threshold: None,
                max_priority_boost: None,
                priority_boost_interval: None,
            },
            deadlock_detection: DeadlockDetectionSettings { enabled: false, check_interval: zero },
            retries: RetrySettings { enabled: false, max_attempts: 0, base_delay: zero, max_delay: zero },
            metrics: MetricsSettings { enabled: false },
            redis: RedisSettings {
                addresses: Vec::new(),
                username: None,
                password: None,
                password_file: None,
                cluster_mode: false,
                sentinel_master: None,
                sentinel_username: None,
                sentinel_password: None,
                sentinel_password_file: None,
                db: 0,
                namespace: String::new(),
                buckets: None,
                pool_size: 0,
                connect_timeout: zero,
                command_timeout: zero,
                poll_period: zero,
                durability: Durability::Fast,
                replicas: 0,
                replica_timeout: zero,
                promotion_grace: zero,
                tls: RedisTlsSettings { enabled: false, ca_file: None, cert_file: None, key_file: None },
            },
            migration: MigrationSettings {
                mode: MigrationMode::Disabled,
                traffic_percentage: 0,
                fallback_enabled: false,
                validation_enabled: false,
            },
            locks: LockSettings { default_lease: zero, claim_window: zero, keep_alive: zero },
            limits: LimitSettings {
                waiters_per_key: 0,
                waiters_total: 0,
                waiters_per_owner: 0,
                locks_total: 0,
                finished_requests: 0,
                events: 0,
            },
            server: ServerSettings {
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                auth_token: None,
                auth_token_file: None,
                max_body: ByteSize::default(),
                max_requests_in_flight: 0,
                max_waiting_requests: 0,
                max_connections: 0,
                read_timeout: zero,
                longest_wait: zero,
                shutdown_grace: zero,
                insecure_listen: false,
            },
            atlantis: AtlantisSettings::default(),
            webhooks: WebhookSettings::default(),
            log: LogSettings { level: LogLevel::Info, format: LogFormat::Text },
            origins: vec![Origin { source: Source::Default, given: None }; KEYS.len()],
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let mut settings = Self::blank();
        for key in KEYS {
            let value = key.default.and_then(|text| key.rule.read(&Input::One(Text::plain(text))).ok());
            if let Some(value) = value {
                let fits = (key.field_mut)(&mut settings).put(value);
                debug_assert!(fits, "the default of `{}` does not fit its field", key.path);
            }
        }
        settings
    }
}

/// The word to show in place of the value's own: only where the key is a choice with two names for one thing.
pub(crate) fn given_word(rule: &Rule, input: &Input) -> Option<String> {
    match (rule, input) {
        (Rule::Choice(_), Input::One(text)) => Some(text.text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed_and_fits_its_field() {
        let mut settings = Settings::blank();
        for key in KEYS {
            if let Some(text) = key.default {
                let value = key.rule.read(&Input::One(Text::plain(text)));
                let value = value.unwrap_or_else(|error| panic!("{}: {error:?}", key.path));
                assert_eq!(value.to_string(), text, "{} is not written as it is shown", key.path);
                assert!((key.field_mut)(&mut settings).put(value), "{}", key.path);
            }
        }
    }

    #[test]
    fn only_optional_settings_and_the_list_of_addresses_have_no_default() {
        let settings = Settings::default();
        for shown in settings.show() {
            let key = KEYS.iter().find(|key| key.path == shown.path).unwrap();
            let unset = shown.value.as_deref().unwrap_or_default().is_empty();
            assert_eq!(key.default.is_none(), unset, "{}", key.path);
        }
    }

    #[test]
    fn every_key_has_a_field_of_its_own() {
        let base = Settings::default();
        for key in KEYS {
            let text = match key.rule {
                Rule::Switch => {
                    (!matches!((key.field)(&base).value(), Some(crate::value::Value::Switch(true))))
                        .to_string()
                }
                Rule::Integer { min, max } if key.default == Some(&min.to_string()) => max.to_string(),
                Rule::Integer { min, .. } => min.to_string(),
                Rule::Duration { max, .. } => crate::units::print_duration(&max),
                Rule::Size { max, .. } => max.to_string(),
                Rule::Choice(names) => (*names.last().unwrap()).to_owned(),
                Rule::Text | Rule::Path | Rule::Secret => "other".to_owned(),
                Rule::Listen => "127.0.0.1:1".to_owned(),
                Rule::HostPorts => "other:1".to_owned(),
            };
            let mut changed = base.clone();
            let value = key.rule.read(&Input::One(Text::plain(&text))).unwrap();
            assert!((key.field_mut)(&mut changed).put(value), "{}", key.path);
            let differing: Vec<_> = KEYS
                .iter()
                .filter(|other| (other.field)(&base).value() != (other.field)(&changed).value())
                .map(|other| other.path)
                .collect();
            assert_eq!(differing, [key.path]);
        }
    }
}
