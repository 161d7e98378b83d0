//! `enhanced-locks renew`: a sign of life for a lock that no process holds on to.

use std::time::Duration;

use clap::Args;
use enhanced_locking_client::api::HeldReply;
use enhanced_locking_foundation::{LockBackend, Renewal};

use super::HeldArgs;
use crate::duration::parse_positive;
use crate::failure::{Failure, code};
use crate::output::{expiry, print, print_json};
use crate::session::Session;

/// Extend the lease of a lock
#[derive(Clone, Debug, Args)]
pub(crate) struct RenewArgs {
    /// Which lock.
    #[command(flatten)]
    pub held: HeldArgs,
    /// A new lease from now on, for example 10m [default: the one it has]
    #[arg(long, value_name = "TIME", value_parser = parse_positive)]
    pub lease: Option<Duration>,
}

/// Runs the command.
///
/// # Errors
/// A [`Failure`] if it is not held; exit code 76 if it was and is lost.
pub(crate) async fn run(mut args: RenewArgs, session: &Session) -> Result<(), Failure> {
    let record = args.held.find(session).await?;
    if args.lease.is_some() && record.request.lease.is_sticky() {
        // The service would confirm the lock and leave it as it is.
        return Err(Failure::new(format!("{} is sticky and has no lease", record.request.key))
            .hint("unlock it and lock anew with --lease"));
    }
    let renewal = Renewal { grant: record.grant(), lease: args.lease };
    let results = session.backend.renew(vec![renewal]).await?;
    let record = match results.into_iter().next() {
        Some(Ok(record)) => record,
        Some(Err(error)) => return Err(Failure::from(error).code(code::LOST)),
        None => return Err(Failure::new("the service did not answer the renewal")),
    };
    if session.json() {
        return print_json(&HeldReply::from(&record));
    }
    let until = expiry(&record, session.now().await?);
    print(&format!("{} is held, expires {until}\n", record.request.key))
}
