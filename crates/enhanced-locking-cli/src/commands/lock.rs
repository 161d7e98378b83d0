//! `enhanced-locks lock`: takes a lock that outlives this process.

use std::time::Duration;

use clap::Args;
use enhanced_locking_client::api::{AcquireReply, HeldReply, PlaceView};
use enhanced_locking_foundation::{
    AcquireOutcome, ErrorCode, Lease, LockBackend, LockRecord, Timestamp, Wait,
};

use crate::acquire::{WishArgs, acquire, farewell, manager};
use crate::duration::parse_positive;
use crate::failure::{Failure, code};
use crate::identity::{KeyArgs, OwnerArgs};
use crate::output::{expiry, holder_line, place_line, print, print_json};
use crate::session::Session;
use crate::supervise::Signals;

/// Take a lock and keep it until `unlock`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The lock stays until `unlock`, unless --lease is given: then it runs out by itself if nobody calls `renew`. \
For the time of one command, `enhanced-locks run` is the safer way.

Examples:
  enhanced-locks lock --key prod/network --meta why='manual repair'
  enhanced-locks lock --from-atlantis-env --wait 0        in a workflow step of Atlantis")]
pub(crate) struct LockArgs {
    /// What is locked.
    #[command(flatten)]
    pub what: KeyArgs,
    /// Who locks.
    #[command(flatten)]
    pub who: OwnerArgs,
    /// How.
    #[command(flatten)]
    pub wish: WishArgs,
    /// Let the lock run out after this time unless it is renewed
    #[arg(long, value_name = "TIME", value_parser = parse_positive)]
    pub lease: Option<Duration>,
    /// Join the line and come back at once: the lock is handed over later, without anybody waiting here
    #[arg(long, conflicts_with_all = ["lease", "wait"])]
    pub queue: bool,
}

/// Runs the command.
///
/// # Errors
/// A [`Failure`]; exit code 75 if the lock was not acquired in time.
pub(crate) async fn run(mut args: LockArgs, session: &Session) -> Result<(), Failure> {
    args.what.settle(&mut args.who, session, args.wish.quiet)?;
    let owner = args.who.owner()?;
    let mut requests = args.wish.requests(&args.what, &args.who, &owner)?;
    for request in &mut requests {
        request.lease = args.lease.map_or(Lease::Sticky, Lease::For);
    }
    if args.queue {
        return queue(requests, session).await;
    }
    let mut signals = Signals::listen()?;
    let manager = manager(session);
    let guards = match acquire(session, &manager, requests, &args.wish, &mut signals).await {
        Ok(guards) => guards,
        Err(missed) => {
            farewell(&manager, missed.farewell, &mut signals).await;
            return Err(missed.failure);
        }
    };
    let records: Vec<_> = guards.into_iter().map(|guard| (guard.is_own(), guard.detach())).collect();
    // Asked before the end of the manager, which closes the connection; and only where it is shown.
    let shown = !session.json() && records.iter().any(|(fresh, _)| !fresh);
    let now = if shown { session.now().await.ok() } else { None };
    let _ = manager.shutdown(Duration::ZERO).await;
    for (fresh, record) in &records {
        let (key, token, id) = (&record.request.key, record.token, &record.request.id);
        if session.json() {
            print_json(&HeldReply::from(record))?;
        } else if *fresh {
            print(&format!("locked {key} with token {token}, id {id}\n"))?;
        } else {
            // The owner's own lock, as it is: what was asked for now did not change it.
            let until = now.map(|now| until(record, now)).unwrap_or_default();
            print(&format!("{key} is already held{until}; token {token}, id {id}\n"))?;
        }
    }
    Ok(())
}

/// How long a lock that was there before still lasts, as the rest of a sentence.
fn until(record: &LockRecord, now: Timestamp) -> String {
    match expiry(record, now).as_str() {
        "never" => ", never expires".to_owned(),
        other => format!(", expires {other}"),
    }
}

async fn queue(
    requests: Vec<enhanced_locking_foundation::AcquireRequest>,
    session: &Session,
) -> Result<(), Failure> {
    for mut request in requests {
        request.wait = Wait::Forever;
        let key = request.key.clone();
        let outcome = session.backend.acquire(request).await?;
        let now = session.now().await?;
        match outcome {
            AcquireOutcome::Held(record) if session.json() => {
                print_json(&AcquireReply::Held { lock: (&record).into() })?;
            }
            AcquireOutcome::Queued(place) if session.json() => {
                print_json(&AcquireReply::Queued(PlaceView::from(&place)))?;
            }
            AcquireOutcome::Held(record) => {
                print(&format!("locked {key} with token {}, id {}\n", record.token, record.request.id))?;
            }
            AcquireOutcome::Queued(place) => {
                print(&format!("in line for {key}, id {}: {}\n", place.request.id, place_line(&place, now)))?;
            }
            AcquireOutcome::Busy(holders) => {
                let by = holders.first().map(|holder| holder_line(holder, now)).unwrap_or_default();
                return Err(Failure::new(format!("{key} is held by {by}"))
                    .el(ErrorCode::LockHeld)
                    .code(code::NOT_ACQUIRED));
            }
        }
    }
    Ok(())
}
