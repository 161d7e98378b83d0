//! Lock modes and which of them get along. Owns compatibility; counting permits may join later.

/// How a resource is held.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LockMode {
    /// Alone.
    #[default]
    Exclusive,
    /// Together with other shared holders.
    Shared,
}

impl LockMode {
    /// Whether holders of the two modes can hold one resource at the same time.
    #[must_use]
    pub fn is_compatible_with(self, other: Self) -> bool {
        self == Self::Shared && other == Self::Shared
    }

    /// Whether a holder of this mode already has what `wanted` asks for.
    #[must_use]
    pub fn covers(self, wanted: Self) -> bool {
        self == Self::Exclusive || wanted == Self::Shared
    }

    /// The name used in the API, in metrics and on disk.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
        }
    }
}

impl std::fmt::Display for LockMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
