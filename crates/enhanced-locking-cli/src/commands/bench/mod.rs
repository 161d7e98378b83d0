//! `enhanced-locks bench`: how fast a service is, and whether it was right all the while. Owns the arguments, the time it goes
//! on and the end of it.

mod caller;
mod ledger;
mod progress;
mod report;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use enhanced_locking_foundation::RequestId;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::session::Session;
use crate::supervise::{Signals, killed_by};

use caller::{Caller, Seen};
use ledger::Ledger;
use progress::Progress;
use report::Report;

/// Measure how fast the service is, and check that it is right
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A pair is an acquire and a release, both acknowledged. Callers that find their key held stand in line.
Checked all the while: never do two callers hold one key, and tokens of a key only rise; exit code 1 if not.

  enhanced-locks bench --callers 64                 everybody on keys of their own
  enhanced-locks bench --callers 64 --contended     everybody on one key: what a hand-off costs
  enhanced-locks bench --callers 64 --keys 8 --pairs 10000 --output json")]
pub(crate) struct BenchArgs {
    /// How many callers there are at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub callers: u32,
    /// How many keys there are; callers share them if there are fewer [default: one for each caller]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub keys: Option<u32>,
    /// Let all callers contend for one key; the same as --keys 1
    #[arg(long, conflicts_with = "keys")]
    pub contended: bool,
    /// How many pairs there are to be in all, instead of a duration
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    pub pairs: Option<u64>,
    /// How long it goes on
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = crate::duration::parse_positive)]
    pub duration: Duration,
    /// How long each lock is held
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = crate::duration::parse)]
    pub hold: Duration,
    /// Keys begin with bench/NAME/: runs with the same name share them [default: a new name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// A [`Failure`] if the service cannot be used, calls failed, or locks were not right.
pub(crate) async fn run(args: BenchArgs, session: &Session) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    // A service that is not there is told at once.
    session.now().await?;
    let keys = if args.contended { 1 } else { args.keys.unwrap_or(args.callers) };
    let name = args.name.clone().unwrap_or_else(new_name);
    let ledger = Arc::new(Ledger::new(&name, keys)?);
    let work =
        Arc::new(Work { left: AtomicU64::new(args.pairs.unwrap_or(u64::MAX)), done: AtomicU64::new(0) });
    let (stop, stopped) = watch::channel(false);
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for number in 0..args.callers {
        let caller = Caller {
            backend: session.backend.clone(),
            ledger: Arc::clone(&ledger),
            work: Arc::clone(&work),
            number,
            callers: args.callers,
            hold: args.hold,
            stopped: stopped.clone(),
        };
        callers.spawn(caller.run());
    }
    let mut progress = Progress::new(session, args.pairs, args.duration);
    let mut tick = tokio::time::interval(progress::TICK);
    let end = start.checked_add(args.duration).filter(|_| args.pairs.is_none());
    let mut seen = Seen::new()?;
    let mut interrupted = None;
    loop {
        tokio::select! {
            done = callers.join_next() => match done {
                Some(Ok(of_one)) => seen.add(&of_one?)?,
                Some(Err(error)) => return Err(Failure::new(format!("a caller broke down: {error}"))),
                None => break,
            },
            signal = signals.next_stop() => {
                // The second one does not wait for those who tidy up.
                if interrupted.replace(signal).is_some() {
                    break;
                }
                let _ = stop.send(true);
            }
            () = at(end), if !*stop.borrow() => {
                let _ = stop.send(true);
            }
            _ = tick.tick() => progress.show(start.elapsed(), work.done.load(Ordering::Relaxed)),
        }
    }
    progress.clear();
    let report =
        Report { callers: args.callers, keys, name, took: start.elapsed(), seen, broken: ledger.broken() };
    report.print(session)?;
    interrupted.map_or_else(|| report.verdict(), |signal| Err(Failure::silent(killed_by(signal))))
}

/// How much there is to do, and was done.
#[derive(Debug)]
struct Work {
    /// Pairs that nobody has begun yet.
    left: AtomicU64,
    done: AtomicU64,
}

impl Work {
    /// Takes one pair to do; `false` if there are none.
    fn take(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

/// A name that no other run has.
fn new_name() -> String {
    // The end of an id is random, its beginning is the time.
    RequestId::generate().as_str().chars().rev().take(8).collect()
}

async fn at(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_pairs_are_begun_than_there_are_to_be() {
        let work = Work { left: AtomicU64::new(2), done: AtomicU64::new(0) };
        assert_eq!([work.take(), work.take(), work.take(), work.take()], [true, true, false, false]);
    }

    #[test]
    fn runs_have_names_of_their_own() {
        assert_ne!(new_name(), new_name());
    }
}
