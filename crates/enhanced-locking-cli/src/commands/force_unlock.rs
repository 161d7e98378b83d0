//! `enhanced-locks force-unlock`: takes a lock away on an operator's word.

use clap::Args;
use enhanced_locking_client::api::ForceReply;
use enhanced_locking_foundation::{Cause, LockBackend, RequestId};

use super::parse_id;
use crate::failure::Failure;
use crate::identity::{KeyArgs, OwnerArgs};
use crate::output::{holder_line, print, print_json};
use crate::session::Session;

/// Take a lock away from its holder; needs a reason
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The holder is told: a command under `enhanced-locks run` is stopped. A process that does not listen may go on; \
what it writes afterwards is only kept out where the fencing token is checked.")]
pub(crate) struct ForceUnlockArgs {
    /// What is locked
    #[arg(value_name = "KEY")]
    pub positional: Option<String>,
    /// What is locked, in other words.
    #[command(flatten)]
    pub what: KeyArgs,
    /// Only this holder of a shared lock
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub id: Option<RequestId>,
    /// Why: it is written down and shown to the holder
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who does it [default: user@host]
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// A [`Failure`] if nobody held it.
pub(crate) async fn run(mut args: ForceUnlockArgs, session: &Session) -> Result<(), Failure> {
    args.what.keys.extend(args.positional);
    args.what.settle(&mut OwnerArgs::default(), session, false)?;
    let key = args.what.one()?;
    let actor = OwnerArgs { owner: args.actor, ..OwnerArgs::default() }.owner()?;
    let cause = Cause::new(actor.as_str(), &args.reason)?;
    let released = session.backend.force_release(&key, args.id.as_ref(), cause).await?;
    if session.json() {
        print_json(&ForceReply::new(&released))?;
    }
    if released.is_empty() {
        return Err(Failure::new(format!("{key} is not locked")));
    }
    if session.json() {
        return Ok(());
    }
    let now = session.now().await?;
    let lines = released.iter().map(|record| format!("took {key} from {}\n", holder_line(record, now)));
    print(&lines.collect::<String>())
}
