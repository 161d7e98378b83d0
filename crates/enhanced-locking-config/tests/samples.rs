//! The samples that users know load as they are, and mean what they say.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use enhanced_locking_config::{Backend, LoadError, Loader, MigrationMode, ProblemKind, Settings};

fn load(sample: &str) -> Result<Settings, LoadError> {
    let path = format!("{}/tests/fixtures/{sample}.yaml", env!("CARGO_MANIFEST_DIR"));
    Loader::new().file(path).environment([("REDIS_PASSWORD", "0123")]).load()
}

fn shown(settings: &Settings, path: &str) -> (String, String) {
    let all = settings.show();
    let setting = all.iter().find(|setting| setting.path == path).unwrap();
    let source = setting.source.to_string();
    (setting.value.clone().unwrap_or_default(), source.rsplit('/').next().unwrap().to_owned())
}

#[test]
fn the_sample_for_new_installations_loads_and_says_what_the_defaults_say() {
    let settings = load("new-installation").unwrap();
    assert!(settings.enabled && settings.metrics.enabled);
    assert!(!settings.priority_queue.enabled && !settings.deadlock_detection.enabled);
    assert_eq!(settings.backend, Backend::Embedded);
    assert_eq!(shown(&settings, "backend"), ("boltdb".to_owned(), "new-installation.yaml:4:12".to_owned()));
    let reload = Settings::diff(&Settings::default(), &settings);
    assert!(reload.is_empty(), "{reload:?}");
}

#[test]
fn the_sample_for_existing_installations_only_watches() {
    let settings = load("existing-installation").unwrap();
    assert!(!settings.enabled && settings.compatibility_mode && settings.migration.validation_enabled);
    assert_eq!(settings.migration.mode, MigrationMode::Shadow);
}

#[test]
fn the_basic_sample_loads() {
    let settings = load("basic").unwrap();
    assert!(settings.enabled && settings.metrics.enabled && !settings.retries.enabled);
    assert_eq!(shown(&settings, "retries.enabled"), ("false".to_owned(), "basic.yaml:8:12".to_owned()));
}

#[test]
fn the_redis_sample_loads_with_the_password_from_the_environment_as_it_is_written_there() {
    let settings = load("redis").unwrap();
    assert_eq!(settings.backend, Backend::Redis);
    assert_eq!(settings.redis.addresses, ["redis-1:6379", "redis-2:6379", "redis-3:6379"]);
    assert_eq!(settings.redis.password.as_ref().unwrap().expose(), "0123");
    assert!(settings.redis.cluster_mode);
    assert_eq!(settings.redis.pool_size, 20);
    assert_eq!(shown(&settings, "redis.password").0, "***");
}

#[test]
fn the_redis_sample_without_the_variable_names_key_variable_and_place() {
    let path = format!("{}/tests/fixtures/redis.yaml", env!("CARGO_MANIFEST_DIR"));
    let error = Loader::new().file(path).load().unwrap_err();
    let [problem] = error.problems() else { panic!("{error}") };
    assert_eq!(problem.kind, ProblemKind::Variable);
    assert_eq!(problem.path, "enhanced-locking.redis.password");
    assert!(problem.message.contains("`REDIS_PASSWORD`"), "{problem}");
    assert!(problem.to_string().contains("redis.yaml:6:15: "), "{problem}");
}

#[test]
fn the_migration_sample_loads() {
    let settings = load("migration").unwrap();
    assert_eq!(settings.migration.mode, MigrationMode::Gradual);
    assert_eq!(settings.migration.traffic_percentage, 10);
    assert!(settings.migration.fallback_enabled && settings.migration.validation_enabled);
}
