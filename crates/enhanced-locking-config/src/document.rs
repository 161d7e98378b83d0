//! Owns reading YAML into a small tree in which every key and value knows its line and column, and every
//! scalar its text *as written*: what type a text has is the schema's decision, so that a password `0123`
//! stays `0123`. Does not own which keys exist.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::problem::{Problem, ProblemKind, Source};

/// A place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// A value with its place.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) position: Position,
    pub(crate) content: Content,
}

/// What a value is, before anybody asks for a type.
#[derive(Debug)]
pub(crate) enum Content {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table with its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) position: Position,
    pub(crate) value: Node,
}

/// Deeper nesting than this is not a configuration; the bound keeps a hostile file off the stack.
const DEPTH_MAX: usize = 64;

/// Reads one YAML document. The error names line and column and never quotes neighbouring lines, which may
/// hold secrets.
pub(crate) fn parse(file: &str, text: &str) -> Result<Node, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    if let Some(budget) = options.budget.as_mut() {
        budget.max_depth = DEPTH_MAX;
    }
    let root: Option<Spanned<Raw>> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| problem(file, &error))?;
    Ok(match root {
        Some(root) => root.into_node(text),
        None => Node { position: Position { line: 1, column: 1 }, content: Content::Null },
    })
}

fn problem(file: &str, error: &serde_saphyr::Error) -> Problem {
    let error = error.without_snippet();
    let position = error.location().map_or(Position { line: 0, column: 0 }, Position::from);
    let source = Source::File { file: file.to_owned(), line: position.line, column: position.column };
    match error {
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => {
            let mut problem = Problem::of_file(ProblemKind::Duplicate, source, "");
            let name = key.as_deref().unwrap_or("a key");
            problem.message = format!("has the key `{name}` twice in one table");
            problem.help("keep one of the two")
        }
        serde_saphyr::Error::MultipleDocuments { .. } => {
            let problem = Problem::of_file(ProblemKind::Syntax, source, "holds more than one YAML document");
            problem.help("keep one, without a `---` line in the middle")
        }
        other => {
            // The library's sentence ends with the place, which is already in the source.
            let sentence = other.to_string();
            let sentence = sentence.lines().next().unwrap_or_default();
            let sentence = sentence.split(" at line ").next().unwrap_or_default();
            Problem::of_file(ProblemKind::Syntax, source, format!("is not valid YAML: {sentence}"))
        }
    }
}

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

/// A value as the YAML library hands it over.
enum Raw {
    Null,
    /// A string: quoted, a block, or a plain text that is nothing else.
    Text(String),
    /// A plain scalar that YAML takes for a bool or number; the text is only a fall-back for the source's.
    Typed(String),
    List(Vec<Spanned<Raw>>),
    Table(Vec<(Spanned<Key>, Spanned<Raw>)>),
}

/// A key of any scalar type.
enum Key {
    Text(String),
    Typed(String),
}

trait IntoNode {
    fn into_node(self, text: &str) -> Node;
}

trait KeyName {
    fn name(&self, text: &str) -> String;
}

impl KeyName for Spanned<Key> {
    fn name(&self, text: &str) -> String {
        match &self.value {
            Key::Text(name) => name.clone(),
            Key::Typed(fallback) => as_written(text, &self.defined).unwrap_or_else(|| fallback.clone()),
        }
    }
}

impl IntoNode for Spanned<Raw> {
    fn into_node(self, text: &str) -> Node {
        let content = match self.value {
            Raw::Null => Content::Null,
            Raw::Text(value) => Content::Scalar(value),
            Raw::Typed(fallback) => Content::Scalar(as_written(text, &self.defined).unwrap_or(fallback)),
            Raw::List(items) => Content::List(items.into_iter().map(|item| item.into_node(text)).collect()),
            Raw::Table(entries) => Content::Table(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        position: key.referenced.into(),
                        key: key.name(text),
                        value: value.into_node(text),
                    })
                    .collect(),
            ),
        };
        Node { position: self.referenced.into(), content }
    }
}

/// The characters of a scalar in the file.
fn as_written(text: &str, location: &Location) -> Option<String> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    let written = text.get(start..start.checked_add(length)?)?.trim();
    (!written.is_empty()).then(|| written.to_owned())
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Raw, E> {
        Ok(Raw::Text(String::from_utf8_lossy(value).into_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Table(entries))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Raw::deserialize(deserializer)? {
            Raw::Text(text) => Ok(Self::Text(text)),
            Raw::Typed(text) => Ok(Self::Typed(text)),
            Raw::Null => Ok(Self::Typed("null".to_owned())),
            Raw::List(_) | Raw::Table(_) => Err(D::Error::custom("a key must be a text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Vec<Entry> {
        match parse("f.yaml", text).unwrap().content {
            Content::Table(entries) => entries,
            other => panic!("not a table: {other:?}"),
        }
    }

    #[test]
    fn scalars_keep_their_text_whatever_type_yaml_gives_them() {
        let text =
            "a: 0123\nb: 1e5\nc: 0x10\nd: TRUE\ne: 1_000\nf: \"0123\"  # x\ng: 1.50 # y\nh: é1\ni: 07\n";
        let found: Vec<_> = table(text)
            .into_iter()
            .map(|entry| match entry.value.content {
                Content::Scalar(text) => text,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(found, ["0123", "1e5", "0x10", "TRUE", "1_000", "0123", "1.50", "é1", "07"]);
    }

    #[test]
    fn null_is_not_the_text_null() {
        let entries = table("a: null\nb: 'null'\nc:\nd: ~\n");
        assert!(matches!(entries[0].value.content, Content::Null));
        assert!(matches!(&entries[1].value.content, Content::Scalar(text) if text == "null"));
        assert!(matches!(entries[2].value.content, Content::Null));
        assert!(matches!(entries[3].value.content, Content::Null));
    }

    #[test]
    fn keys_and_values_know_their_place() {
        let entries = table("x: 1\nouter:\n  inner: {deep: [1, two]}\n");
        assert_eq!(entries[1].position, Position { line: 2, column: 1 });
        let Content::Table(inner) = &entries[1].value.content else { panic!() };
        assert_eq!(inner[0].position, Position { line: 3, column: 3 });
        let Content::Table(deep) = &inner[0].value.content else { panic!() };
        let Content::List(items) = &deep[0].value.content else { panic!() };
        assert_eq!(items[1].position, Position { line: 3, column: 21 });
    }

    #[test]
    fn aliases_and_merges_are_resolved() {
        let entries = table("a: &x {n: 0123}\nb:\n  <<: *x\n  m: 1\nc: *x\n");
        for index in [1, 2] {
            let Content::Table(inner) = &entries[index].value.content else { panic!() };
            let n =
                inner.iter().find(|entry| entry.key == "n").unwrap_or_else(|| panic!("{index} {inner:?}"));
            assert!(matches!(&n.value.content, Content::Scalar(text) if text == "0123"), "{n:?}");
        }
    }

    #[test]
    fn a_duplicate_key_is_an_error_with_its_place() {
        let problem = parse("f.yaml", "a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Duplicate);
        assert_eq!(
            problem.to_string(),
            "f.yaml:3:1: has the key `a` twice in one table\n  help: keep one of the two"
        );
    }

    #[test]
    fn broken_yaml_is_an_error_with_its_place_and_quotes_no_line() {
        let problem = parse("f.yaml", "password: hunter2\nb: [1, 2\nc: }\n").unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Syntax);
        let shown = problem.to_string();
        assert!(shown.starts_with("f.yaml:") && !shown.contains("hunter2"), "{shown}");
        assert!(matches!(problem.source, Some(Source::File { line: 2.., .. })), "{problem:?}");
    }

    #[test]
    fn an_empty_file_is_null_and_a_deep_one_is_refused() {
        assert!(matches!(parse("f", "").unwrap().content, Content::Null));
        assert!(matches!(parse("f", "# only a comment\n").unwrap().content, Content::Null));
        let deep = format!("a: {}{}", "[".repeat(500), "]".repeat(500));
        assert_eq!(parse("f", &deep).unwrap_err().kind, ProblemKind::Syntax);
    }
}
