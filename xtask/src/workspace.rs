//! What cargo and git know about this tree: packages, features, targets, and the files that belong to it.
//!
//! Owns no rule about them; the rules are in `tidy`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use xshell::{Shell, cmd};

use crate::ui::{Context as _, Failure, Result};

/// The workspace as `cargo metadata --no-deps` describes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    #[serde(rename = "target_directory")]
    pub(crate) target_dir: PathBuf,
    pub(crate) packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    pub(crate) targets: Vec<Target>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

impl Workspace {
    /// Asks cargo about the workspace that this program belongs to.
    pub(crate) fn load() -> Result<Self> {
        // Cargo sets the variable at run time; the compiled-in value serves a binary started directly.
        let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let sh = Shell::new()?;
        sh.change_dir(xtask);
        let json = cmd!(sh, "cargo metadata --no-deps --format-version 1").quiet().read()?;
        serde_json::from_str(&json).context("reading the answer of `cargo metadata`")
    }

    /// A shell that stands in the root of the workspace.
    pub(crate) fn shell(&self) -> Result<Shell> {
        let sh = Shell::new()?;
        sh.change_dir(&self.root);
        Ok(sh)
    }

    /// The package of that name, or a failure that says it should exist.
    pub(crate) fn package(&self, name: &str) -> Result<&Package> {
        self.packages.iter().find(|p| p.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.packages.iter().map(|p| p.name.as_str()).collect();
            Failure::new(format!("no package {name} in this workspace; there are: {}", known.join(", ")))
        })
    }

    /// The files of the project, relative to the root and sorted: those git tracks and those it would
    /// (new, not ignored), so that a rule speaks up before the commit and not after it.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let sh = self.shell()?;
        let list = cmd!(sh, "git ls-files -z --cached --others --exclude-standard").quiet().read().map_err(
            |error| Failure::new(format!("{error}; this chore needs a git checkout and git itself")),
        )?;
        let mut files: Vec<String> = list
            .split('\0')
            .filter(|f| !f.is_empty() && self.root.join(f).is_file())
            .map(str::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The text of a file of the project, or `None` if it is not UTF-8 text.
    pub(crate) fn text(&self, file: &str) -> Result<Option<String>> {
        let bytes = std::fs::read(self.root.join(file)).context(format!("reading {file}"))?;
        if bytes.contains(&0) {
            return Ok(None);
        }
        Ok(String::from_utf8(bytes).ok())
    }

    /// Where `cargo build` puts the command.
    pub(crate) fn debug_binary(&self) -> PathBuf {
        self.target_dir.join("debug").join(BINARY)
    }

    /// Where `cargo build --release` puts it.
    pub(crate) fn release_binary(&self) -> PathBuf {
        self.target_dir.join("release").join(BINARY)
    }

    /// `path` as a person would name it from the root.
    pub(crate) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

impl Package {
    /// The names of the targets of one kind (`bench`, `test`, …).
    pub(crate) fn targets_of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        self.targets.iter().filter(move |t| t.kind.iter().any(|k| k == kind)).map(|t| t.name.as_str())
    }
}

/// The package of the Redis store.
pub(crate) const REDIS: &str = "enhanced-locking-redis";
/// The package that builds the command.
pub(crate) const CLI: &str = "enhanced-locking-cli";
/// The package of the end-to-end tests.
pub(crate) const TESTS: &str = "enhanced-locking-tests";
/// The package of the benches.
pub(crate) const BENCHES: &str = "enhanced-locking-benches";
/// The name of the command.
pub(crate) const BINARY: &str = "enhanced-locks";
/// Tells the end-to-end tests which binary to drive (an absolute path).
pub(crate) const BINARY_ENV: &str = "ENHANCED_LOCKS_BIN";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_workspace_loads_and_lists_itself() {
        let workspace = Workspace::load().unwrap();
        assert!(workspace.package("xtask").is_ok());
        assert!(workspace.files().unwrap().contains(&"xtask/src/workspace.rs".to_owned()));
    }

    #[test]
    fn an_unknown_package_is_answered_with_the_known_ones() {
        let workspace = Workspace { root: "/".into(), target_dir: "/t".into(), packages: Vec::new() };
        assert!(workspace.package("nope").unwrap_err().to_string().starts_with("no package nope"));
    }
}
