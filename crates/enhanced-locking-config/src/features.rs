//! Owns which cargo feature a configuration needs (compiled in), as opposed to what it switches on.
//! Does not know what is compiled in: the caller says.

use crate::choice::{Backend, MigrationMode};
use crate::problem::Source;
use crate::settings::Settings;

/// The configuration asks for something that this build does not contain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`enhanced-locking.{path}` is `{value}` ({source_of_value}), which needs a build with the cargo feature `{feature}`"
)]
#[non_exhaustive]
pub struct MissingFeature {
    /// The key that asks, below `enhanced-locking`.
    pub path: &'static str,
    /// What it asks for.
    pub value: String,
    /// Who said so.
    pub source_of_value: Source,
    /// The feature to build with: `cargo build --features FEATURE`.
    pub feature: &'static str,
}

/// What the configuration asks for and `compiled` (names of cargo features) does not contain.
///
/// With `enabled: false` and no migration nothing is asked for, whatever else is set.
///
/// ```
/// use enhanced_locking_config::{Loader, check_features};
///
/// let settings = Loader::new().flag("deadlock-detection", "true").load()?;
/// let missing = check_features(&settings, &["embedded"]);
/// assert_eq!(
///     missing[0].to_string(),
///     "`enhanced-locking.deadlock-detection.enabled` is `true` (flag --set deadlock-detection), \
///      which needs a build with the cargo feature `deadlock-detection`",
/// );
/// assert!(check_features(&settings, &["embedded", "deadlock-detection"]).is_empty());
/// # Ok::<(), enhanced_locking_config::LoadError>(())
/// ```
pub fn check_features(settings: &Settings, compiled: &[&str]) -> Vec<MissingFeature> {
    let migrates = settings.migration.mode != MigrationMode::Disabled;
    let works = settings.enabled || migrates;
    let asked = [
        ("backend", settings.backend == Backend::Embedded, "embedded"),
        ("backend", settings.backend == Backend::Redis, "redis"),
        ("backend", settings.backend == Backend::Memory, "memory"),
        ("priority-queue.enabled", settings.priority_queue.enabled, "priority-queue"),
        ("deadlock-detection.enabled", settings.deadlock_detection.enabled, "deadlock-detection"),
        ("retries.enabled", settings.retries.enabled, "retries"),
        ("compatibility-mode", settings.compatibility_mode, "compat"),
        ("migration.mode", migrates, "compat"),
    ];
    let shown = settings.show();
    asked
        .into_iter()
        .filter(|(_, asked, feature)| works && *asked && !compiled.contains(feature))
        .filter_map(|(path, _, feature)| {
            let setting = shown.iter().find(|setting| setting.path == path)?;
            let value = setting.value.clone().unwrap_or_default();
            Some(MissingFeature {
                path: setting.path,
                value,
                source_of_value: setting.source.clone(),
                feature,
            })
        })
        .collect()
}
