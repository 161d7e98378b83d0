//! The service is killed at random moments under load. Every acknowledged change is there afterwards, none that was
//! not acknowledged is half applied, no token repeats, and some order of all calls explains all answers.
//!
//! `CRASH_KILLS` says how often (`cargo xtask crash` sets 200), `CRASH_SEED` repeats the choices of a run; threads and
//! processes are still scheduled by the system.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic")]

mod calls;
mod client;
mod feed;
mod ledger;
mod steps;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use enhanced_locking_foundation::{Grant, LockEvent};
use enhanced_locking_testkit::history::{self, Recorder};
use enhanced_locking_tests::poll::pause;
use enhanced_locking_tests::random::{number, seed};
use enhanced_locking_tests::{Deadline, Random, Service, until};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::calls::{Calls, Counts};
use crate::client::Client;
use crate::ledger::Ledger;

const KILLS: u64 = 12;
const CLIENTS: u32 = 12;
/// After so many kills the clients go on with new keys.
const EPOCH: u64 = 3;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A run of the test: the service, and what everybody shares.
struct Run {
    service: Service,
    ledger: Arc<Ledger>,
    counts: Arc<Counts>,
    up: watch::Sender<bool>,
    epoch: Arc<AtomicU64>,
    checks: u64,
    audits: u64,
}

impl Run {
    fn calls(&self) -> Calls {
        Calls::new(&self.service.url(), self.ledger.clone(), self.up.subscribe(), self.counts.clone())
    }

    /// Kills the service again and again while others work.
    fn kill(&mut self, kills: u64, random: &mut Random) {
        for kill in 1..=kills {
            pause(random.millis(5, 200));
            self.up.send_replace(false);
            self.service.kill();
            if kill % EPOCH == 0 {
                self.epoch.fetch_add(1, Ordering::Relaxed);
            }
            if random.percent(25) {
                self.check_store(&format!("after kill {kill}"));
            }
            if random.percent(20) {
                // Once more, while it still gets up.
                self.service.spawn();
                pause(random.millis(0, 60));
                self.service.kill();
            }
            pause(random.millis(0, 30));
            self.service.restart();
            self.up.send_replace(true);
            self.audit(&format!("after kill {kill}"));
            if !self.ledger.defects().is_empty() {
                return;
            }
        }
    }

    /// Checks every page, record and rule of the store while nobody has it open.
    fn check_store(&mut self, when: &str) {
        match enhanced_locking_embedded::check(self.service.store()) {
            Ok(_) => self.checks += 1,
            Err(error) => {
                self.ledger.defect(format!("{when}: {error}: {:?}", std::error::Error::source(&error)))
            }
        }
    }

    fn audit(&mut self, when: &str) -> ledger::Shown {
        self.audits += 1;
        let calls = self.calls();
        match runtime().block_on(self.ledger.audit(when, &calls.service)) {
            Ok(shown) => shown,
            Err(error) => {
                self.ledger.defect(format!("{when}: the service does not show its locks: {error:?}"));
                ledger::Shown::default()
            }
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_half_applied() {
    let (seed, kills) = (seed("CRASH_SEED"), number("CRASH_KILLS").unwrap_or(KILLS));
    let again = format!("cargo xtask crash --kills {kills} --seed {seed}");
    println!("crash: {kills} kills, seed {seed}; again with: {again}");
    let begun = Deadline::after(Duration::MAX);
    let random = Random::new(seed);
    let mut run = Run {
        service: Service::start_with(&["--set", "locks.claim-window=3s"]),
        ledger: Arc::default(),
        counts: Arc::default(),
        up: watch::Sender::new(true),
        epoch: Arc::default(),
        checks: 0,
        audits: 0,
    };
    let recorder = Recorder::new();
    let events = under_load(&mut run, &recorder, &random, |run, random| run.kill(kills, random));
    let held = settle(&mut run);
    let calls = run.calls();
    runtime().block_on(feed::check(&calls, &events, &run.ledger.tokens()));
    run.service.stop();
    match enhanced_locking_embedded::check(run.service.store()) {
        Ok(report) if report.locks != held.len() || report.waiting != 0 => {
            run.ledger.defect(format!("{} locks are held, the store says {report:?}", held.len()));
        }
        Ok(report) if report.last_token < run.ledger.highest_token().as_u64() => {
            run.ledger.defect(format!("{} was told, the store says {report:?}", run.ledger.highest_token()));
        }
        Ok(_) => {}
        Err(error) => run.ledger.defect(format!("the store is not sound: {error}")),
    }
    let mut history = recorder.finish();
    history.held_at_end = Some(held);
    let report = history::check(&history);
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "crash: {kills} kills, {} calls answered, {} with unknown outcome, {} not sent; {} operations, {} grants, {} events; \
         {} audits, {} checks of the store between; {:?}; seed {seed}",
        count(&run.counts.answered),
        count(&run.counts.unknown),
        count(&run.counts.unreachable),
        report.ops,
        report.grants,
        events.len(),
        run.audits,
        run.checks,
        begun.elapsed(),
    );
    let mut defects = run.ledger.defects();
    for defect in &report.defects {
        let mut ops: Vec<_> = history.ops.iter().filter(|op| op.key == defect.key).collect();
        ops.sort_by_key(|op| op.invoked);
        let ops: String = ops.iter().map(|op| format!("\n    {op}")).collect();
        defects.push(format!("{defect}; the calls on this key:{ops}"));
    }
    defects.extend(
        report.undecided.iter().map(|key| format!("no order was found for the calls on {key} in time")),
    );
    assert!(defects.is_empty(), "{} defects:\n{}\nagain with: {again}", defects.len(), defects.join("\n"));
    assert!(
        report.grants > 0 && count(&run.counts.unknown) > 0,
        "the kills hit no work; again with: {again}"
    );
}

/// Lets the clients and a reader of the feed work while `trouble` happens; returns what the reader read.
fn under_load(
    run: &mut Run,
    recorder: &Recorder,
    random: &Random,
    trouble: impl FnOnce(&mut Run, &mut Random),
) -> Vec<LockEvent> {
    let (stop, feed_over) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (stop, feed_over) = (&stop, &feed_over);
        let over = Over { flags: [stop, feed_over], up: run.up.clone() };
        let clients: Vec<_> = (1..=CLIENTS)
            .map(|number| {
                let (calls, recorder, random) = (run.calls(), recorder.clone(), random.fork(number.into()));
                let client = Client::new(number, calls, recorder, random, run.epoch.clone());
                scope.spawn(move || runtime().block_on(client.work(stop)))
            })
            .collect();
        let calls = run.calls();
        let reader = scope.spawn(move || runtime().block_on(feed::follow(&calls, feed_over)));
        trouble(run, &mut random.fork(0));
        stop.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().unwrap();
        }
        drop(over);
        reader.join().unwrap()
    })
}

/// Ends the work however the trouble ends: a thread that waits for a dead service would wait for ever.
struct Over<'a> {
    flags: [&'a AtomicBool; 2],
    up: watch::Sender<bool>,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.flags.iter().for_each(|flag| flag.store(true, Ordering::SeqCst));
        self.up.send_replace(true);
    }
}

/// Stops in good order and starts again, and waits until only those locks are held that clients keep.
fn settle(run: &mut Run) -> Vec<Grant> {
    run.service.stop();
    run.service.restart();
    let kept: BTreeSet<(String, u64)> =
        run.ledger.held().iter().map(|grant| (grant.id.to_string(), grant.token.as_u64())).collect();
    let mut held = Vec::new();
    until("only what clients keep is held, and nobody waits", || {
        let shown = run.audit("at the end");
        held = shown.locks.iter().map(enhanced_locking_foundation::LockRecord::grant).collect();
        let shown_ids: BTreeSet<_> =
            held.iter().map(|grant| (grant.id.to_string(), grant.token.as_u64())).collect();
        !run.ledger.defects().is_empty() || (shown_ids == kept && shown.queues.is_empty())
    });
    held
}
