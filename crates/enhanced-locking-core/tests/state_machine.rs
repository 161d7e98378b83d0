//! Long random scripts on the table, and on the store in memory, beside the naive reference: every answer, every event, every state.
//!
//! `PROPTEST_CASES` asks for more scripts. A failure prints its shrunk script and is kept in
//! `state_machine.regressions`, which is tried first from then on.

mod support;

use std::sync::Arc;

use enhanced_locking_core::LockTable;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::{Clock, EventCursor, LockBackend, ManualClock, Timestamp};
use enhanced_locking_testkit::conformance::FixturePolicy;
use enhanced_locking_testkit::reference::{Lockstep, Move, Scope, Snapshot, Step, policies, steps};
use proptest::test_runner::{Config, FileFailurePersistence};
use proptest::{prop_assert, proptest};
use support::{ask, policy, snapshot};

const SCOPE: Scope = Scope { keys: 3, owners: 4, restarts: false };

fn config(cases: u32) -> Config {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/state_machine.regressions");
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    config.failure_persistence = Some(Box::new(FileFailurePersistence::Direct(file)));
    config.max_shrink_iters = 20_000;
    config
}

fn start() -> Timestamp {
    Timestamp::from_micros(1_764_000_000_000_000)
}

fn play_table(bounds: FixturePolicy, script: &[Step]) -> Result<(), String> {
    let mut table = LockTable::new(policy(bounds));
    let mut lockstep = Lockstep::new(bounds);
    let keys = Lockstep::keys(SCOPE.keys);
    let mut now = start();
    for step in script {
        match lockstep.next(step, now) {
            Move::Advance(by) => now = now.plus(by),
            Move::Restart | Move::Nothing => {}
            Move::Ask(command) => {
                let answer = ask(&mut table, &command, now);
                let events = table.take_effects().events;
                table
                    .check_invariants(now)
                    .map_err(|violation| format!("{violation:?} after {command:?}"))?;
                lockstep.check(&command, now, answer, &events, &snapshot(&table, &keys, now)?)?;
            }
        }
    }
    Ok(())
}

async fn play_memory(bounds: FixturePolicy, script: &[Step]) -> Result<(), String> {
    let clock = Arc::new(ManualClock::new(start()));
    let store = MemoryBackend::new(policy(bounds), clock.clone());
    let mut lockstep = Lockstep::new(bounds);
    let keys = Lockstep::keys(SCOPE.keys);
    let mut cursor = EventCursor::start();
    for step in script {
        match lockstep.next(step, clock.now()) {
            Move::Advance(by) => clock.advance(by),
            Move::Restart | Move::Nothing => {}
            Move::Ask(command) => {
                let answer = command.ask(&*store).await;
                let page = store.events(&cursor, usize::MAX).await.map_err(|e| e.to_string())?;
                cursor = page.next;
                let seen = Snapshot::read(&*store, &keys).await.map_err(|e| e.to_string())?;
                lockstep.check(&command, clock.now(), answer, &page.events, &seen)?;
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn the_table_does_what_the_reference_does(bounds in policies(), script in steps(SCOPE, 100..180)) {
        let played = play_table(bounds, &script);
        prop_assert!(played.is_ok(), "{}", played.unwrap_err());
    }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn the_store_in_memory_does_what_the_reference_does(
        bounds in policies(),
        script in steps(SCOPE, 100..180),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let played = runtime.block_on(play_memory(bounds, &script));
        prop_assert!(played.is_ok(), "{}", played.unwrap_err());
    }
}
