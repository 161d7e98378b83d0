//! Durations on the command line and in tables. Owns how people write and read them.

use std::time::Duration;

use enhanced_locking_foundation::Wait;

/// Reads `30s`, `10m`, `1h30m`, `500ms`, `2d`.
///
/// # Errors
/// A sentence that says what would be right.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    if text.trim().parse::<f64>().is_ok() {
        return Err(format!("a duration needs a unit, for example {0}s, {0}m or {0}h", text.trim()));
    }
    let wrong = || "not a duration; write it like 500ms, 30s, 10m, 1h30m or 2d".to_owned();
    // Days are 24 hours here: a lease knows no calendar.
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let signed = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(signed).map_err(|_| "a duration cannot be negative".to_owned())
}

/// Reads a duration that is not zero.
///
/// # Errors
/// As [`parse`], and for zero.
pub(crate) fn parse_positive(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err("must be longer than zero".to_owned()),
        duration => Ok(duration),
    }
}

/// Reads how long to wait: `forever`, `0` for not at all, or a duration.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_wait(text: &str) -> Result<Wait, String> {
    if text.eq_ignore_ascii_case("forever") {
        return Ok(Wait::Forever);
    }
    match parse(text).map_err(|error| format!("{error}; or `forever`, or 0 to not wait"))? {
        Duration::ZERO => Ok(Wait::No),
        duration => Ok(Wait::AtMost(duration)),
    }
}

/// Writes a duration for people, in its two largest units: `3d 4h`, `2m 5s`, `40s`, `0s`.
#[must_use]
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let two = |big: u64, unit, small: u64, small_unit| match small {
        0 => format!("{big}{unit}"),
        small => format!("{big}{unit} {small}{small_unit}"),
    };
    if days > 0 {
        two(days, 'd', hours, 'h')
    } else if hours > 0 {
        two(hours, 'h', minutes, 'm')
    } else if minutes > 0 {
        two(minutes, 'm', seconds % 60, 's')
    } else if seconds == 0 && duration.subsec_millis() > 0 {
        format!("{}ms", duration.subsec_millis())
    } else {
        format!("{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_say_so() {
        assert_eq!(parse("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("2d"), Ok(Duration::from_secs(172_800)));
        assert_eq!(parse("0"), Ok(Duration::ZERO));
        assert!(parse("30").unwrap_err().contains("30s"));
        for text in ["", "soon", "-5s", "1 parsec", "1mo"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse_positive("0s").is_err());
    }

    #[test]
    fn waits_are_a_limit_or_for_ever_or_none() {
        assert_eq!(parse_wait("forever"), Ok(Wait::Forever));
        assert_eq!(parse_wait("0"), Ok(Wait::No));
        assert_eq!(parse_wait("10m"), Ok(Wait::AtMost(Duration::from_secs(600))));
        assert!(parse_wait("never").unwrap_err().contains("forever"));
    }

    #[test]
    fn people_read_two_units_at_most() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (125, "2m 5s"), (7200, "2h"), (273_600, "3d 4h")] {
            assert_eq!(human(Duration::from_secs(seconds)), text);
        }
        assert_eq!(human(Duration::from_millis(40)), "40ms");
    }
}
