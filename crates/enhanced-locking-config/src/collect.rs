//! Owns turning each layer (file tree, environment, flags) into statements "this key has this input, said
//! here", and refusing what names no key. Does not own kinds of values nor which layer wins.

use std::collections::BTreeMap;

use crate::document::{Content, Entry, Node, Position};
use crate::interpolate::expand;
use crate::problem::{Problem, ProblemKind, ROOT, Source};
use crate::schema::{ENV_PREFIX, KEYS, Target, env_name, find, help_for_unknown, names_in};
use crate::suggest::nearest;
use crate::value::{Input, Text, quoted};

/// One layer's word about one key.
#[derive(Debug)]
pub(crate) struct Statement {
    /// Index into the schema.
    pub(crate) key: usize,
    pub(crate) input: Input,
    pub(crate) source: Source,
}

/// Collects statements and problems.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    pub(crate) statements: Vec<Statement>,
    pub(crate) problems: Vec<Problem>,
}

impl Collector {
    /// Walks the tree `enhanced-locking` of a file; other top-level keys belong to others, unless they look
    /// like a misspelling of ours.
    pub(crate) fn file(&mut self, file: &str, root: &Node, variables: &BTreeMap<String, String>) {
        let mut walk = FileWalk { file, variables, out: self };
        match &root.content {
            Content::Null => {}
            Content::Table(entries) => entries.iter().for_each(|entry| walk.top(entry)),
            Content::Scalar(_) | Content::List(_) => {
                let problem = Problem::of_file(
                    ProblemKind::WrongValue,
                    walk.source(root.position),
                    "is not a table of keys at the top",
                );
                walk.out.problems.push(problem.help(format!("start with the line `{ROOT}:`")));
            }
        }
    }

    /// Takes every variable with our prefix; one that names no key is a problem.
    pub(crate) fn environment(&mut self, variables: &BTreeMap<String, String>) {
        let mut names = BTreeMap::new();
        for (index, key) in KEYS.iter().enumerate() {
            names.insert(key.environment(), index);
            if let Some(table) = key.switch() {
                names.insert(env_name(table), index);
            }
        }
        let mut said: BTreeMap<usize, &str> = BTreeMap::new();
        let bare = ENV_PREFIX.trim_end_matches('_');
        for (name, value) in
            variables.iter().filter(|(name, _)| *name == bare || name.starts_with(ENV_PREFIX))
        {
            let source = Source::Environment { name: name.clone() };
            let Some(&key) = names.get(name) else {
                let near = nearest_variable(name, names.keys().map(String::as_str));
                let mut problem = Problem::of_file(ProblemKind::UnknownKey, source, "sets no setting");
                problem.help = Some(near.map_or_else(
                    || format!("the variables are {ENV_PREFIX} and a key in upper case, such as {ENV_PREFIX}SERVER_LISTEN"),
                    |near| format!("did you mean `{near}`?"),
                ));
                self.problems.push(problem);
                continue;
            };
            if value.is_empty() {
                let problem = Problem::of_key(ProblemKind::WrongValue, KEYS[key].path, "is set to nothing");
                self.problems.push(problem.at(source).help(format!("unset `{name}`, or give it a value")));
                continue;
            }
            if let Some(other) = said.insert(key, name) {
                let message = format!("is set by `{other}` and by `{name}`");
                let problem = Problem::of_key(ProblemKind::Conflict, KEYS[key].path, message);
                self.problems.push(problem.at(source).help("unset one of the two"));
                continue;
            }
            self.statements.push(Statement { key, input: Input::One(Text::plain(value)), source });
        }
    }

    /// Takes one flag; `path` with or without the tree's name in front.
    pub(crate) fn flag(&mut self, name: &str, path: &str, value: &str) {
        let source = Source::Flag { name: name.to_owned() };
        let path = path.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix('.')).unwrap_or(path);
        match find(path) {
            Target::Setting(key) | Target::Switch(key) => {
                self.statements.push(Statement { key, input: Input::One(Text::plain(value)), source });
            }
            Target::Table => {
                let message = "is a table, not a setting";
                let problem = Problem::of_key(ProblemKind::WrongValue, path, message).at(source);
                self.problems
                    .push(problem.help(format!("set one of its keys: {}", names_in(path).join(", "))));
            }
            Target::Unknown => {
                let near = nearest(path, KEYS.iter().map(|key| key.path));
                let help = near.map_or_else(
                    || {
                        let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
                        let table = if matches!(find(table), Target::Unknown) { "" } else { table };
                        help_for_unknown(table, name)
                    },
                    |near| format!("did you mean `{near}`?"),
                );
                self.problems.push(unknown(path).at(source).help(help));
            }
        }
    }
}

fn unknown(path: &str) -> Problem {
    // Dots and control characters in a key must not break the line.
    Problem::of_key(ProblemKind::UnknownKey, &quoted(path), "is not a setting")
}

/// Names share a long prefix, so only what follows it is compared.
fn nearest_variable<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let rest = name.strip_prefix(ENV_PREFIX)?;
    let names: Vec<_> = names.filter_map(|name| Some((name.strip_prefix(ENV_PREFIX)?, name))).collect();
    let near = nearest(rest, names.iter().map(|(rest, _)| *rest))?;
    names.iter().find(|(rest, _)| *rest == near).map(|(_, name)| *name)
}

struct FileWalk<'a> {
    file: &'a str,
    variables: &'a BTreeMap<String, String>,
    out: &'a mut Collector,
}

impl FileWalk<'_> {
    fn source(&self, position: Position) -> Source {
        Source::File { file: self.file.to_owned(), line: position.line, column: position.column }
    }

    fn problem(&mut self, problem: Problem, position: Position) {
        let source = self.source(position);
        self.out.problems.push(problem.at(source));
    }

    fn top(&mut self, entry: &Entry) {
        if entry.key != ROOT {
            let plain = entry.key.to_ascii_lowercase().replace('_', "-");
            if entry.key.len() < 40 && strsim::damerau_levenshtein(&plain, ROOT) <= 2 {
                let source = self.source(entry.position);
                let mut problem = Problem::of_file(ProblemKind::UnknownKey, source, "is not a setting");
                problem.path = quoted(&entry.key);
                self.out.problems.push(problem.help(format!("did you mean `{ROOT}`?")));
            }
            return;
        }
        match &entry.value.content {
            Content::Null => {}
            Content::Table(entries) => self.table("", entries),
            Content::Scalar(_) | Content::List(_) => {
                let problem = Problem::of_key(ProblemKind::WrongValue, "", "must be a table of settings");
                self.problem(
                    problem.help("for example `enabled: true` on the next line, indented"),
                    entry.value.position,
                );
            }
        }
    }

    fn table(&mut self, table: &str, entries: &[Entry]) {
        for entry in entries {
            let path = if table.is_empty() { entry.key.clone() } else { format!("{table}.{}", entry.key) };
            // A key with a dot in it is one name, not a path.
            let target = if entry.key.contains('.') { Target::Unknown } else { find(&path) };
            match (target, &entry.value.content) {
                (Target::Setting(key), _) => self.setting(key, &path, entry),
                (Target::Switch(key), Content::Table(inner)) => self.switch(key, &path, entry, inner),
                (Target::Switch(key), Content::Scalar(_)) => self.setting(key, &path, entry),
                (Target::Switch(_), _) => {
                    let names = names_in(&path).join(", ");
                    let message = format!("must be true, false or a table with the keys {names}");
                    self.problem(
                        Problem::of_key(ProblemKind::WrongValue, &path, message),
                        entry.value.position,
                    );
                }
                (Target::Table, Content::Table(inner)) => self.table(&path, inner),
                (Target::Table, Content::Null) => {}
                (Target::Table, _) => {
                    let message = format!("must be a table with the keys {}", names_in(&path).join(", "));
                    self.problem(
                        Problem::of_key(ProblemKind::WrongValue, &path, message),
                        entry.value.position,
                    );
                }
                (Target::Unknown, _) => {
                    let dotted = entry.key.contains('.') && !matches!(find(&path), Target::Unknown);
                    let help = if dotted {
                        "write one table inside the other instead of a dot".to_owned()
                    } else {
                        help_for_unknown(table, &entry.key)
                    };
                    self.problem(unknown(&path).help(help), entry.position);
                }
            }
        }
    }

    /// A table in a switch's place turns it on, unless it says otherwise itself.
    fn switch(&mut self, key: usize, path: &str, entry: &Entry, inner: &[Entry]) {
        if !inner.iter().any(|entry| entry.key == "enabled") {
            let source = self.source(entry.position);
            self.out.statements.push(Statement { key, input: Input::One(Text::plain("true")), source });
        }
        self.table(path, inner);
    }

    fn setting(&mut self, key: usize, path: &str, entry: &Entry) {
        let rule = &KEYS[key].rule;
        let value = &entry.value;
        let input = match &value.content {
            Content::Scalar(text) => self.text(path, text, value.position).map(Input::One),
            Content::List(items) => {
                let texts: Vec<_> = items
                    .iter()
                    .map(|item| match &item.content {
                        Content::Scalar(text) => self.text(path, text, item.position),
                        _ => {
                            let message = format!("has an item that is no text; it must be {rule}");
                            self.problem(
                                Problem::of_key(ProblemKind::WrongValue, path, message),
                                item.position,
                            );
                            None
                        }
                    })
                    .collect();
                texts.into_iter().collect::<Option<Vec<_>>>().map(Input::Many)
            }
            Content::Null => {
                let message = format!("has no value, but must be {rule}");
                let problem = Problem::of_key(ProblemKind::WrongValue, path, message);
                self.problem(problem.help("give it a value, or remove the line"), entry.position);
                None
            }
            Content::Table(_) => {
                let mismatch = rule.not_a("table");
                self.problem(
                    Problem::of_key(ProblemKind::WrongValue, path, mismatch.message),
                    value.position,
                );
                None
            }
        };
        if let Some(input) = input {
            let source = self.source(value.position);
            self.out.statements.push(Statement { key, input, source });
        }
    }

    fn text(&mut self, path: &str, text: &str, position: Position) -> Option<Text> {
        match expand(text, self.variables) {
            Ok(text) => Some(text),
            Err((message, help)) => {
                self.problem(Problem::of_key(ProblemKind::Variable, path, message).help(help), position);
                None
            }
        }
    }
}
