//! Checked short texts: one place for the rules that keys, owners and request ids share.
//!
//! Owns length and character checks and the macro that makes a newtype of them. Does not own what the texts mean.

use crate::ValueError;

/// Checks the rules every identifier shares: not empty, at most `max` bytes, no control characters.
pub(crate) fn check(what: &'static str, value: &str, max: usize) -> Result<(), ValueError> {
    if value.is_empty() {
        return Err(ValueError::Empty { what });
    }
    if value.len() > max {
        return Err(ValueError::TooLong { what, len: value.len(), max });
    }
    // Nearly every identifier is printable ASCII: told without taking characters apart.
    if value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Ok(());
    }
    match value.find(char::is_control) {
        Some(at) => Err(ValueError::ControlCharacter { what, at }),
        None => Ok(()),
    }
}

/// Makes a cheap-to-clone text newtype with `new`, `as_str`, `Display`, `FromStr`, serde and a length limit.
macro_rules! text_newtype {
    ($(#[$meta:meta])* $name:ident, $what:literal, $max:expr, $check:path) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The longest value allowed, in bytes of UTF-8.
            pub const MAX_BYTES: usize = $max;

            /// Checks and wraps a text.
            ///
            /// # Errors
            /// [`ValueError`](crate::ValueError) if it is empty, too long, or has characters that are not allowed.
            pub fn new(value: impl AsRef<str>) -> Result<Self, crate::ValueError> {
                let value = value.as_ref();
                $check($what, value, $max)?;
                Ok(Self(value.into()))
            }

            /// Sorts before every other value: where a search in order begins. Names nothing.
            #[must_use]
            pub fn floor() -> Self {
                Self(" ".into())
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::ValueError;

            fn from_str(value: &str) -> Result<Self, Self::Err> {
                Self::new(value)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(value).map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use text_newtype;
