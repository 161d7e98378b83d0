//! `enhanced-locks queue`: who waits for what, in line.

use clap::Args;
use enhanced_locking_client::api::QueueStatus;
use enhanced_locking_foundation::{LockBackend, Page, QueueQuery, QueueView, Timestamp};

use crate::duration::human;
use crate::failure::Failure;
use crate::output::{Paint, Style, Table, holder_line, print, print_json};
use crate::session::Session;

/// Show who waits, in line
#[derive(Clone, Debug, Args)]
pub(crate) struct QueueArgs {
    /// Only keys that start with this
    #[arg(value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Waiters shown of each line
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub waiters: usize,
}

/// Runs the command.
///
/// # Errors
/// A [`Failure`] if the service cannot be asked.
pub(crate) async fn run(args: QueueArgs, session: &Session) -> Result<(), Failure> {
    let mut query = QueueQuery { prefix: args.prefix, cursor: None, limit: 0, waiters: args.waiters };
    let mut queues = Vec::new();
    loop {
        let page = session.backend.queues(&query).await?;
        queues.extend(page.items);
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    if session.json() {
        let stats = session.backend.stats().await?;
        return print_json(&QueueStatus::new(&stats, &Page { items: queues, next: None }));
    }
    if queues.is_empty() {
        return print("nobody waits\n");
    }
    let now = session.now().await?;
    let blocks: Vec<String> = queues.iter().map(|view| block(view, now, session.out)).collect();
    print(&blocks.join("\n"))
}

/// One resource: its name, its holders, its line.
fn block(view: &QueueView, now: Timestamp, style: Style) -> String {
    let holders = match &*view.holders {
        [] => "about to be handed on".to_owned(),
        holders => {
            let lines: Vec<String> = holders.iter().map(|record| holder_line(record, now)).collect();
            format!("held by {}", lines.join(", "))
        }
    };
    format!("{}  {holders}\n{}", style.paint(Paint::Bold, &view.key), line(view, now, style))
}

/// The line of a resource as a table.
pub(crate) fn line(view: &QueueView, now: Timestamp, style: Style) -> String {
    let mut table = Table::new(style, &["PLACE", "OWNER", "USER", "MODE", "PRIORITY", "WAITED", "GIVES UP"]);
    for waiter in &view.waiters {
        let request = &waiter.request;
        table.row([
            waiter.position.to_string(),
            request.owner.to_string(),
            request.user.clone().unwrap_or_else(|| "-".to_owned()),
            request.mode.to_string(),
            request.priority.to_string(),
            human(now.since(waiter.enqueued_at)),
            waiter
                .gives_up_at
                .map_or_else(|| "never".to_owned(), |at| format!("in {}", human(at.since(now)))),
        ]);
    }
    let mut text = table.to_string();
    if view.depth > view.waiters.len() {
        text += &format!("… and {} more\n", view.depth - view.waiters.len());
    }
    text
}
