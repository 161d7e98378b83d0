//! `enhanced-locks run`: a command under a lock. Owns the order of things: acquire, start, watch, release; see [`crate::supervise`] for signals.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use enhanced_locking_foundation::{Lease, ReleaseError};
use enhanced_locking_manager::{LeaseState, LockGuard};

use crate::acquire::{FAREWELL, WishArgs, acquire, environment, farewell, interrupted, manager};
use crate::duration::{human, parse};
use crate::failure::{Failure, code};
use crate::identity::{KeyArgs, OwnerArgs};
use crate::session::Session;
use crate::supervise::{Ended, Grouping, Launch, Signals, Supervisor, describe, killed_by};

/// The shortest lease that can be renewed in time on a machine and a network that are busy with other things.
const LEASE_MIN: Duration = Duration::from_secs(1);

/// Take a lock, run a command, release the lock
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The command finds its lock in ENHANCED_LOCK_KEY, ENHANCED_LOCK_ID and ENHANCED_LOCK_TOKEN (with several keys: the \
first one, and all of them as JSON in ENHANCED_LOCKS). Pass the token to what it changes and let that refuse lower \
ones: a lease alone cannot stop a process that slept through it.

Exits with the code of the command (128+N if signal N ended it), 75 if the lock was not acquired within --wait, \
76 if the lock was lost and the command was stopped, 69 if the service cannot be reached.

Examples:
  enhanced-locks run --key prod/network -- terraform apply
  enhanced-locks run --repo acme/infra --path envs/prod --wait 10m -- make deploy
  enhanced-locks run --key a --key b --mode shared -- ./report.sh")]
pub(crate) struct RunArgs {
    /// What is locked.
    #[command(flatten)]
    pub what: KeyArgs,
    /// Who locks.
    #[command(flatten)]
    pub who: OwnerArgs,
    /// How.
    #[command(flatten)]
    pub wish: WishArgs,
    /// How long the lock outlives this process if it is killed, or cut off from the service; at least 1s
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_lease)]
    pub lease: Duration,
    /// How long the command has between SIGTERM and SIGKILL when the lock is lost
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse)]
    pub kill_after: Duration,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Reads a lease that can be kept.
fn parse_lease(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        lease if lease < LEASE_MIN => Err(format!(
            "too short to be renewed in time: the lock would be lost while the command works; use {} or longer",
            human(LEASE_MIN)
        )),
        lease => Ok(lease),
    }
}

/// Runs the command. Must be called on the thread that lives longest, see [`Launch::start`].
///
/// # Errors
/// A [`Failure`]: also for a command that ends with another code than 0, then without a message.
pub(crate) async fn run(mut args: RunArgs, session: &Session) -> Result<(), Failure> {
    args.what.settle(&mut args.who, session, args.wish.quiet)?;
    let owner = args.who.owner_of_a_run()?;
    let mut requests = args.wish.requests(&args.what, &args.who, &owner)?;
    for request in &mut requests {
        request.lease = Lease::For(args.lease);
        request.check()?;
    }
    let mut signals = Signals::listen()?;
    let manager = manager(session);
    let (code, grace) = match acquire(session, &manager, requests, &args.wish, &mut signals).await {
        Ok(guards) => (guarded(&args, guards, session, &mut signals).await, FAREWELL),
        Err(missed) => (Err(missed.failure), missed.farewell),
    };
    farewell(&manager, grace, &mut signals).await;
    match code? {
        0 => Ok(()),
        code => Err(Failure::silent(code)),
    }
}

/// Runs the command while the locks are held, and releases them, however it ends.
async fn guarded(
    args: &RunArgs,
    guards: Vec<LockGuard>,
    session: &Session,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    if let Some(signal) = interrupted(signals) {
        release(guards, session).await;
        return Ok(killed_by(signal));
    }
    let launch = Launch {
        command: args.command.clone(),
        environment: environment(&guards),
        grouping: Grouping::detect(),
        json: session.json(),
        tied: true,
    };
    let supervisor = match Supervisor::start(&launch, args.kill_after, signals) {
        Ok(supervisor) => supervisor,
        Err(error) => {
            release(guards, session).await;
            let program = args.command.first().cloned().unwrap_or_default();
            let (code, message) = describe(&program, &error);
            return Err(Failure::new(message).code(code));
        }
    };
    let ended = {
        let watch = watch(&guards, args.kill_after, session, args.wish.quiet);
        supervisor.run(signals, watch).await
    };
    let lost = guards.iter().any(|guard| !guard.is_valid());
    let released = release(guards, session).await;
    let ended = ended?;
    if let Ended::Lost { stuck } = ended {
        if stuck > 0 {
            session.warn(&format!("{stuck} processes of the command did not end, even by SIGKILL"));
        }
    } else if lost || !released {
        // The command was done before it could be stopped; its result stands, but its user should know.
        session.warn(
            "the lock was lost before the command ended; somebody else may have worked at the same time",
        );
    }
    Ok(ended.code(code::LOST))
}

/// Comes back when a lock is lost, having said so. Tells on the way if one is at risk.
async fn watch(guards: &[LockGuard], grace: Duration, session: &Session, quiet: bool) {
    let signals = guards.iter().map(|guard| async move {
        loop {
            guard.at_risk().wait().await;
            if !guard.is_valid() {
                return guard;
            }
            if !quiet {
                let left = guard.valid_until().map(|until| until.saturating_duration_since(tokio::time::Instant::now()));
                let left = left.map(|left| format!(" within {}", human(left))).unwrap_or_default();
                session.warn(&format!(
                    "the lock {} could not be renewed for a while; the command is stopped unless it can be{left}",
                    guard.key()
                ));
            }
            // Until the next renewal, or the end.
            let lost = guard.lost();
            while guard.state() == LeaseState::AtRisk {
                let _ = tokio::time::timeout(Duration::from_millis(200), lost.wait()).await;
            }
        }
    });
    let guard = first(signals.collect()).await;
    let LeaseState::Lost(reason) = guard.state() else { return };
    let key = guard.key();
    if session.json() {
        let token = guard.token();
        eprintln!(
            "{}",
            serde_json::json!({"state": "lost", "key": key, "token": token, "detail": reason.to_string()})
        );
    } else {
        let grace = human(grace);
        eprintln!(
            "enhanced-locks: the lock {key} is lost: {reason}; stopping the command (SIGKILL after {grace})"
        );
    }
}

/// The first of several futures to complete.
async fn first<T>(futures: Vec<impl Future<Output = T>>) -> T {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(move |context| {
        for future in &mut futures {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(context) {
                return std::task::Poll::Ready(value);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// Releases all locks; whether they were still held. What cannot be released now is left to its lease.
async fn release(guards: Vec<LockGuard>, session: &Session) -> bool {
    let mut held = true;
    for guard in guards {
        if !guard.is_own() && guard.is_valid() {
            // The owner held it before this command, and goes on holding it.
            continue;
        }
        let (key, lost) = (guard.key().clone(), !guard.is_valid());
        match tokio::time::timeout(FAREWELL, guard.release()).await {
            Ok(Ok(_)) => {}
            Ok(Err(ReleaseError::NotHeld(_))) => held = false,
            Ok(Err(_)) | Err(_) if lost => held = false,
            Ok(Err(error)) => session
                .warn(&format!("{key} could not be released, it is free when its lease runs out: {error}")),
            Err(_) => session
                .warn(&format!("{key} could not be released in time, it is free when its lease runs out")),
        }
    }
    held
}
