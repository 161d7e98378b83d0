//! Owns which cargo feature a configuration needs (compiled in), as opposed to what it switches on.
//! Does not know what is compiled in: the caller says.

use crate::choice::{Backend, MigrationMode};
use crate::problem::Source;
use crate::settings::Settings;

/// The configuration asks for something that this build does not contain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`enhanced-locking.{path}` is `{value}` ({source_of_value}), which {}", self.remedy())]
#[non_exhaustive]
pub struct MissingFeature {
    /// The key that asks, below `enhanced-locking`.
    pub path: &'static str,
    /// What it asks for.
    pub value: String,
    /// Who said so.
    pub source_of_value: Source,
    /// The feature to build with: `cargo build --features FEATURE`, once it [exists](Self::exists).
    pub feature: &'static str,
}

/// Cargo features that no version has yet: a build with one of them cannot be made.
const FUTURE: &[&str] = &["deadlock-detection", "retries", "compat"];

impl MissingFeature {
    /// Whether there is a build that has it.
    #[must_use]
    pub fn exists(&self) -> bool {
        !FUTURE.contains(&self.feature)
    }

    fn remedy(&self) -> String {
        if self.exists() {
            format!("needs a build with the cargo feature `{}`", self.feature)
        } else {
            "is not in this version of enhanced-locks yet; leave it off".to_owned()
        }
    }
}

/// What the configuration asks for and `compiled` (names of cargo features) does not contain.
///
/// With `enabled: false` and no migration nothing is asked for, whatever else is set.
///
/// ```
/// use enhanced_locking_config::{Loader, check_features};
///
/// let settings = Loader::new().flag("backend", "memory").load()?;
/// let missing = check_features(&settings, &["embedded"]);
/// assert_eq!(
///     missing[0].to_string(),
///     "`enhanced-locking.backend` is `memory` (flag --set backend), \
///      which needs a build with the cargo feature `memory`",
/// );
/// assert!(check_features(&settings, &["embedded", "memory"]).is_empty());
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
