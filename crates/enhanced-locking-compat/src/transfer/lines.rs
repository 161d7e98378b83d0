//! Things in a file: a JSON object per line. Owns the form; values that are no text are written in base 16.

use std::io::BufRead;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::item::Item;

/// The longest line of a file, in bytes.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// A line that cannot be read. Shows none of it: there may be a token in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// It is not what `export` writes.
    #[error(
        "is not a JSON object with `key` and `value` or `value_hex` (column {column}); use a file of `export`"
    )]
    Form {
        /// Where.
        column: usize,
    },
    /// It is longer than [`LINE_BYTES_MAX`].
    #[error("is longer than {LINE_BYTES_MAX} bytes; it is no file of `export`")]
    TooLong,
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    key: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_hex: Option<String>,
}

impl Item {
    /// Its line in a file, without the line break. **It contains the token in the clone URL.**
    #[must_use]
    pub fn to_line(&self) -> String {
        let text = std::str::from_utf8(&self.value).ok();
        let line = Line {
            key: self.key.as_str().into(),
            value: text.map(Into::into),
            value_hex: text.is_none().then(|| HEXLOWER.encode(&self.value)),
        };
        // Texts only: this does not fail.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// The thing a line stands for.
    ///
    /// # Errors
    /// [`LineError::Form`].
    pub fn of_line(line: &str) -> Result<Self, LineError> {
        let form = |column| LineError::Form { column };
        let read: Line<'_> = serde_json::from_str(line).map_err(|error| form(error.column()))?;
        let value = match (read.value, read.value_hex) {
            (Some(text), None) => text.into_owned().into_bytes(),
            (None, Some(digits)) => HEXLOWER.decode(digits.as_bytes()).map_err(|_| form(line.len()))?,
            _ => return Err(form(line.len())),
        };
        Ok(Self { key: read.key.into_owned(), value })
    }
}

/// The things of a file with the number of each line, from 1. Empty lines are passed over; one that cannot be read is
/// among them, and the others follow.
pub fn read_lines(mut file: impl BufRead) -> impl Iterator<Item = (usize, Result<Item, LineError>)> {
    let (mut number, mut line, mut ended) = (0, Vec::new(), false);
    std::iter::from_fn(move || {
        loop {
            if ended {
                return None;
            }
            number += 1;
            line.clear();
            let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX) + 1;
            let read = std::io::Read::take(&mut file, limit).read_until(b'\n', &mut line);
            match read {
                Ok(0) => return None,
                Ok(_) if line.len() > LINE_BYTES_MAX => {
                    // What follows cannot be told from this line any more.
                    ended = true;
                    return Some((number, Err(LineError::TooLong)));
                }
                Ok(_) => {}
                Err(error) => {
                    ended = true;
                    return Some((number, Err(LineError::Read(error.to_string()))));
                }
            }
            let Ok(text) = std::str::from_utf8(&line) else {
                return Some((number, Err(LineError::Form { column: 1 })));
            };
            let text = text.trim_end_matches(['\n', '\r']);
            if !text.is_empty() {
                return Some((number, Item::of_line(text)));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_that_cannot_be_read_is_one_report() {
        let file = "{\"key\":\"a\",\"value\":\"1\"}\n\nnonsense\n{\"key\":\"b\",\"value_hex\":\"00ff\"}\r\n{\"key\":\"c\"}";
        let read: Vec<_> = read_lines(file.as_bytes()).collect();
        assert_eq!(read[0], (1, Ok(Item::new("a", "1"))));
        assert!(matches!(read[1], (3, Err(LineError::Form { column: 2 }))), "{:?}", read[1]);
        assert_eq!(read[2], (4, Ok(Item::new("b", [0, 255]))));
        assert!(matches!(read[3], (5, Err(LineError::Form { .. }))));
        assert_eq!(read.len(), 4);
    }

    #[test]
    fn errors_show_nothing_of_a_line() {
        let error = Item::of_line(r#"{"key":"a","value":"TOKEN","other":"TOKEN"}"#).unwrap_err();
        assert!(!error.to_string().contains("TOKEN"), "{error}");
        assert!(!format!("{:?}", Item::new("a", "TOKEN")).contains("TOKEN"));
    }

    proptest! {
        #[test]
        fn a_line_stands_for_what_it_was_made_of(key in ".{0,40}", value in prop::collection::vec(any::<u8>(), 0..60)) {
            let item = Item::new(key, value);
            let line = item.to_line();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(Item::of_line(&line), Ok(item));
        }

        #[test]
        fn nothing_in_a_file_makes_it_panic(file in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read_lines(&file[..]).count() <= 301);
        }
    }
}
