//! `enhanced-locks unlock`: releases a lock of one's own, or everything of an owner or pull request.

use clap::Args;
use enhanced_locking_client::api::{ClearedReply, ReleaseReply};
use enhanced_locking_foundation::{Cause, LockBackend, ReleaseOutcome, Selector};

use super::HeldArgs;
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::session::Session;

/// Release a lock
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  enhanced-locks unlock --key prod/network
  enhanced-locks unlock --id 0198… --token 1764000000123456
  enhanced-locks unlock --all --repo acme/infra --pull 42      everything of a pull request")]
pub(crate) struct UnlockArgs {
    /// Which lock.
    #[command(flatten)]
    pub held: HeldArgs,
    /// Release everything of the pull request, or of --owner, and leave all its lines
    #[arg(long, conflicts_with_all = ["id", "token", "keys"])]
    pub all: bool,
}

/// Runs the command.
///
/// # Errors
/// A [`Failure`] if nothing could be released.
pub(crate) async fn run(mut args: UnlockArgs, session: &Session) -> Result<(), Failure> {
    if args.all {
        return everything(args, session).await;
    }
    let record = args.held.find(session).await?;
    let outcome = session.backend.release(&record.grant()).await?;
    if session.json() {
        return print_json(&ReleaseReply::from(&outcome));
    }
    let key = &record.request.key;
    match outcome {
        ReleaseOutcome::Released { next } => match next.first() {
            Some(next) => print(&format!("released {key}; {} has it next\n", next.owner())),
            None => print(&format!("released {key}\n")),
        },
        ReleaseOutcome::AlreadyReleased => print(&format!("{key} was released before\n")),
    }
}

async fn everything(mut args: UnlockArgs, session: &Session) -> Result<(), Failure> {
    let HeldArgs { what, who, .. } = &mut args.held;
    what.settle(who, session, false)?;
    let selector = match (who.pull(what)?, &who.owner) {
        (Some(pull), _) => Selector::Pull(pull),
        (None, Some(_)) => Selector::Owner(who.owner()?),
        (None, None) => {
            return Err(Failure::usage("everything of whom?").hint("add --repo and --pull, or --owner"));
        }
    };
    let cause = Cause { actor: who.owner()?.to_string(), reason: "unlock --all".to_owned() };
    let cleared = session.backend.clear(&selector, cause).await?;
    if session.json() {
        return print_json(&ClearedReply::from(&cleared));
    }
    let mut text = String::new();
    for record in &cleared.released {
        text += &format!("released {}\n", record.request.key);
    }
    for request in &cleared.cancelled {
        text += &format!("left the line for {}\n", request.key);
    }
    if text.is_empty() {
        text += "nothing was held\n";
    }
    print(&text)
}
