//! `enhanced-locks get`: one lock, or one key with its holders and its line.

use clap::Args;
use enhanced_locking_client::api::{QueueView, RequestReply};
use enhanced_locking_foundation::{LockBackend, RequestId, RequestState};

use super::parse_id;
use super::queue::line;
use crate::failure::{Failure, code};
use crate::identity::{KeyArgs, OwnerArgs};
use crate::output::{lock_details, place_line, print, print_json};
use crate::session::Session;

/// Waiters shown of a line.
const WAITERS: usize = 100;

/// Show one lock, or who holds a key and who waits for it
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exits with 1 if the key is free, or there is no such request; the view of a free key is empty."
)]
pub(crate) struct GetArgs {
    /// What is locked
    #[arg(value_name = "KEY")]
    pub positional: Option<String>,
    /// What is locked, in other words.
    #[command(flatten)]
    pub what: KeyArgs,
    /// One lock or request by its id
    #[arg(long, value_name = "ID", value_parser = parse_id, conflicts_with_all = ["positional", "keys"])]
    pub id: Option<RequestId>,
}

/// Runs the command.
///
/// # Errors
/// A [`Failure`] if the key is free.
pub(crate) async fn run(mut args: GetArgs, session: &Session) -> Result<(), Failure> {
    if let Some(id) = &args.id {
        return request(id, session).await;
    }
    args.what.keys.extend(args.positional);
    args.what.settle(&mut OwnerArgs::default(), session, false)?;
    let key = args.what.one()?;
    let Some(view) = session.backend.resource(&key, WAITERS).await? else {
        if session.json() {
            print_json(&QueueView { key, depth: 0, holders: Vec::new(), waiters: Vec::new() })?;
            return Err(Failure::silent(code::GENERAL));
        }
        return Err(Failure::new(format!("{key} is free: nobody holds it or waits for it")));
    };
    let now = session.now().await?;
    if session.json() {
        return print_json(&QueueView::new(&view, now));
    }
    let details: Vec<String> =
        view.holders.iter().map(|record| lock_details(record, now, session.out)).collect();
    let mut text = details.join("\n");
    if view.depth > 0 {
        text += &format!("\n{} waiting:\n{}", view.depth, line(&view, now, session.out));
    }
    print(&text)
}

async fn request(id: &RequestId, session: &Session) -> Result<(), Failure> {
    let found = session.backend.find(id).await?;
    let unknown = || Failure::new(format!("no request has the id {id}, or it ended too long ago"));
    let (key, state) = found.ok_or_else(unknown)?;
    if session.json() {
        return print_json(&RequestReply::new(&key, id, &state).ok_or_else(unknown)?);
    }
    let now = session.now().await?;
    match state {
        RequestState::Held(record) => print(&lock_details(&record, now, session.out)),
        RequestState::Queued(place) => print(&format!("{id} waits for {key}: {}\n", place_line(&place, now))),
        RequestState::Finished(ended) => print(&format!("{id} is over: {} ({})\n", ended.reason, ended.at)),
        RequestState::Unknown => Err(unknown()),
    }
}
