//! Showing a stored value as it is, without its secrets. Owns where secrets are looked for in any JSON.

use std::fmt::Write;

use super::secret::{REDACTED, without_secret};
use crate::json::{self, Kind, Value, fold_eq, unquote};

/// A stored value for people to see: the same JSON without secrets.
///
/// Removed are the user information of every URL in every text, and in a member called `CloneURL`, whatever its case,
/// everything that may be a secret. A `CloneURL` that is not a text goes as a whole. What is not JSON is not shown at
/// all: nobody knows where the secret is in it.
///
/// ```
/// use enhanced_locking_compat::record::redact;
/// let raw = br#"{"CloneURL":"https://bot:s3cret@github.com/acme/infra.git","Num":1}"#;
/// assert_eq!(
///     redact(raw),
///     r#"{"CloneURL":"https://\u003credacted\u003e@github.com/acme/infra.git","Num":1}"#,
/// );
/// assert_eq!(redact(b"s3cret"), r#""6 bytes that are not JSON""#);
/// ```
#[must_use]
pub fn redact(raw: &[u8]) -> String {
    let mut shown = String::with_capacity(raw.len());
    match json::parse(raw) {
        Ok(value) if write(&mut shown, value, false, 0) => shown,
        // The text is JSON itself, so that whoever expects some gets some.
        _ => format!("\"{} bytes that are not JSON\"", raw.len()),
    }
}

/// Atlantis' records have five levels; deeper ones are not shown, so that the stack is bounded.
const DEPTH_MAX: usize = 64;

/// Appends a value; whether that was possible.
fn write(shown: &mut String, value: Value<'_>, secret: bool, depth: usize) -> bool {
    match value.kind() {
        Kind::Text => {
            let text = unquote(value.raw());
            push_text(shown, &if secret { without_secret(&text).into_owned() } else { without_users(&text) })
        }
        Kind::Null | Kind::Bool(_) => push_raw(shown, value),
        _ if secret || depth >= DEPTH_MAX => push_text(shown, REDACTED),
        Kind::Number => push_raw(shown, value),
        Kind::Array => {
            shown.push('[');
            let mut separator = "";
            let all = value.elements().all(|element| {
                shown.push_str(separator);
                separator = ",";
                write(shown, element, false, depth + 1)
            });
            shown.push(']');
            all
        }
        Kind::Object => {
            shown.push('{');
            let mut separator = "";
            let all = value.members().all(|(literal, inner)| {
                shown.push_str(separator);
                separator = ",";
                let name = unquote(literal);
                let named = push_text(shown, &without_users(&name));
                shown.push(':');
                named && write(shown, inner, fold_eq(&name, "CloneURL"), depth + 1)
            });
            shown.push('}');
            all
        }
    }
}

fn push_text(shown: &mut String, text: &str) -> bool {
    let written = json::to_vec(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    written.is_some_and(|written| shown.write_str(&written).is_ok())
}

fn push_raw(shown: &mut String, value: Value<'_>) -> bool {
    std::str::from_utf8(value.raw()).is_ok_and(|raw| shown.write_str(raw).is_ok())
}

/// A text without the user information of the URLs in it.
fn without_users(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        // The host ends here at the latest; an `@` in front of that ends the user.
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '`'))
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                shown.push_str(REDACTED);
                shown.push('@');
                shown.push_str(host);
            }
            None => shown.push_str(authority),
        }
        rest = tail;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn users_of_urls_go_wherever_they_are() {
        for (raw, want) in [
            (
                r#""see https://u:T@h/x and ssh://T@h, a@b""#,
                r#""see https://<redacted>@h/x and ssh://<redacted>@h, a@b""#,
            ),
            (r#"{"https://T@h":["a://T@h:1/p"]}"#, r#"{"https://<redacted>@h":["a://<redacted>@h:1/p"]}"#),
            (
                r#"{"cloneurl":"https://u:T/T@h/x?t=T","N":[1,null,true]}"#,
                r#"{"cloneurl":"https://<redacted>@h/x","N":[1,null,true]}"#,
            ),
            (r#"{"CloneURL":{"a":"T"}}"#, r#"{"CloneURL":"<redacted>"}"#),
            (r#"{"CloneURL":["T"]}"#, r#"{"CloneURL":"<redacted>"}"#),
            (r#"{"CloneURL":12}"#, r#"{"CloneURL":"<redacted>"}"#),
            ("{ }", "{}"),
        ] {
            let shown = redact(raw.as_bytes()).replace("\\u003c", "<").replace("\\u003e", ">");
            assert_eq!(shown.replace("?<redacted>", ""), want);
        }
    }

    #[test]
    fn what_is_not_json_is_not_shown() {
        assert_eq!(redact(br#"{"CloneURL":"https://u:T@h/"#), "\"27 bytes that are not JSON\"");
        assert_eq!(redact(b""), "\"0 bytes that are not JSON\"");
    }

    #[test]
    fn deep_values_are_cut_off() {
        let raw = ["[".repeat(9_000), "]".repeat(9_000)].concat();
        assert!(redact(raw.as_bytes()).contains("redacted"));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_json_again(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in any::<String>()) {
            for raw in [bytes, serde_json::to_vec(&[text]).unwrap()] {
                prop_assert!(json::parse(redact(&raw).as_bytes()).is_ok());
            }
        }
    }
}
