//! Owns how durations and sizes are read and written in the configuration: a number always has a unit.
//! Does not own which durations or sizes are allowed for a key (see the schema).

use std::fmt;
use std::time::Duration;

use jiff::fmt::friendly::{SpanParser, SpanPrinter};

/// A number of bytes, written with a unit in the configuration: `64MiB`, `1GiB`, `500KB`, `4096B`.
///
/// ```
/// use enhanced_locking_config::ByteSize;
///
/// assert_eq!("64MiB".parse::<ByteSize>()?.bytes(), 64 * 1024 * 1024);
/// assert_eq!("1 GB".parse::<ByteSize>()?.bytes(), 1_000_000_000);
/// assert_eq!(ByteSize::from_bytes(1 << 30).to_string(), "1GiB");
/// assert!("64".parse::<ByteSize>().is_err());
/// # Ok::<(), enhanced_locking_config::ParseSizeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// The units a size may have, largest binary unit first so that the printer finds the shortest exact form.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// A size of this many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl std::str::FromStr for ByteSize {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, ParseSizeError> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start();
        if number.is_empty() {
            return Err(ParseSizeError::NotANumber);
        }
        if unit.is_empty() {
            return Err(ParseSizeError::NoUnit);
        }
        let factor = SIZE_UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|&(_, factor)| factor)
            .ok_or(ParseSizeError::UnknownUnit)?;
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .map(Self)
            .ok_or(ParseSizeError::TooLarge)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZE_UNITS.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match exact {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// Why a text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseSizeError {
    /// It does not start with a whole number.
    #[error("a size starts with a whole number, as in `64MiB`")]
    NotANumber,
    /// The number stands alone.
    #[error("a size needs a unit, as in `64MiB`")]
    NoUnit,
    /// The unit is none of those known.
    #[error("the units of a size are B, KiB, MiB, GiB, TiB and KB, MB, GB, TB")]
    UnknownUnit,
    /// The number of bytes does not fit into 64 bits.
    #[error("a size is at most 16777215TiB")]
    TooLarge,
}

/// Reads `30s`, `5m`, `1h 30m`, `250ms`; the help text says why another text is none.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    static PARSER: SpanParser = SpanParser::new();
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "a duration needs a unit: write `{text}s` for seconds or `{text}ms` for milliseconds"
        ));
    }
    PARSER
        .parse_unsigned_duration(text)
        .map_err(|_| "write a duration with hours, minutes, seconds or milliseconds, as in `30s`, `5m`, `1h 30m`, `250ms`".to_owned())
}

/// Writes a duration so that [`parse_duration`] reads it back.
pub(crate) fn print_duration(duration: &Duration) -> String {
    static PRINTER: SpanPrinter = SpanPrinter::new();
    PRINTER.unsigned_duration_to_string(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_units_and_printed_so_that_they_can_be_read_again() {
        for (text, ms) in [("30s", 30_000), ("5m", 300_000), ("1h 30m", 5_400_000), ("250ms", 250), ("0s", 0)]
        {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_millis(ms), "{text}");
            assert_eq!(parse_duration(&print_duration(&duration)).unwrap(), duration, "{text}");
            assert_eq!(print_duration(&duration), text);
        }
    }

    #[test]
    fn a_duration_without_a_unit_is_told_which_unit_to_write() {
        assert!(parse_duration("30").unwrap_err().contains("`30s`"));
        for text in ["", "s", "-5s", "5s ago", "1 fortnight", "30 30", "99999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print_in_the_largest_exact_unit() {
        for (bytes, text) in
            [(0, "0B"), (1, "1B"), (1024, "1KiB"), (1536, "1536B"), (1_000_000, "1MB"), (1 << 20, "1MiB")]
        {
            assert_eq!(ByteSize::from_bytes(bytes).to_string(), text);
            assert_eq!(text.parse(), Ok(ByteSize::from_bytes(bytes)));
        }
    }

    #[test]
    fn a_size_that_is_none_says_why() {
        for (text, why) in [
            ("", ParseSizeError::NotANumber),
            ("MiB", ParseSizeError::NotANumber),
            ("-1MiB", ParseSizeError::NotANumber),
            ("64", ParseSizeError::NoUnit),
            ("1.5GiB", ParseSizeError::UnknownUnit),
            ("1 XB", ParseSizeError::UnknownUnit),
            ("99999999TiB", ParseSizeError::TooLarge),
        ] {
            assert_eq!(text.parse::<ByteSize>(), Err(why), "{text}");
        }
    }
}
