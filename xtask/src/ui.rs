//! What a person sees: modest colours, numbered stages with their time, a closing table, failures.
//!
//! Owns the only reading of the clock in this program. Knows nothing about cargo or the workspace.

use std::fmt;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// The result of every chore.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a chore failed, in words for the person who ran it: what is wrong, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<xshell::Error> for Failure {
    fn from(error: xshell::Error) -> Self {
        Self(error.to_string())
    }
}

/// Turns an I/O result into a failure that says what was attempted.
pub(crate) trait Context<T> {
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failure(format!("{doing}: {error}")))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

#[derive(Debug)]
struct Row {
    name: String,
    outcome: Outcome,
    elapsed: Duration,
    note: String,
}

/// Runs named stages one after the other, goes on after a failure, and ends with a table.
#[derive(Debug)]
pub(crate) struct Stages {
    planned: usize,
    rows: Vec<Row>,
    started: Instant,
}

impl Stages {
    /// `planned` is only used to number the stages (`[3/9]`).
    pub(crate) fn new(planned: usize) -> Self {
        Self { planned, rows: Vec::new(), started: now() }
    }

    /// Runs one stage. Its `Ok` text is a short note for the table; returns whether it passed.
    pub(crate) fn run(&mut self, name: &str, work: impl FnOnce() -> Result<String>) -> bool {
        self.header(name);
        let started = now();
        let (outcome, note) = match work() {
            Ok(note) => (Outcome::Passed, note),
            Err(failure) => {
                eprintln!("{} {failure}", red("error:"));
                let first_line = failure.0.lines().next().unwrap_or_default().to_owned();
                (Outcome::Failed, first_line)
            }
        };
        let elapsed = started.elapsed();
        println!("{} {name} ({})", outcome.mark(), human(elapsed));
        self.rows.push(Row { name: name.to_owned(), outcome, elapsed, note });
        outcome == Outcome::Passed
    }

    /// Records a stage that was not run, and says why in plain sight.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        self.header(name);
        println!("{} {name} skipped: {why}", Outcome::Skipped.mark());
        self.rows.push(Row {
            name: name.to_owned(),
            outcome: Outcome::Skipped,
            elapsed: Duration::ZERO,
            note: why.to_owned(),
        });
    }

    /// Prints the table; fails if any stage failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n{}", self.table());
        let failed: Vec<&str> =
            self.rows.iter().filter(|r| r.outcome == Outcome::Failed).map(|r| r.name.as_str()).collect();
        if failed.is_empty() {
            return Ok(());
        }
        Err(Failure(format!("{} of {} stages failed: {}", failed.len(), self.rows.len(), failed.join(", "))))
    }

    fn header(&self, name: &str) {
        let number = self.rows.len() + 1;
        let total = self.planned.max(number);
        let since = human(self.started.elapsed());
        println!("\n{}", bold(&format!("[{number}/{total}] {name}  (+{since})")));
    }

    fn table(&self) -> String {
        let width = self.rows.iter().map(|r| r.name.chars().count()).max().unwrap_or(0).max("total".len());
        let mut text = String::new();
        for row in &self.rows {
            let time = human(row.elapsed);
            let line = format!("{} {:width$}  {time:>7}  {}", row.outcome.mark(), row.name, row.note);
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push_str(&format!("  {:width$}  {:>7}", "total", human(self.started.elapsed())));
        text
    }
}

impl Outcome {
    fn mark(self) -> String {
        match self {
            Self::Passed => paint("32", "✓"),
            Self::Failed => red("✗"),
            Self::Skipped => yellow("-"),
        }
    }
}

/// The one legal reading of the clock: how long chores take is their own business.
#[expect(
    clippy::disallowed_methods,
    reason = "a build tool times its own stages; no lock rule depends on it"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// `0.4s`, `12.3s`, `4m05s`.
pub(crate) fn human(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    if seconds < 60 {
        format!("{:.1}s", elapsed.as_secs_f64())
    } else {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    }
}

pub(crate) fn red(text: &str) -> String {
    paint("31", text)
}

pub(crate) fn yellow(text: &str) -> String {
    paint("33", text)
}

pub(crate) fn bold(text: &str) -> String {
    paint("1", text)
}

fn paint(code: &str, text: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    if plain || !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_times_are_short_and_carry_their_unit() {
        assert_eq!(human(Duration::from_millis(420)), "0.4s");
        assert_eq!(human(Duration::from_secs(245)), "4m05s");
    }

    #[test]
    fn later_stages_run_after_a_failure_and_the_end_names_it() {
        let mut stages = Stages::new(2);
        assert!(!stages.run("first", || Err(Failure::new("broken"))));
        assert!(stages.run("second", || Ok("fine".to_owned())));
        let text = stages.finish().unwrap_err().to_string();
        assert_eq!(text, "1 of 2 stages failed: first");
    }

    #[test]
    fn a_skipped_stage_shows_its_reason_and_does_not_fail() {
        let mut stages = Stages::new(1);
        stages.skip("deny", "cargo-deny is not installed");
        assert!(stages.table().contains("cargo-deny is not installed"));
        assert!(stages.finish().is_ok());
    }
}
