//! `enhanced-locks transfer`: hands a lock to another owner, with a new token.

use clap::Args;
use enhanced_locking_client::api::HeldReply;
use enhanced_locking_foundation::{LockBackend, OwnerId, PullRequest, Transferee};

use super::HeldArgs;
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::session::Session;

/// Hand a lock to another owner
#[derive(Clone, Debug, Args)]
pub(crate) struct TransferArgs {
    /// Which lock.
    #[command(flatten)]
    pub held: HeldArgs,
    /// The new owner; if it waits for the lock, its request becomes the holder
    #[arg(long, value_name = "OWNER")]
    pub to: String,
    /// The person behind the new owner
    #[arg(long, value_name = "NAME")]
    pub to_user: Option<String>,
    /// The pull request of the new owner; needs --repo
    #[arg(long, value_name = "NUMBER", requires = "repo", allow_negative_numbers = true)]
    pub to_pull: Option<i64>,
}

/// Runs the command.
///
/// # Errors
/// A [`Failure`] if the lock is not held or the new owner cannot have it.
pub(crate) async fn run(mut args: TransferArgs, session: &Session) -> Result<(), Failure> {
    let record = args.held.find(session).await?;
    let pull = match (args.to_pull, &args.held.what.repo) {
        (Some(number), Some(repo)) => Some(PullRequest::new(repo, number)?),
        _ => None,
    };
    let to = Transferee { owner: OwnerId::new(&args.to)?, user: args.to_user, pull };
    let record = session.backend.transfer(&record.grant(), to).await?;
    if session.json() {
        return print_json(&HeldReply::from(&record));
    }
    let (key, owner, token) = (&record.request.key, record.owner(), record.token);
    print(&format!("{key} belongs to {owner} now, with token {token}\n"))
}
