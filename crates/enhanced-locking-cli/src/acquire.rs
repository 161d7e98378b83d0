//! Taking locks for a command: asking, waiting in sight of the user, giving up on a signal. Owns exit codes of not getting them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Args;
use enhanced_locking_foundation::{
    AcquireError, AcquireRequest, LockBackend, LockMode, Priority, PullRequest, Wait,
};
use enhanced_locking_manager::{LockError, LockGuard, LockManager, ManagerConfig, Progress};
use rustix::process::Signal;

use crate::failure::{Failure, code};
use crate::identity::{KeyArgs, OwnerArgs, metadata, parse_meta};
use crate::output::holder_line;
use crate::session::Session;
use crate::supervise::{Signals, killed_by};
use crate::surroundings;
use crate::waiting::{TICK, WaitingLine};

/// How long leaving a line or releasing may take once the command is over.
pub(crate) const FAREWELL: Duration = Duration::from_secs(5);
/// How long it may take while the service is away: the line forgets who is silent, and nobody waits for that here.
const FAREWELL_AWAY: Duration = Duration::from_secs(1);

/// A lock that was not acquired.
#[derive(Debug)]
pub(crate) struct Missed {
    /// Why, with the right exit code.
    pub failure: Failure,
    /// How long leaving the line is worth trying.
    pub farewell: Duration,
}

impl From<Failure> for Missed {
    fn from(failure: Failure) -> Self {
        Self { failure, farewell: FAREWELL }
    }
}

/// How a lock is wanted.
#[derive(Clone, Debug, Args)]
pub(crate) struct WishArgs {
    /// Alone, or together with other shared holders
    #[arg(long, value_name = "MODE", default_value = "exclusive", value_parser = ["exclusive", "shared"])]
    pub mode: String,
    /// How important it is; counts if the service has priorities switched on
    #[arg(long, value_name = "PRIORITY", default_value = "normal",
        value_parser = ["low", "normal", "high", "critical", "emergency"])]
    pub priority: String,
    /// How long to wait: a time such as 10m, `forever`, or 0 to not wait
    #[arg(long, value_name = "TIME", default_value = "forever", value_parser = crate::duration::parse_wait)]
    pub wait: Wait,
    /// The longest the lock may be held in all, renewals included
    #[arg(long, value_name = "TIME", value_parser = crate::duration::parse_positive)]
    pub max_age: Option<Duration>,
    /// A label to show, for example a link to the job; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_meta)]
    pub meta: Vec<(String, String)>,
    /// Say nothing while waiting
    #[arg(long, short)]
    pub quiet: bool,
}

impl WishArgs {
    /// The requests for all keys: everything but the lease.
    ///
    /// # Errors
    /// A [`Failure`] about what is missing or not allowed.
    pub(crate) fn requests(
        &self,
        what: &KeyArgs,
        who: &OwnerArgs,
        owner: &enhanced_locking_foundation::OwnerId,
    ) -> Result<Vec<AcquireRequest>, Failure> {
        let pull: Option<PullRequest> = who.pull(what)?;
        let labels = metadata(&self.meta)?;
        let mode = if self.mode == "shared" { LockMode::Shared } else { LockMode::Exclusive };
        let priority = Priority::ALL.into_iter().find(|priority| priority.as_str() == self.priority);
        what.resolve()?
            .into_iter()
            .map(|key| {
                let mut request = AcquireRequest::new(key, owner.clone())
                    .mode(mode)
                    .priority(priority.unwrap_or_default())
                    .wait(self.wait)
                    .metadata(labels.clone());
                request.user = who.user();
                request.pull = pull.clone();
                request.max_age = self.max_age;
                request.check()?;
                Ok(request)
            })
            .collect()
    }
}

/// A manager over the service.
pub(crate) fn manager(session: &Session) -> LockManager {
    LockManager::start(session.backend.clone(), ManagerConfig::remote())
}

/// Takes all of the locks, waiting as long as was asked for. A signal leaves the line.
///
/// # Errors
/// [`Missed`]; nothing is held then, and nothing waits after the [`farewell`].
pub(crate) async fn acquire(
    session: &Session,
    manager: &LockManager,
    requests: Vec<AcquireRequest>,
    wish: &WishArgs,
    signals: &mut Signals,
) -> Result<Vec<LockGuard>, Missed> {
    // A service that is not there at all is a mistake to be told at once; one that goes away later is waited for.
    let now = tokio::select! {
        now = session.backend.now() => now.map_err(Failure::from)?,
        signal = signals.next_stop() => return Err(Failure::silent(killed_by(signal)).into()),
    };
    for request in &requests {
        surroundings::check(&*session.backend, request, &crate::identity::environment).await?;
    }
    let line = WaitingLine::new(session.err, session.format, wish.quiet, now);
    let line = Arc::new(Mutex::new(line));
    let show = line.clone();
    let with_line = move |act: &mut dyn FnMut(&mut WaitingLine)| {
        if let Ok(mut line) = show.lock() {
            act(&mut line);
        }
    };
    let watcher = {
        let with_line = with_line.clone();
        move |progress: Progress<'_>| with_line(&mut |line| line.note(&progress))
    };
    let asking = ask(manager, requests, wish.wait, watcher);
    let mut asking = std::pin::pin!(asking);
    let mut tick = tokio::time::interval(TICK);
    let answer = loop {
        tokio::select! {
            answer = &mut asking => break Ok(answer),
            signal = signals.next_stop() => break Err(signal),
            _ = tick.tick() => with_line(&mut |line| line.show()),
        }
    };
    let (mut waited, mut trouble) = (None, None);
    with_line(&mut |line| {
        line.clear();
        waited = line.waited();
        trouble = line.trouble().map(str::to_owned);
    });
    let farewell = if trouble.is_some() { FAREWELL_AWAY } else { FAREWELL };
    match answer {
        Ok(Ok(guards)) => {
            if let (Some(waited), false) = (waited, wish.quiet) {
                say_acquired(session, &guards, waited);
            }
            Ok(guards)
        }
        Ok(Err(error)) => {
            let failure = match (error, trouble) {
                (error @ LockError::TimedOut { .. }, Some(trouble)) => out_of_reach(&error, &trouble),
                (error, _) => not_acquired(error, session.backend.now().await.unwrap_or(now)),
            };
            Err(Missed { failure, farewell })
        }
        Err(signal) => Err(Missed { failure: Failure::silent(killed_by(signal)), farewell }),
    }
}

fn say_acquired(session: &Session, guards: &[LockGuard], waited: Duration) {
    for guard in guards {
        if session.json() {
            let held = enhanced_locking_client::api::HeldReply::from(&guard.record());
            eprintln!("{}", serde_json::to_string(&held).unwrap_or_default());
        } else {
            let waited = crate::duration::human(waited);
            eprintln!("enhanced-locks: got {} with token {} after {waited}", guard.key(), guard.token());
        }
    }
}

async fn ask(
    manager: &LockManager,
    mut requests: Vec<AcquireRequest>,
    wait: Wait,
    watcher: impl FnMut(Progress<'_>) + Send,
) -> Result<Vec<LockGuard>, LockError> {
    match (requests.pop(), requests.is_empty()) {
        (Some(only), true) => Ok(vec![manager.acquire(only).watch(watcher).await?]),
        (last, _) => {
            requests.extend(last);
            Ok(manager.acquire_all(requests, wait).watch(watcher).await?.into_guards())
        }
    }
}

/// Ends the manager: waits for cancels and releases under way, but not for ever, and not after a second signal.
pub(crate) async fn farewell(manager: &LockManager, grace: Duration, signals: &mut Signals) {
    tokio::select! {
        _ = manager.shutdown(grace) => {}
        _ = signals.next_stop() => {}
    }
}

/// The time ran out while the service was away: who held the lock before that is not what stood in the way.
fn out_of_reach(error: &LockError, trouble: &str) -> Failure {
    let what = match error {
        LockError::TimedOut { key, .. } => key.as_str(),
        _ => "the lock",
    };
    Failure::new(format!("{what} was not acquired in time: {trouble}"))
        .el(error.code())
        .hint("look with `enhanced-locks health` how the service is, and try again")
        .code(code::NOT_ACQUIRED)
}

/// Why the lock was not acquired, and the exit code for it.
fn not_acquired(error: LockError, now: enhanced_locking_foundation::Timestamp) -> Failure {
    let detail = error.code();
    match error {
        LockError::Busy { key, holders } => {
            let by = match holders.first() {
                Some(holder) => format!("{key} is held by {}", holder_line(holder, now)),
                None => format!("{key} is about to be handed to somebody ahead in line"),
            };
            Failure::new(by)
                .el(detail)
                .hint("wait for it with --wait, or look at the line with `enhanced-locks queue`")
                .code(code::NOT_ACQUIRED)
        }
        LockError::Refused(error @ (AcquireError::Backend(_) | AcquireError::Value(_))) => error.into(),
        LockError::Refused(error) => Failure::from(error).code(code::NOT_ACQUIRED),
        LockError::NotHeld(error) => error.into(),
        LockError::ShutDown { .. } => Failure::new(error.to_string()).el(detail).code(code::UNREACHABLE),
        error => Failure::new(error.to_string()).el(detail).code(code::NOT_ACQUIRED),
    }
}

/// What a command finds in its environment about its locks.
pub(crate) fn environment(guards: &[LockGuard]) -> Vec<(&'static str, String)> {
    let Some(first) = guards.first() else { return Vec::new() };
    let all: Vec<BTreeMap<&str, serde_json::Value>> = guards
        .iter()
        .map(|guard| {
            BTreeMap::from([
                ("key", guard.key().as_str().into()),
                ("id", guard.id().as_str().into()),
                ("token", guard.token().as_u64().into()),
            ])
        })
        .collect();
    vec![
        ("ENHANCED_LOCK_KEY", first.key().to_string()),
        ("ENHANCED_LOCK_ID", first.id().to_string()),
        ("ENHANCED_LOCK_TOKEN", first.token().to_string()),
        ("ENHANCED_LOCKS", serde_json::to_string(&all).unwrap_or_default()),
    ]
}

/// A signal that came before there was a command to pass it to.
pub(crate) fn interrupted(signals: &mut Signals) -> Option<Signal> {
    signals.pending_stop()
}
