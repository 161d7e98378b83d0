//! `enhanced-locks health`: how the service is, with the parts of its score.

use clap::Args;

use crate::duration::human;
use crate::failure::{Failure, code};
use crate::output::{Paint, Table, print, print_json};
use crate::session::Session;

/// Show how the service is
#[derive(Clone, Debug, Args)]
#[command(after_help = "Exits with 0 if locks can be taken, 1 if not, 69 if the service cannot be reached.")]
pub(crate) struct HealthArgs {}

/// Runs the command.
///
/// # Errors
/// A [`Failure`] if the service is not healthy, or not there.
pub(crate) async fn run(session: &Session) -> Result<(), Failure> {
    let view = session.backend.health().await?;
    let healthy = view.health.healthy;
    if session.json() {
        print_json(&view)?;
    } else {
        let style = session.out;
        let paint = match (healthy, view.health.status.as_str()) {
            (false, _) => Paint::Bad,
            (true, "healthy") => Paint::Good,
            (true, _) => Paint::Warn,
        };
        let mut text = format!(
            "{}  score {:.0} of 100, version {}, at {}\n",
            style.paint(paint, &view.health.status),
            view.health.score,
            view.version,
            session.backend.server(),
        );
        text += &format!(
            "store: {} at {}, survives: {}\n",
            view.store.name, view.store.location, view.store.durability
        );
        if let Some(stats) = &view.stats {
            text += &format!("{} locks held, {} requests waiting", stats.held, stats.waiting);
            if stats.waiting > 0 {
                let oldest = std::time::Duration::from_millis(stats.oldest_wait_ms);
                text += &format!(", the oldest for {}", human(oldest));
            }
            text += "\n";
        }
        let mut table = Table::new(style, &["PART", "SCORE", "WEIGHT", "FOUND"]);
        for part in &view.components {
            let paint = if part.score >= 90.0 {
                Paint::Good
            } else if part.score >= 50.0 {
                Paint::Warn
            } else {
                Paint::Bad
            };
            table.row([
                part.name.clone(),
                style.paint(paint, format!("{:.0}", part.score)),
                format!("{:.2}", part.weight),
                part.detail.clone(),
            ]);
        }
        if !table.is_empty() {
            text += &format!("\n{table}");
        }
        print(&text)?;
    }
    if healthy { Ok(()) } else { Err(Failure::silent(code::GENERAL)) }
}
