//! Colours. Owns when they are used and which mean what.

use std::fmt::Display;

/// How a stream may be written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// Whether colours are wanted.
    pub color: bool,
    /// Whether somebody looks at it live.
    pub terminal: bool,
}

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Titles and names.
    Bold,
    /// Less important.
    Dim,
    /// All is well.
    Good,
    /// Needs attention.
    Warn,
    /// Wrong.
    Bad,
}

impl Style {
    /// Paints a text, if colours are wanted.
    #[must_use]
    pub(crate) fn paint(self, paint: Paint, text: impl Display) -> String {
        if !self.color {
            return text.to_string();
        }
        let code = match paint {
            Paint::Bold => 1,
            Paint::Dim => 2,
            Paint::Good => 32,
            Paint::Warn => 33,
            Paint::Bad => 31,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_painted_where_nobody_looks() {
        assert_eq!(Style::default().paint(Paint::Bad, "x"), "x");
        assert_eq!(Style { color: true, terminal: true }.paint(Paint::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
