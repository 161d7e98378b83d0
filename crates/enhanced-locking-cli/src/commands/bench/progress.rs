//! How far a run is, on a terminal. Owns the bar; a log and programs see only the result.

use std::io::Write;
use std::time::Duration;

use crate::output::{Paint, Style};
use crate::session::Session;

/// How often it is drawn.
pub(super) const TICK: Duration = Duration::from_millis(200);
/// Characters of the bar.
const WIDTH: usize = 30;

/// The bar.
#[derive(Debug)]
pub(super) struct Progress {
    style: Style,
    shown: bool,
    pairs: Option<u64>,
    duration: Duration,
    drawn: bool,
}

impl Progress {
    /// The bar of a run of so many pairs, or else so long.
    pub(super) fn new(session: &Session, pairs: Option<u64>, duration: Duration) -> Self {
        let shown = session.err.terminal && !session.json();
        Self { style: session.err, shown, pairs, duration, drawn: false }
    }

    /// Draws it.
    pub(super) fn show(&mut self, elapsed: Duration, done: u64) {
        if self.shown {
            let line = self.line(elapsed, done);
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K{line}");
            self.drawn = true;
        }
    }

    /// Takes it away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K");
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a bar for people")]
    fn line(&self, elapsed: Duration, done: u64) -> String {
        let (part, of) = match self.pairs {
            Some(pairs) => (done as f64 / pairs.max(1) as f64, format!("{done} of {pairs} pairs")),
            None => {
                let seconds = elapsed.as_secs().min(self.duration.as_secs());
                let part = elapsed.as_secs_f64() / self.duration.as_secs_f64();
                (part, format!("{seconds} of {} s, {done} pairs", self.duration.as_secs_f64().ceil()))
            }
        };
        let filled = filled(part);
        let bar = self.style.paint(Paint::Good, "█".repeat(filled));
        let rest = self.style.paint(Paint::Dim, "░".repeat(WIDTH - filled));
        let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
        format!("{bar}{rest} {of}, {rate:.0} a second")
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a small number that is not negative"
)]
fn filled(part: f64) -> usize {
    (part.clamp(0.0, 1.0) * WIDTH as f64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(pairs: Option<u64>) -> Progress {
        let style = Style::default();
        Progress { style, shown: false, pairs, duration: Duration::from_secs(10), drawn: false }
    }

    #[test]
    fn the_bar_follows_the_pairs_or_the_time() {
        let line = bar(Some(200)).line(Duration::from_secs(2), 100);
        assert_eq!(line, format!("{}{} 100 of 200 pairs, 50 a second", "█".repeat(15), "░".repeat(15)));
        let line = bar(None).line(Duration::from_secs(12), 100);
        assert_eq!(line, format!("{} 10 of 10 s, 100 pairs, 8 a second", "█".repeat(30)));
    }
}
