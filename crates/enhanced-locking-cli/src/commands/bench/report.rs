//! The figures of a run. Owns how they are written, and the verdict.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::caller::Seen;
use super::ledger::Broken;
use crate::failure::Failure;
use crate::output::{Paint, Table, print, print_json};
use crate::session::Session;

/// A run that is over.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) callers: u32,
    pub(super) keys: u32,
    pub(super) name: String,
    pub(super) took: Duration,
    pub(super) seen: Seen,
    pub(super) broken: Broken,
}

impl Report {
    /// Writes the figures.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(super) fn print(&self, session: &Session) -> Result<(), Failure> {
        if session.json() {
            return print_json(&self.json());
        }
        let head = format!(
            "{} pairs in {:.1} s with {} callers on {} keys: {:.0} a second",
            self.pairs(),
            self.took.as_secs_f64(),
            self.callers,
            self.keys,
            self.rate()
        );
        print(&format!("{}\n\n", session.out.paint(Paint::Bold, head)))?;
        let mut table = Table::new(session.out, &["WHAT", "COUNT", "P50", "P90", "P99", "P99.9", "LONGEST"]);
        for (what, times) in self.times().into_iter().filter(|(_, times)| !times.is_empty()) {
            let mut row = vec![what.replace('_', "-"), times.len().to_string()];
            row.extend(QUANTILES.iter().map(|(_, at)| time(times.value_at_quantile(*at))));
            table.row(row);
        }
        print(&table.to_string())?;
        if self.broken.count == 0 {
            let said = "Never did two hold one key, and every token was higher than the one before.";
            print(&format!("\n{}\n", session.out.paint(Paint::Good, said)))?;
        }
        Ok(())
    }

    /// Whether all was well.
    ///
    /// # Errors
    /// A [`Failure`] that says what was not.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        if self.broken.count > 0 {
            let told = self.broken.told.join("\n");
            return Err(Failure::new(format!("the locks were wrong {} times:\n{told}", self.broken.count)));
        }
        match &self.seen.first_error {
            Some(first) => {
                Err(Failure::new(format!("{} calls failed, the first: {first}", self.seen.errors)))
            }
            None => Ok(()),
        }
    }

    fn json(&self) -> Value {
        let times = self.times().map(|(what, times)| {
            let mut figures = json!({ "count": times.len() });
            for (name, at) in QUANTILES.iter().filter(|_| !times.is_empty()) {
                figures[format!("{name}_us")] = times.value_at_quantile(*at).into();
            }
            (what.to_owned(), figures)
        });
        json!({
            "name": self.name,
            "callers": self.callers,
            "keys": self.keys,
            "seconds": self.took.as_secs_f64(),
            "pairs": self.pairs(),
            "pairs_per_second": self.rate(),
            "times": times.into_iter().collect::<serde_json::Map<_, _>>(),
            "errors": self.seen.errors,
            "first_error": self.seen.first_error,
            "correct": self.broken.count == 0,
            "violations": self.broken.told,
        })
    }

    /// In the order in which they are shown.
    fn times(&self) -> [(&'static str, &Histogram<u64>); 3] {
        let Seen { acquire, release, hand_off, .. } = &self.seen;
        [("acquire", acquire), ("release", release), ("hand_off", hand_off)]
    }

    /// Pairs of which both halves were acknowledged.
    fn pairs(&self) -> u64 {
        self.seen.release.len()
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn rate(&self) -> f64 {
        self.pairs() as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// What is told of a distribution.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999), ("longest", 1.0)];

/// Microseconds for people, in three digits.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn time(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{:.2} ms", micros as f64 / 1e3),
        10_000..100_000 => format!("{:.1} ms", micros as f64 / 1e3),
        100_000..1_000_000 => format!("{:.0} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut seen = Seen::new().unwrap();
        for micros in 1..=100 {
            seen.acquire.record(micros).unwrap();
            seen.release.record(micros).unwrap();
        }
        let took = Duration::from_secs(2);
        Report { callers: 2, keys: 1, name: "n".to_owned(), took, seen, broken: Broken::default() }
    }

    #[test]
    fn times_are_told_in_three_digits() {
        for (micros, text) in
            [(7, "7 µs"), (1_234, "1.23 ms"), (12_345, "12.3 ms"), (123_456, "123 ms"), (1_234_567, "1.23 s")]
        {
            assert_eq!(time(micros), text);
        }
    }

    #[test]
    fn programs_get_counts_rates_and_quantiles() {
        let json = report().json();
        assert_eq!((json["pairs"].as_u64(), json["pairs_per_second"].as_f64()), (Some(100), Some(50.0)));
        assert_eq!(json["times"]["acquire"]["p90_us"], 90);
        assert_eq!(json["times"]["hand_off"], json!({ "count": 0 }), "nobody waited");
        assert_eq!(json["correct"], true);
    }

    #[test]
    fn what_was_wrong_is_a_failure() {
        let mut report = report();
        assert_eq!(report.verdict(), Ok(()));
        (report.seen.errors, report.seen.first_error) = (2, Some("no service".to_owned()));
        assert!(report.verdict().unwrap_err().message.contains("2 calls failed, the first: no service"));
        report.broken = Broken { count: 1, told: vec!["k: two".to_owned()] };
        assert!(report.verdict().unwrap_err().message.contains("k: two"));
        assert_eq!(report.json()["correct"], false);
    }
}
