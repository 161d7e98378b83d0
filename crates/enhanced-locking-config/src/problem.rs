//! Owns what went wrong while loading a configuration: all problems at once, each with the key, the place,
//! the reason and the way out. Does not own how they are drawn on a terminal.

use std::fmt;

use serde::{Serialize, Serializer};

/// The name of the tree in `atlantis.yaml` that belongs to this system.
pub(crate) const ROOT: &str = "enhanced-locking";

/// Where a value, or a problem with it, comes from. Later variants win over earlier ones.
///
/// ```
/// use enhanced_locking_config::Source;
///
/// let source = Source::File { file: "atlantis.yaml".to_owned(), line: 3, column: 12 };
/// assert_eq!(source.to_string(), "atlantis.yaml:3:12");
/// assert!(source < Source::Environment { name: "X".to_owned() });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// The configuration file. Line and column count from 1; both are 0 when the place in the file is unknown.
    File {
        /// The path as it was given.
        file: String,
        /// Counts from 1.
        line: u64,
        /// Counts characters from 1.
        column: u64,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        name: String,
    },
    /// A flag of the command.
    Flag {
        /// The flag as the user knows it, such as `--listen`.
        name: String,
    },
}

impl Source {
    /// The layer's rank: 0 default, 1 file, 2 environment, 3 flags. The higher one wins.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment { .. } => 2,
            Self::Flag { .. } => 3,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line: 0, .. } => f.write_str(file),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Environment { name } => write!(f, "environment {name}"),
            Self::Flag { name } => write!(f, "flag {name}"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What kind of mistake a [`Problem`] is, to branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// A file (the configuration, or one that holds a secret) cannot be read.
    Unreadable,
    /// The file is not YAML.
    Syntax,
    /// The same key stands twice in one table.
    Duplicate,
    /// No setting has this name.
    UnknownKey,
    /// The value is of another kind, or outside what is allowed.
    WrongValue,
    /// A `${…}` names a variable that is not set, or is not well formed.
    Variable,
    /// Two settings do not go together.
    Conflict,
}

/// One thing to repair in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// What kind of mistake it is.
    pub kind: ProblemKind,
    /// The key's full path, such as `enhanced-locking.redis.pool-size`; empty when it is about the whole file.
    pub path: String,
    /// Where it was said; `None` when no single place is to blame.
    pub source: Option<Source>,
    /// What is wrong. Never contains a secret.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl Problem {
    /// A problem of the setting `path` (without the tree's name).
    pub(crate) fn of_key(kind: ProblemKind, path: &str, message: impl Into<String>) -> Self {
        let path = if path.is_empty() { ROOT.to_owned() } else { format!("{ROOT}.{path}") };
        Self { kind, path, source: None, message: message.into(), help: None }
    }

    /// A problem of the whole file.
    pub(crate) fn of_file(kind: ProblemKind, source: Source, message: impl Into<String>) -> Self {
        Self { kind, path: String::new(), source: Some(source), message: message.into(), help: None }
    }

    pub(crate) fn at(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(f, "{source}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "`{}` ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// The configuration cannot be used; holds every problem found, not only the first.
///
/// ```
/// use enhanced_locking_config::Loader;
///
/// let error = Loader::new()
///     .text("atlantis.yaml", "enhanced-locking:\n  backnd: redis\n  enabled: perhaps\n")
///     .load()
///     .unwrap_err();
/// assert_eq!(error.problems().len(), 2);
/// assert!(error.to_string().contains("atlantis.yaml:2:3: `enhanced-locking.backnd` is not a setting"));
/// assert!(error.to_string().contains("help: did you mean `backend`?"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    problems: Vec<Problem>,
}

impl LoadError {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The problems in the order of file, environment, flags; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => f.write_str("the configuration has a problem")?,
            count => write!(f, "the configuration has {count} problems")?,
        }
        self.problems.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl std::error::Error for LoadError {}
