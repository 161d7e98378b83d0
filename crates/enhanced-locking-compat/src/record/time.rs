//! Points in time as Go stores them. Owns the text, its check and what it means; our own time is foundation's.

use enhanced_locking_foundation::Timestamp;
use serde::Serialize;

use super::decode;
use super::error::RecordError;
use crate::json::{Kind, Value};

/// What Go writes for a time that was never set.
const ZERO: &str = "0001-01-01T00:00:00Z";

/// Where the date ends, `T` included.
const DATE_END: usize = 11;

/// A point in time, kept as it was written: nanoseconds and the offset from UTC survive.
///
/// ```
/// use enhanced_locking_compat::record::RecordTime;
/// use enhanced_locking_foundation::Timestamp;
/// let time = RecordTime::parse("2026-08-22T09:30:15.123456789+02:00").ok_or("no time")?;
/// assert_eq!(time.as_str(), "2026-08-22T09:30:15.123456789+02:00");
/// assert_eq!(time.timestamp(), "2026-08-22T07:30:15.123456Z".parse().ok());
/// assert!(RecordTime::default().is_zero());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RecordTime {
    text: String,
    seconds: i64,
    nanos: u32,
    /// East of UTC.
    offset_minutes: i64,
}

impl RecordTime {
    /// A time as Go reads it: RFC 3339 with `T`, any number of digits of a second (nine count), `Z` or an offset. Go also
    /// takes an hour of one digit, and a comma in front of the fraction; so it does here.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse(text)
    }

    /// The text, verbatim.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text that Atlantis writes for this time: no trailing zeros in a fraction of at most nine digits, `Z` in UTC.
    /// It differs from the [text](Self::as_str) only if somebody else wrote that.
    ///
    /// Go reads an offset of 24 hours and writes none. Here it is written, for Atlantis to read.
    #[must_use]
    pub fn written(&self) -> String {
        let (date, rest) = self.text.split_at_checked(DATE_END).unwrap_or_default();
        // Two digits, or one that gets a zero; minutes and seconds have one form.
        let (zero, len) = if rest.get(1..2) == Some(":") { ("0", 7) } else { ("", 8) };
        let clock = rest.get(..len).unwrap_or_default();
        let fraction = match self.nanos {
            0 => String::new(),
            nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
        };
        let (sign, minutes) = (if self.offset_minutes < 0 { '-' } else { '+' }, self.offset_minutes.abs());
        match minutes {
            0 => format!("{date}{zero}{clock}{fraction}Z"),
            _ => format!("{date}{zero}{clock}{fraction}{sign}{:02}:{:02}", minutes / 60, minutes % 60),
        }
    }

    /// The point in whole microseconds; `None` before 1970, as the zero value is.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        let seconds = u64::try_from(self.seconds).ok()?;
        Some(Timestamp::from_micros(seconds * 1_000_000 + u64::from(self.nanos / 1_000)))
    }

    /// Seconds since the Unix epoch and nanoseconds of the second.
    #[must_use]
    pub fn unix(&self) -> (i64, u32) {
        (self.seconds, self.nanos)
    }

    /// Whether it was never set.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.unix() == Self::default().unix()
    }

    /// Reads the raw literal: Go does not resolve escapes in a time.
    pub(crate) fn read(&mut self, value: Value<'_>, member: &'static str) -> Result<(), RecordError> {
        match value.kind() {
            Kind::Null => return Ok(()),
            Kind::Text => {}
            found => return Err(decode::wrong(member, "a time", found)),
        }
        let literal = std::str::from_utf8(value.raw()).ok();
        let text = literal.and_then(|literal| literal.strip_prefix('"')?.strip_suffix('"'));
        *self = text.and_then(Self::parse).ok_or(RecordError::Time { member })?;
        Ok(())
    }
}

impl From<Timestamp> for RecordTime {
    /// The time in UTC, without trailing zeros, as Go writes it. Beyond the year 9999 there is no such text, and the
    /// last one before it stands in.
    fn from(time: Timestamp) -> Self {
        const LAST: u64 = 253_402_300_799_999_999;
        let text = Timestamp::from_micros(time.as_micros().min(LAST)).to_string();
        Self::parse(&text).unwrap_or_default()
    }
}

impl Default for RecordTime {
    fn default() -> Self {
        // Not parsed: `parse` may fall back on this.
        Self { text: ZERO.to_owned(), seconds: -62_135_596_800, nanos: 0, offset_minutes: 0 }
    }
}

impl std::fmt::Display for RecordTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.text)
    }
}

impl std::fmt::Debug for RecordTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for RecordTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

fn parse(text: &str) -> Option<RecordTime> {
    let mut rest = Rest(text.as_bytes());
    let year = rest.number(4, 0, 9999)?;
    rest.sign(b'-')?;
    let month = rest.number(2, 1, 12)?;
    rest.sign(b'-')?;
    let day = rest.number(2, 1, days_of_month(year, month))?;
    rest.sign(b'T')?;
    let hour = rest.number(if rest.0.get(1) == Some(&b':') { 1 } else { 2 }, 0, 23)?;
    rest.sign(b':')?;
    let minute = rest.number(2, 0, 59)?;
    rest.sign(b':')?;
    let second = rest.number(2, 0, 59)?;
    let fraction = rest.sign(b'.').or_else(|| rest.sign(b','));
    let nanos = if fraction.is_some() { rest.fraction()? } else { 0 };
    let offset_minutes = rest.offset_minutes()?;
    let seconds =
        days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + (minute - offset_minutes) * 60 + second;
    rest.0.is_empty().then(|| RecordTime { text: text.to_owned(), seconds, nanos, offset_minutes })
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn sign(&mut self, wanted: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[wanted])?;
        Some(())
    }

    /// Exactly `len` digits whose number is within the bounds.
    fn number(&mut self, len: usize, min: i64, max: i64) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        let number = digits
            .iter()
            .try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))?;
        (min..=max).contains(&number).then_some(number)
    }

    /// At least one digit; those behind the ninth are dropped, as Go does.
    fn fraction(&mut self) -> Option<u32> {
        let len = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(len).filter(|_| len > 0)?;
        self.0 = rest;
        let nine = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
        Some(nine.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
    }

    /// Minutes east of UTC. The bounds are Go's: it takes 24 hours and 60 minutes as well.
    fn offset_minutes(&mut self) -> Option<i64> {
        if self.sign(b'Z').is_some() {
            return Some(0);
        }
        let east = match self.0.first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.0 = self.0.get(1..)?;
        let hours = self.number(2, 0, 24)?;
        self.sign(b':')?;
        Some(east * (hours * 60 + self.number(2, 0, 60)?))
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, negative before. Counts whole years, then whole months.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Leap days in the years before `year`, counted from the year 0, which is one.
    let leap_days =
        |year: i64| if year > 0 { (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1 } else { 0 };
    let years = (year - 1970) * 365 + leap_days(year) - leap_days(1970);
    years + (1..month).map(|month| days_of_month(year, month)).sum::<i64>() + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offsets_and_fractions_count() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", (0, 0)),
            ("1970-01-01T01:00:00.5+01:00", (0, 500_000_000)),
            ("1969-12-31T23:59:59.000000001Z", (-1, 1)),
            ("2026-08-22T09:30:15.1234567899+02:00", (1_787_383_815, 123_456_789)),
            ("2024-02-29T00:00:00-05:30", (1_709_184_600, 0)),
            ("0001-01-01T00:00:00Z", (-62_135_596_800, 0)),
        ] {
            assert_eq!(RecordTime::parse(text).unwrap().unix(), want, "{text}");
        }
    }

    #[test]
    fn the_zero_value_is_one_text_and_no_timestamp() {
        assert_eq!(RecordTime::parse(ZERO), Some(RecordTime::default()));
        assert_eq!(RecordTime::default().timestamp(), None);
        assert!(!RecordTime::from(Timestamp::ZERO).is_zero());
    }

    #[test]
    fn what_is_written_has_one_form() {
        for (text, want) in [
            ("2026-08-22T09:30:15.120000000+02:00", "2026-08-22T09:30:15.12+02:00"),
            ("2026-08-22T09:30:15.12345678999-05:30", "2026-08-22T09:30:15.123456789-05:30"),
            ("2026-08-22T09:30:15.0-00:00", "2026-08-22T09:30:15Z"),
            ("2026-08-22T09:30:15+02:60", "2026-08-22T09:30:15+03:00"),
            ("2026-08-22T9:30:15,5Z", "2026-08-22T09:30:15.5Z"),
            (ZERO, ZERO),
        ] {
            assert_eq!(RecordTime::parse(text).unwrap().written(), want);
        }
        assert_eq!(RecordTime::default().written(), ZERO);
    }

    #[test]
    fn nonsense_is_no_time() {
        for text in [
            "",
            "2026-08-22",
            "2026-08-22 09:30:15Z",
            "2026-08-22T09:30:15",
            "2026-02-29T00:00:00Z",
            "2026-08-22T24:00:00Z",
            "2026-08-22T09:30:15.Z",
            "2026-08-22T:30:15Z",
            "2026-08-22T009:30:15Z",
            "2026-08-22T09:30:15+0200",
            "2026-08-22T09:30:15ZZ",
        ] {
            assert_eq!(RecordTime::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn our_own_time_survives_the_round_trip(micros in 0..253_402_300_800_000_000_u64) {
            let time = Timestamp::from_micros(micros);
            let record = RecordTime::from(time);
            prop_assert_eq!(record.timestamp(), Some(time));
            prop_assert_eq!(record.as_str(), time.to_string());
            prop_assert_eq!(record.written(), time.to_string());
            prop_assert!(!record.as_str().contains("0Z") || !record.as_str().contains('.'));
        }

        #[test]
        fn any_text_is_survived(text in any::<String>(), near in "[0-9T:.Z+-]{0,30}") {
            let _ = (RecordTime::parse(&text), RecordTime::parse(&near));
        }
    }
}
