//! Owns what a reload of the configuration changes, and what waits for a restart. Does not own applying it,
//! nor watching the file.

use crate::choice::Backend;
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
                When::LiveUnlessShared if new.backend != Backend::Redis => reload.applied.push(key.path),
                When::LiveUnlessShared | When::Restart => reload.needs_restart.push(key.path),
            }
        }
        reload
    }
}

#[cfg(test)]
mod tests {
    use crate::Loader;

    use super::*;

    #[test]
    fn limits_change_at_once_unless_the_store_is_shared() {
        let load = |backend, limit| {
            let loader = Loader::new().flag("backend", backend).flag("redis.addresses", "127.0.0.1:6379");
            loader.flag("limits.locks-total", limit).load().unwrap()
        };
        let own = Settings::diff(&load("embedded", "10"), &load("embedded", "20"));
        assert_eq!((own.applied, own.needs_restart), (vec!["limits.locks-total"], vec![]));
        let shared = Settings::diff(&load("redis", "10"), &load("redis", "20"));
        assert_eq!((shared.applied, shared.needs_restart), (vec![], vec!["limits.locks-total"]));
    }
}
