//! Writing JSON as Go does. Owns the formatter; the order of members is the record's own.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// A value that has no JSON form, for example a map whose keys are not texts.
///
/// Records of this crate always have one; this is for values of others.
#[derive(Debug, thiserror::Error)]
#[error("the value has no JSON form; only texts can be names of members")]
#[non_exhaustive]
pub struct EncodeError;

/// Encodes a value exactly as Go's `encoding/json` does, without a line end.
///
/// `<`, `>` and `&` become `\u003c`, `\u003e` and `\u0026`, the line separators U+2028 and U+2029 `\u2028` and
/// `\u2029`. Control characters have their short forms where Go has them, else `\u00XX`; U+007F is written raw.
///
/// ```
/// assert_eq!(enhanced_locking_compat::json::to_vec("a<b & c")?, br#""a\u003cb \u0026 c""#);
/// # Ok::<(), enhanced_locking_compat::json::EncodeError>(())
/// ```
///
/// # Errors
/// [`EncodeError`] if the value has no JSON form.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::with_capacity(1024);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, GoFormatter)).map_err(|_| EncodeError)?;
    Ok(bytes)
}

/// What `serde_json` leaves alone inside a text and Go does not.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut written = 0;
        for (at, c) in fragment.char_indices() {
            let escaped = match c {
                '<' => "\\u003c",
                '>' => "\\u003e",
                '&' => "\\u0026",
                '\u{2028}' => "\\u2028",
                '\u{2029}' => "\\u2029",
                _ => continue,
            };
            writer.write_all(fragment.get(written..at).unwrap_or_default().as_bytes())?;
            writer.write_all(escaped.as_bytes())?;
            written = at + c.len_utf8();
        }
        writer.write_all(fragment.get(written..).unwrap_or_default().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::unquote;
    use proptest::prelude::*;

    fn written(text: &str) -> String {
        String::from_utf8(to_vec(text).unwrap()).unwrap()
    }

    #[test]
    fn texts_are_escaped_as_go_escapes_them() {
        for (text, want) in [
            ("<redacted>", r#""\u003credacted\u003e""#),
            ("a&b", r#""a\u0026b""#),
            ("\u{2028}x\u{2029}", r#""\u2028x\u2029""#),
            ("\u{8}\u{c}\n\r\t", r#""\b\f\n\r\t""#),
            ("\u{0}\u{1f}\u{b}", r#""\u0000\u001f\u000b""#),
            ("\u{7f}", "\"\u{7f}\""),
            ("\"\\/'", r#""\"\\/'""#),
            ("ü😀\u{fffd}", "\"ü😀\u{fffd}\""),
        ] {
            assert_eq!(written(text), want);
        }
    }

    #[test]
    fn names_of_members_are_escaped_too() {
        let map = std::collections::BTreeMap::from([("<a>", 1)]);
        assert_eq!(to_vec(&map).unwrap(), br#"{"\u003ca\u003e":1}"#);
    }

    #[test]
    fn a_value_without_a_json_form_is_refused() {
        assert!(to_vec(&std::collections::BTreeMap::from([(vec![1], 1)])).is_err());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(text in any::<String>()) {
            prop_assert_eq!(unquote(&to_vec(&text).unwrap()), text);
        }
    }
}
