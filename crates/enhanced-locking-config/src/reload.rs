//! Owns what a reload of the configuration changes, and what waits for a restart. Does not own applying it,
//! nor watching the file.

use crate::schema::{KEYS, When};
use crate::settings::Settings;

/// The settings that differ between two loads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reload {
    /// Keys that a running service takes over.
    pub applied: Vec<&'static str>,
    /// Keys that change only when the service is started again.
    pub needs_restart: Vec<&'static str>,
}

impl Reload {
    /// Whether both loads say the same.
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.needs_restart.is_empty()
    }
}

impl Settings {
    /// Compares two loads, value by value; where a value comes from does not matter.
    ///
    /// ```
    /// use enhanced_locking_config::{Loader, Settings};
    ///
    /// let old = Settings::default();
    /// let new = Loader::new().flag("log.level", "debug").flag("data-dir", "/var/lib/locks").load()?;
    /// let reload = Settings::diff(&old, &new);
    /// assert_eq!(reload.applied, ["log.level"]);
    /// assert_eq!(reload.needs_restart, ["data-dir"]);
    /// # Ok::<(), enhanced_locking_config::LoadError>(())
    /// ```
    pub fn diff(old: &Self, new: &Self) -> Reload {
        let mut reload = Reload::default();
        for key in KEYS.iter().filter(|key| (key.field)(old).value() != (key.field)(new).value()) {
            match key.when {
                When::Live => reload.applied.push(key.path),
                When::Restart => reload.needs_restart.push(key.path),
            }
        }
        reload
    }
}
