//! `enhanced-locks backup`: a copy of the store while the service goes on.

use clap::Args;

use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::session::Session;

/// Copy the store of the running service
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The copy is made by the service, on its machine, below `embedded.backup-dir`, and has everything that was answered \
before. To restore it, stop the service and start it with the copy as `--data-dir`, or copy its files over those in \
the data directory. Tokens keep rising: they follow the clock.")]
pub(crate) struct BackupArgs {}

/// Runs the command.
///
/// # Errors
/// A [`Failure`] if there is no service, or it cannot make a copy.
pub(crate) async fn run(session: &Session) -> Result<(), Failure> {
    let reply = session.backend.backup().await?;
    if session.json() { print_json(&reply) } else { print(&format!("{}\n", reply.directory)) }
}
