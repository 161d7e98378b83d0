//! What a person sees while a command waits for its lock: a live line on a terminal, a line now and then elsewhere.
//!
//! Owns when something is written to standard error; the waiting itself is the manager's.

use std::io::Write;
use std::time::Duration;

use enhanced_locking_client::api::{AcquireReply, PlaceView};
use enhanced_locking_foundation::{Ended, QueuePlace, RequestId, Timestamp};
use enhanced_locking_manager::Progress;
use tokio::time::Instant;

use crate::args::Format;
use crate::duration::human;
use crate::output::{Paint, Style, place_line};

/// How often the live line is drawn anew.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// How often a log hears that the waiting goes on, if nothing changed.
const REMINDER: Duration = Duration::from_secs(60);
/// The shortest time between two lines in a log, and between two about a lost place.
const SPARSE: Duration = Duration::from_secs(5);

/// The line about the waiting.
#[derive(Debug)]
pub(crate) struct WaitingLine {
    style: Style,
    format: Format,
    quiet: bool,
    began: Instant,
    /// Server time when the waiting began.
    now: Timestamp,
    state: State,
    /// Whether it had to wait, in whatever place.
    has_waited: bool,
    /// When a lost place was told last.
    rejoined: Option<Instant>,
    /// The latest lost place, if it came too soon after another to be told.
    untold: Option<String>,
    /// When it was told at once that the store is away.
    away: Option<Instant>,
    /// What a log was told last, and when.
    told: Option<(String, Instant)>,
    drawn: bool,
}

#[derive(Debug)]
enum State {
    Asking,
    Waiting(Box<QueuePlace>),
    Away(String),
}

impl WaitingLine {
    pub(crate) fn new(style: Style, format: Format, quiet: bool, now: Timestamp) -> Self {
        let began = Instant::now();
        Self {
            style,
            format,
            quiet,
            began,
            now,
            state: State::Asking,
            has_waited: false,
            rejoined: None,
            untold: None,
            away: None,
            told: None,
            drawn: false,
        }
    }

    /// Takes in how the waiting goes.
    pub(crate) fn note(&mut self, progress: &Progress<'_>) {
        let was_away = self.trouble().is_some();
        self.state = match progress {
            Progress::Waiting(place) => State::Waiting(Box::new((*place).clone())),
            Progress::Retrying { error, .. } => {
                // At once, however short ago the place was told; but not each time if it comes and goes.
                if !was_away && self.away.is_none_or(|at| at.elapsed() >= SPARSE) {
                    (self.told, self.away) = (None, Some(Instant::now()));
                }
                State::Away(what(error.message()).to_owned())
            }
            Progress::Rejoining { ended, id } => return self.rejoining(ended, id),
            _ => return,
        };
        self.has_waited = true;
        self.show();
    }

    /// Notes that the place was lost and another one is asked for. Told at once, because it changes the request's id,
    /// but sparsely: a place that is lost again and again would fill a log.
    fn rejoining(&mut self, ended: &Ended, id: &RequestId) {
        // Whoever held the lock then need not hold it now.
        self.state = State::Asking;
        self.untold = Some(rejoining(self.format, ended, id));
        self.show();
    }

    /// Tells a lost place, if it is time to.
    fn show_rejoining(&mut self) {
        if self.rejoined.is_some_and(|at| at.elapsed() < SPARSE) {
            return;
        }
        let Some(text) = self.untold.take() else { return };
        self.rejoined = Some(Instant::now());
        // The next place is news.
        self.told = None;
        self.clear();
        eprintln!("{text}");
    }

    /// Writes what there is to write now.
    pub(crate) fn show(&mut self) {
        if self.quiet {
            return;
        }
        self.show_rejoining();
        let Some((text, identity)) = self.text() else { return };
        if self.style.terminal && self.format == Format::Table {
            let line = self.style.paint(Paint::Warn, fit(&text));
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K{line}");
            self.drawn = true;
        } else if self.is_due(&identity) {
            eprintln!("{}", if self.format == Format::Json { identity.clone() } else { text });
            self.told = Some((identity, Instant::now()));
        }
    }

    /// Takes the live line away, so that others can write.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K");
        }
    }

    /// How long it has waited so far, if it had to.
    pub(crate) fn waited(&self) -> Option<Duration> {
        self.has_waited.then(|| self.began.elapsed())
    }

    /// Why the store does not answer, if it does not.
    pub(crate) fn trouble(&self) -> Option<&str> {
        match &self.state {
            State::Away(error) => Some(error),
            _ => None,
        }
    }

    /// Whether a log should hear this: at once if it is the first, sparsely if it is news, else as a reminder.
    fn is_due(&self, identity: &str) -> bool {
        match &self.told {
            None => true,
            Some((told, at)) if told == identity => at.elapsed() >= REMINDER,
            Some((_, at)) => at.elapsed() >= SPARSE,
        }
    }

    /// The line, and what must change for it to be news.
    fn text(&self) -> Option<(String, String)> {
        let waited = human(Duration::from_secs(self.began.elapsed().as_secs()));
        match &self.state {
            State::Asking => None,
            State::Waiting(place) => {
                let now = self.now.plus(self.began.elapsed());
                let key = &place.request.key;
                let text =
                    format!("enhanced-locks: waiting for {key}: {}; waited {waited}", place_line(place, now));
                let identity = match self.format {
                    Format::Json => serde_json::to_string(&AcquireReply::Queued(PlaceView::from(&**place)))
                        .unwrap_or_default(),
                    Format::Table => {
                        let holders: Vec<&str> =
                            place.holders.iter().map(|holder| holder.owner().as_str()).collect();
                        format!("{} {} {holders:?}", place.position, place.depth)
                    }
                };
                Some((text, identity))
            }
            State::Away(error) => {
                let text = format!("enhanced-locks: {error}, trying again; waited {waited}");
                let identity = match self.format {
                    Format::Json => serde_json::json!({"state": "retrying", "detail": error}).to_string(),
                    Format::Table => "away".to_owned(),
                };
                Some((text, identity))
            }
        }
    }
}

/// What is wrong, without what to do about it: who waits for a service need not start one.
fn what(message: &str) -> &str {
    message.split_once("; ").map_or(message, |(what, _)| what)
}

fn rejoining(format: Format, ended: &Ended, id: &RequestId) -> String {
    match format {
        Format::Json => {
            serde_json::json!({"state": "rejoining", "request_id": id, "ended": ended.reason}).to_string()
        }
        Format::Table => {
            format!("enhanced-locks: lost the place in line: {}; joining again as {id}", ended.reason)
        }
    }
}

impl Drop for WaitingLine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Cuts a line to the width of the terminal: a wrapped line could not be drawn over.
fn fit(text: &str) -> String {
    let width = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| usize::from(size.ws_col));
    cut(text, if width == 0 { 80 } else { width })
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() < width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(2)).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use enhanced_locking_foundation::{AcquireRequest, BackendError, BackendErrorKind, OwnerId, ResourceKey};

    use super::*;

    fn place(position: usize) -> QueuePlace {
        let request = AcquireRequest::new(ResourceKey::new("k").unwrap(), OwnerId::new("me").unwrap());
        QueuePlace {
            request: Arc::new(request),
            position,
            depth: 3,
            enqueued_at: Timestamp::ZERO,
            gives_up_at: None,
            holders: Vec::new(),
            generation: 1,
        }
    }

    fn line(format: Format) -> WaitingLine {
        WaitingLine::new(Style::default(), format, false, Timestamp::ZERO)
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_hears_news_sparsely_and_is_reminded_now_and_then() {
        let mut line = line(Format::Table);
        assert!(line.text().is_none() && line.waited().is_none());
        line.note(&Progress::Waiting(&place(2)));
        let first = line.told.clone().unwrap();
        line.note(&Progress::Waiting(&place(1)));
        assert_eq!(line.told.clone().unwrap(), first, "too soon");
        tokio::time::advance(SPARSE).await;
        line.show();
        assert_ne!(line.told.clone().unwrap(), first);
        let second = line.told.clone().unwrap();
        tokio::time::advance(REMINDER - TICK).await;
        line.show();
        assert_eq!(line.told.clone().unwrap(), second);
        tokio::time::advance(TICK).await;
        line.show();
        assert!(line.told.clone().unwrap().1 > second.1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_line_names_place_and_time_and_programs_get_the_shape_of_the_api() {
        let mut person = line(Format::Table);
        person.note(&Progress::Waiting(&place(2)));
        tokio::time::advance(Duration::from_secs(75)).await;
        let (text, _) = person.text().unwrap();
        assert_eq!(text, "enhanced-locks: waiting for k: place 2 of 3; about to be handed on; waited 1m 15s");
        let mut program = line(Format::Json);
        program.note(&Progress::Waiting(&place(2)));
        let json: serde_json::Value = serde_json::from_str(&program.text().unwrap().1).unwrap();
        assert_eq!((json["state"].as_str(), json["position"].as_u64()), (Some("queued"), Some(2)));
    }

    fn unclaimed() -> Ended {
        let reason = enhanced_locking_foundation::EndReason::Unclaimed;
        Ended { reason, at: Timestamp::ZERO, token: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_lost_again_and_again_is_told_sparsely_and_shows_no_stale_holder() {
        let mut line = line(Format::Table);
        let (ended, id) = (unclaimed(), RequestId::new("r2").unwrap());
        let lose = Progress::Rejoining { ended: &ended, id: &id };
        line.note(&Progress::Waiting(&place(1)));
        line.note(&lose);
        let first = line.rejoined.unwrap();
        assert!(line.untold.is_none() && line.text().is_none(), "the old place is no longer shown");
        tokio::time::advance(TICK).await;
        line.note(&lose);
        assert_eq!((line.rejoined, line.untold.is_some()), (Some(first), true), "too soon");
        line.note(&Progress::Waiting(&place(1)));
        tokio::time::advance(SPARSE).await;
        line.show();
        assert!(line.rejoined.unwrap() > first && line.untold.is_none(), "the latest id is told in the end");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_goes_away_is_told_at_once_but_not_each_time() {
        let mut line = line(Format::Table);
        let message = "the service at http://x cannot be reached; start one with `enhanced-locks serve`";
        let error = BackendError::new(BackendErrorKind::Unavailable, message);
        let retrying = Progress::Retrying { error: &error, again_in: TICK };
        line.note(&Progress::Waiting(&place(1)));
        line.note(&retrying);
        let text = line.text().unwrap().0;
        assert_eq!(
            text,
            "enhanced-locks: the service at http://x cannot be reached, trying again; waited 0s"
        );
        assert_eq!(line.trouble(), Some("the service at http://x cannot be reached"));
        assert_eq!(line.told.as_ref().unwrap().0, "away");
        let told = line.away;
        tokio::time::advance(TICK).await;
        line.note(&Progress::Waiting(&place(1)));
        line.note(&retrying);
        assert_eq!(line.away, told, "it comes and goes");
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_that_was_waited_counts_through_a_lost_place() {
        let mut line = line(Format::Table);
        let (ended, id) = (unclaimed(), RequestId::new("r2").unwrap());
        line.note(&Progress::Waiting(&place(1)));
        tokio::time::advance(TICK).await;
        line.note(&Progress::Rejoining { ended: &ended, id: &id });
        assert_eq!(line.waited(), Some(TICK));
    }

    #[test]
    fn a_lost_place_is_told_with_its_reason_and_the_new_id() {
        let ended = unclaimed();
        let id = RequestId::new("r2").unwrap();
        assert_eq!(
            rejoining(Format::Table, &ended, &id),
            "enhanced-locks: lost the place in line: it was not claimed in time; joining again as r2"
        );
        let json: serde_json::Value = serde_json::from_str(&rejoining(Format::Json, &ended, &id)).unwrap();
        assert_eq!(json, serde_json::json!({"state": "rejoining", "request_id": "r2", "ended": "unclaimed"}));
    }

    #[test]
    fn lines_are_cut_to_the_terminal() {
        assert_eq!(cut("abc", 10), "abc");
        assert_eq!(cut("abcdefghij", 6), "abcd…");
    }
}
