//! Which server program tests start. Owns finding it and asking its version; installing it is `cargo xtask test`'s.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::BINARY_ENV;
use super::error::LaunchError;

/// Looked for in `PATH`, in this order.
const NAMES: [&str; 2] = ["redis-server", "valkey-server"];

/// A server program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    path: PathBuf,
    version: (u32, u32, u32),
    valkey: bool,
}

impl Binary {
    /// The program named by the environment variable `REDIS_SERVER`, or else found in `PATH`.
    ///
    /// # Errors
    /// [`LaunchError::NoBinary`] with what to do, or that it cannot be started.
    pub fn find() -> Result<Self, LaunchError> {
        if let Some(path) = std::env::var_os(BINARY_ENV).filter(|path| !path.is_empty()) {
            return Self::at(Path::new(&path));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = NAMES
            .iter()
            .find_map(|name| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| p.is_file()));
        Self::at(&found.ok_or(LaunchError::NoBinary)?)
    }

    /// The program at `path`.
    ///
    /// # Errors
    /// That it cannot be started or says no version.
    pub fn at(path: &Path) -> Result<Self, LaunchError> {
        static KNOWN: Mutex<Option<HashMap<PathBuf, Binary>>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(binary) = known.get(path) {
            return Ok(binary.clone());
        }
        let what = format!("running `{} --version`", path.display());
        let output = Command::new(path).arg("--version").output().map_err(LaunchError::io(what.clone()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = parse(&text).ok_or_else(|| LaunchError::NotReady {
            what: format!("{what} told no version"),
            log: text.clone(),
        })?;
        let valkey = text.to_ascii_lowercase().contains("valkey");
        let binary = Self { path: path.to_owned(), version, valkey };
        known.insert(path.to_owned(), binary.clone());
        Ok(binary)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Major, minor and patch of the program's own version: Valkey counts its own.
    #[must_use]
    pub fn version(&self) -> (u32, u32, u32) {
        self.version
    }

    /// Whether it is Valkey.
    #[must_use]
    pub fn is_valkey(&self) -> bool {
        self.valkey
    }

    /// Whether it knows what came with Redis 7.0, such as sharded channels and `CLUSTER ADDSLOTSRANGE`.
    #[must_use]
    pub fn is_at_least_7(&self) -> bool {
        self.version.0 >= 7
    }
}

/// The version in `Redis server v=7.0.15 sha=…`.
fn parse(text: &str) -> Option<(u32, u32, u32)> {
    let numbers = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_redis_and_valkey_are_read() {
        assert_eq!(parse("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0"), Some((7, 0, 15)));
        assert_eq!(parse("Valkey server v=9.1.2 sha=00000000:1"), Some((9, 1, 2)));
        assert_eq!(parse("sh 5.1"), None);
    }

    #[test]
    fn what_is_not_there_or_no_server_is_an_error() {
        assert!(matches!(Binary::at(Path::new("no-such-server")), Err(LaunchError::Io { .. })));
        assert!(matches!(Binary::at(Path::new("true")), Err(LaunchError::NotReady { .. })));
    }
}
