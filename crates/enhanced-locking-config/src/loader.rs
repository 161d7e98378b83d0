//! Owns the way from files, environment and flags to checked [`Settings`]: read, collect, type, layer, read
//! secret files, check. Does not own any of these steps' rules.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::checks;
use crate::collect::{Collector, Statement};
use crate::document;
use crate::layers::winners;
use crate::problem::{LoadError, Problem, ProblemKind, ROOT, Source};
use crate::schema::{ENV_PREFIX, KEYS};
use crate::secret::Secret;
use crate::settings::{Origin, Settings, given_word};
use crate::value::{Value, is_secret};

/// A configuration file larger than this is none.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// A file with a secret larger than this holds something else.
const SECRET_BYTES_MAX: u64 = 1 << 16;

/// Loads the configuration: defaults, then files, then environment, then flags; the later wins.
///
/// ```
/// use enhanced_locking_config::Loader;
///
/// let settings = Loader::new()
///     .text("atlantis.yaml", "enhanced-locking:\n  locks: {default-lease: 1m}\n  log: {level: warn}\n")
///     .environment([("ATLANTIS_ENHANCED_LOCKING_LOG_LEVEL", "debug")])
///     .dedicated_flag("--listen", "server.listen", "127.0.0.1:0")
///     .load()?;
/// assert_eq!(settings.locks.default_lease.as_secs(), 60);
/// assert_eq!(settings.log.level.as_str(), "debug");
/// assert_eq!(settings.source_of("server.listen").unwrap().to_string(), "flag --listen");
/// # Ok::<(), enhanced_locking_config::LoadError>(())
/// ```
#[derive(Clone, Default)]
pub struct Loader {
    documents: Vec<Document>,
    environment: BTreeMap<String, String>,
    /// Names of our variables whose value is not UTF-8.
    unreadable_variables: Vec<String>,
    flags: Vec<Flag>,
}

#[derive(Clone)]
enum Document {
    Path { path: PathBuf, optional: bool },
    Text { name: String, text: String },
}

#[derive(Clone)]
struct Flag {
    name: String,
    path: String,
    value: String,
}

impl Loader {
    /// A loader that knows nothing yet: only the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a YAML file that must exist. Of two files the later wins, key by key.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.documents.push(Document::Path { path: path.into(), optional: false });
        self
    }

    /// Adds a YAML file that may be missing, such as `atlantis.yaml` in the working directory.
    pub fn optional_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.documents.push(Document::Path { path: path.into(), optional: true });
        self
    }

    /// Adds YAML that was read elsewhere; `name` stands in errors and sources.
    pub fn text(mut self, name: impl Into<String>, yaml: impl Into<String>) -> Self {
        self.documents.push(Document::Text { name: name.into(), text: yaml.into() });
        self
    }

    /// Adds environment variables: those named `ATLANTIS_ENHANCED_LOCKING_…` are settings, and all of them
    /// can be used as `${NAME}` in the file. For the process's own pass [`std::env::vars_os`].
    pub fn environment<K: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        for (name, value) in variables {
            let Ok(name) = name.into().into_string() else { continue };
            match value.into().into_string() {
                Ok(value) => {
                    self.environment.insert(name, value);
                }
                Err(_) if name.starts_with(ENV_PREFIX) => self.unreadable_variables.push(name),
                Err(_) => {}
            }
        }
        self
    }

    /// Adds `--set PATH=VALUE`. `path` is a key such as `redis.pool-size`, or a switch such as `metrics`.
    pub fn flag(self, path: &str, value: &str) -> Self {
        let name = format!("--set {path}");
        self.dedicated_flag(name, path, value)
    }

    /// Adds a flag with a name of its own, such as `--listen` for `server.listen`.
    pub fn dedicated_flag(mut self, name: impl Into<String>, path: &str, value: &str) -> Self {
        self.flags.push(Flag { name: name.into(), path: path.to_owned(), value: value.to_owned() });
        self
    }

    /// Reads everything and checks it.
    ///
    /// # Errors
    /// [`LoadError`] with every problem found.
    pub fn load(&self) -> Result<Settings, LoadError> {
        let mut collector = Collector::default();
        for document in &self.documents {
            self.document(document, &mut collector);
        }
        for name in &self.unreadable_variables {
            let source = Source::Environment { name: name.clone() };
            collector.problems.push(Problem::of_file(ProblemKind::WrongValue, source, "is not UTF-8"));
        }
        collector.environment(&self.environment);
        for flag in &self.flags {
            collector.flag(&flag.name, &flag.path, &flag.value);
        }
        let Collector { statements, mut problems } = collector;
        let mut settings = resolve(statements, &mut problems);
        read_secrets(&mut settings, &mut problems);
        checks::check(&settings, &mut problems);
        if problems.is_empty() { Ok(settings) } else { Err(LoadError::new(problems)) }
    }

    fn document(&self, document: &Document, collector: &mut Collector) {
        let (name, text) = match document {
            Document::Text { name, text } => (name.clone(), Ok(text.clone())),
            Document::Path { path, optional } => {
                let text = read_text(path, FILE_BYTES_MAX);
                if *optional && matches!(&text, Err(Unread::Io(io::ErrorKind::NotFound))) {
                    return;
                }
                (path.display().to_string(), text)
            }
        };
        let tree = text.map_err(|unread| {
            let source = Source::File { file: name.clone(), line: 0, column: 0 };
            Problem::of_file(ProblemKind::Unreadable, source, unread.message())
        });
        match tree.and_then(|text| document::parse(&name, &text)) {
            Ok(tree) => collector.file(&name, &tree, &self.environment),
            Err(problem) => collector.problems.push(problem),
        }
    }
}

/// Hides the environment, which may hold secrets.
impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let flags: Vec<_> = self.flags.iter().map(|flag| flag.path.as_str()).collect();
        f.debug_struct("Loader")
            .field("documents", &self.documents.len())
            .field("variables", &self.environment.len())
            .field("flags", &flags)
            .finish()
    }
}

/// Types every statement (also those that lose: a wrong one is a mistake anyway) and puts the winners in.
fn resolve(statements: Vec<Statement>, problems: &mut Vec<Problem>) -> Settings {
    let mut settings = Settings::default();
    let mut typed: Vec<(Value, Statement)> = Vec::new();
    for statement in statements {
        let key = &KEYS[statement.key];
        match key.rule.read(&statement.input) {
            Ok(value) => typed.push((value, statement)),
            Err(mismatch) => {
                let problem = Problem::of_key(ProblemKind::WrongValue, key.path, mismatch.message);
                problems.push(Problem { help: mismatch.help, ..problem.at(statement.source) });
            }
        }
    }
    let candidates: Vec<_> = typed.iter().map(|(_, statement)| (statement.key, &statement.source)).collect();
    let winners = match winners(&candidates) {
        Ok(winners) => winners,
        Err(_) => {
            // Only a key name that the layering cannot write could cause this; the schema's tests exclude it.
            problems.push(Problem::of_key(ProblemKind::WrongValue, "", "cannot be layered"));
            return settings;
        }
    };
    for (index, winner) in winners.into_iter().enumerate() {
        let Some((value, statement)) = winner.and_then(|winner| typed.get(winner)) else { continue };
        let key = &KEYS[index];
        if !(key.field_mut)(&mut settings).put(value.clone()) {
            let message = format!("is a value that does not fit; it must be {}", key.rule);
            problems.push(
                Problem::of_key(ProblemKind::WrongValue, key.path, message).at(statement.source.clone()),
            );
        }
        settings.origins[index] =
            Origin { source: statement.source.clone(), given: given_word(&key.rule, &statement.input) };
    }
    settings
}

/// Reads the files that hold secrets. Secret and file both given: the higher layer wins, in one layer it is
/// a conflict.
fn read_secrets(settings: &mut Settings, problems: &mut Vec<Problem>) {
    for (secret, file) in [
        ("redis.password", "redis.password-file"),
        ("redis.sentinel-password", "redis.sentinel-password-file"),
        ("server.auth-token", "server.auth-token-file"),
        ("atlantis.password", "atlantis.password-file"),
        ("webhooks.github-secret", "webhooks.github-secret-file"),
        ("webhooks.gitlab-token", "webhooks.gitlab-token-file"),
    ] {
        let index = |path: &str| KEYS.iter().position(|key| key.path == path);
        let (Some(secret_index), Some(file_index)) = (index(secret), index(file)) else { continue };
        let Some(Value::Text(path)) = (KEYS[file_index].field)(settings).value() else { continue };
        let file_source = settings.origins[file_index].source.clone();
        let secret_source = &settings.origins[secret_index].source;
        let given = (KEYS[secret_index].field)(settings).value().is_some();
        if given && secret_source.rank() > file_source.rank() {
            continue;
        }
        if given && secret_source.rank() == file_source.rank() {
            let message = format!("is set together with `{ROOT}.{secret}` ({secret_source})");
            let problem = Problem::of_key(ProblemKind::Conflict, file, message).at(file_source);
            problems.push(problem.help("keep one of the two"));
            continue;
        }
        match read_secret(Path::new(&path)) {
            Ok(value) => {
                (KEYS[secret_index].field_mut)(settings).put(Value::Secret(value));
                settings.origins[secret_index] = Origin { source: file_source, given: None };
            }
            Err(why) => {
                let message = format!("names the file `{}`, which {why}", path.escape_debug());
                problems.push(Problem::of_key(ProblemKind::Unreadable, file, message).at(file_source));
            }
        }
    }
}

fn read_secret(path: &Path) -> Result<Secret, String> {
    let text = read_text(path, SECRET_BYTES_MAX).map_err(|unread| unread.message())?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if is_secret(text) {
        Ok(Secret::new(text.to_owned()))
    } else {
        Err("must hold one line of 1 to 4096 bytes".to_owned())
    }
}

/// Why a file's text cannot be had.
enum Unread {
    Io(io::ErrorKind),
    NotAFile,
    TooLarge(u64),
    NotText,
}

impl Unread {
    fn message(&self) -> String {
        match self {
            Self::Io(io::ErrorKind::NotFound) => "does not exist".to_owned(),
            Self::Io(io::ErrorKind::PermissionDenied) => "may not be read by this user".to_owned(),
            Self::Io(kind) => format!("cannot be read: {kind}"),
            Self::NotAFile => "is not a file".to_owned(),
            Self::TooLarge(max) => format!("is larger than {max} bytes"),
            Self::NotText => "is not UTF-8 text".to_owned(),
        }
    }
}

fn read_text(path: &Path, max: u64) -> Result<String, Unread> {
    let io = |error: io::Error| Unread::Io(error.kind());
    // A pipe (`<(…)`, `/dev/stdin`) is welcome; a directory gets a plainer word than the system has for it.
    if std::fs::metadata(path).map_err(io)?.is_dir() {
        return Err(Unread::NotAFile);
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(max + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > max {
        return Err(Unread::TooLarge(max));
    }
    String::from_utf8(bytes).map_err(|_| Unread::NotText)
}
