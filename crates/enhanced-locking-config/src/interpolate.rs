//! Owns `${VAR}` and `${VAR:-default}` inside values of the file, expanded after the YAML was read, so that a
//! variable's content can never become YAML. Does not own where variables come from.

use std::collections::BTreeMap;

use crate::value::Text;

/// Expands the variables of `text`. `$${` stands for `${`. Errors are what is wrong and what would be right.
pub(crate) fn expand(text: &str, variables: &BTreeMap<String, String>) -> Result<Text, (String, String)> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        let inner = &from[2..];
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = inner;
            continue;
        }
        expanded.push_str(before);
        let Some(end) = inner.find('}') else {
            return Err((
                "has a `${` without its `}`".to_owned(),
                "close it, or write `$${` for the characters `${` themselves".to_owned(),
            ));
        };
        let (name, default) = match inner[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        if !is_name(name) {
            return Err((
                "has a `${…}` that does not name a variable".to_owned(),
                "write `${NAME}` or `${NAME:-default}`, with letters, digits and `_` in the name".to_owned(),
            ));
        }
        match (variables.get(name).filter(|value| default.is_none() || !value.is_empty()), default) {
            (Some(value), _) => expanded.push_str(value),
            (None, Some(default)) => expanded.push_str(default),
            (None, None) => {
                return Err((
                    format!("names the environment variable `{name}`, which is not set"),
                    format!("set `{name}`, or give a default: `${{{name}:-…}}`"),
                ));
            }
        }
        rest = &inner[end + 1..];
    }
    expanded.push_str(rest);
    Ok(Text { text: expanded, shown: text.to_owned() })
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, String> {
        [("A", "one"), ("EMPTY", ""), ("TRICKY", "${A}: [x]")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into()
    }

    #[test]
    fn variables_and_defaults_are_expanded_once() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${A}", "one"),
            ("<${A}-${A}>", "<one-one>"),
            ("${NO:-two}", "two"),
            ("${NO:-}", ""),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY}", ""),
            ("${TRICKY}", "${A}: [x]"),
            ("$${A}", "${A}"),
            ("$A $ {A} }", "$A $ {A} }"),
            ("é${A}é", "éoneé"),
        ] {
            assert_eq!(expand(text, &variables()).unwrap().text, expected, "{text}");
        }
    }

    #[test]
    fn an_unset_variable_and_a_broken_reference_are_errors() {
        assert_eq!(
            expand("${NO}", &variables()).unwrap_err().0,
            "names the environment variable `NO`, which is not set"
        );
        for text in ["${", "${A", "x${}", "${1A}", "${A B}", "${A:x}"] {
            assert!(expand(text, &variables()).is_err(), "{text}");
        }
    }
}
