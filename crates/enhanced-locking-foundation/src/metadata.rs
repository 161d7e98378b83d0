//! Free-form labels of a request. Owns their limits; nothing in the system acts on them.

use std::collections::BTreeMap;

use crate::ValueError;
use crate::text::check;

/// A few labels that travel with a request: a job's link, a commit, a reason. Shown, never interpreted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// The most labels a request can carry.
    pub const MAX_ENTRIES: usize = 16;
    /// The longest name of a label, in bytes.
    pub const MAX_NAME_BYTES: usize = 64;
    /// The longest value of a label, in bytes.
    pub const MAX_VALUE_BYTES: usize = 1024;

    /// Checks and wraps labels.
    ///
    /// # Errors
    /// [`ValueError`] if there are too many, or one is too long, unnamed or has control characters.
    pub fn new(entries: BTreeMap<String, String>) -> Result<Self, ValueError> {
        if entries.len() > Self::MAX_ENTRIES {
            return Err(ValueError::TooMany {
                what: "metadata entries",
                len: entries.len(),
                max: Self::MAX_ENTRIES,
            });
        }
        for (name, value) in &entries {
            check("metadata name", name, Self::MAX_NAME_BYTES)?;
            if !value.is_empty() {
                check("metadata value", value, Self::MAX_VALUE_BYTES)?;
            }
        }
        Ok(Self(entries))
    }

    /// The labels by name.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, String>> for Metadata {
    type Error = ValueError;

    fn try_from(entries: BTreeMap<String, String>) -> Result<Self, Self::Error> {
        Self::new(entries)
    }
}

impl From<Metadata> for BTreeMap<String, String> {
    fn from(metadata: Metadata) -> Self {
        metadata.0
    }
}
