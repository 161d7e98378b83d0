//! Plain words for what the readers of JSON and of parameters say. Owns naming the field and what would be right; they
//! speak of types of Rust, which who calls over HTTP need not know.

/// A field that is wrong, and what is wrong with it. The path is empty if it is the whole.
pub(crate) fn plain(path: &str, said: &str) -> (String, String) {
    // The path says where.
    let said = said.rsplit_once(" at line ").map_or(said, |(said, _)| said);
    let missing = said.strip_prefix("missing field ").or_else(|| said.strip_prefix("duplicate field "));
    if let Some(field) = missing.map(|field| field.trim_matches('`')) {
        let path = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
        let what = if said.starts_with("missing") { "is missing" } else { "is given twice" };
        let message = format!("`{path}` {what}");
        return (path, message);
    }
    let name = if path.is_empty() { "the body".to_owned() } else { format!("`{path}`") };
    let message = mistaken(said).map_or_else(|| said.to_owned(), |what| format!("{name} {what}"));
    (path.to_owned(), message)
}

/// What is wrong with a value, as the rest of a sentence; `None` if it is said plainly enough.
fn mistaken(said: &str) -> Option<String> {
    let number = "must be a whole number, such as 10";
    match said {
        "invalid digit found in string" => return Some(number.to_owned()),
        "cannot parse integer from empty string" => return Some(format!("{number}; it is empty")),
        "number too large to fit in target type" => return Some("is too large".to_owned()),
        "number too small to fit in target type" => return Some("is too small".to_owned()),
        _ => {}
    }
    let kinds = ["invalid type: ", "invalid value: ", "invalid length "];
    let rest = kinds.iter().find_map(|kind| said.strip_prefix(kind))?;
    let (found, wanted) = rest.rsplit_once(", expected ")?;
    Some(format!("must be {}, not {}", kind(wanted), value(found)))
}

/// What is wanted.
fn kind(wanted: &str) -> &str {
    match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of at least 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" => "a text",
        "a sequence" => "a list",
        "a map" => "an object",
        wanted if wanted.starts_with("struct ") => "a JSON object",
        wanted if wanted.starts_with("enum ") || wanted.starts_with("variant ") => "one of the names allowed",
        wanted => wanted,
    }
}

/// What was found.
fn value(found: &str) -> String {
    for kind in ["integer ", "floating point ", "boolean "] {
        if let Some(value) = found.strip_prefix(kind) {
            return value.trim_matches('`').to_owned();
        }
    }
    match found {
        "sequence" => "a list".to_owned(),
        "map" => "an object".to_owned(),
        "unit value" => "null".to_owned(),
        found => found.replacen("string ", "the text ", 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_say_is_put_in_plain_words_with_the_field() {
        for (path, said, field, message) in [
            ("limit", "invalid digit found in string", "limit", "`limit` must be a whole number, such as 10"),
            ("limit", "number too large to fit in target type", "limit", "`limit` is too large"),
            (
                "lease_ms",
                "invalid type: string \"5s\", expected u64 at line 1 column 27",
                "lease_ms",
                "`lease_ms` must be a whole number of at least 0, not the text \"5s\"",
            ),
            (
                "lease_ms",
                "invalid value: integer `-5`, expected u64",
                "lease_ms",
                "`lease_ms` must be a whole number of at least 0, not -5",
            ),
            ("key", "invalid type: null, expected a string", "key", "`key` must be a text, not null"),
            (
                "",
                "invalid type: string \"x\", expected struct LockBody",
                "",
                "the body must be a JSON object, not the text \"x\"",
            ),
            ("to", "missing field `owner` at line 1 column 2", "to.owner", "`to.owner` is missing"),
            ("", "missing field `owner`", "owner", "`owner` is missing"),
            ("", "duplicate field `key`", "key", "`key` is given twice"),
            ("ownr", "unknown field `ownr`, expected `key`", "ownr", "unknown field `ownr`, expected `key`"),
        ] {
            assert_eq!(plain(path, said), (field.to_owned(), message.to_owned()), "{said}");
        }
    }
}
