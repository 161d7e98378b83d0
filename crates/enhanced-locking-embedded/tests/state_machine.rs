//! Long random scripts on the embedded store beside the naive reference, restarts included: every answer, every event, every state.
//!
//! `PROPTEST_CASES` asks for more scripts. A failure prints its shrunk script and is kept in
//! `state_machine.regressions`, which is tried first from then on.

use std::sync::Arc;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_embedded::{EmbeddedConfig, open};
use enhanced_locking_foundation::{Clock, EventCursor, LockBackend, LockEvent, ManualClock, Timestamp};
use enhanced_locking_queue::CreditTable;
use enhanced_locking_testkit::conformance::FixturePolicy;
use enhanced_locking_testkit::reference::{Lockstep, Move, Scope, Snapshot, Step, policies, steps};
use proptest::test_runner::{Config, FileFailurePersistence};
use proptest::{prop_assert, proptest};

const SCOPE: Scope = Scope { keys: 3, owners: 4, restarts: true };

fn config(cases: u32) -> Config {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/state_machine.regressions");
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    config.failure_persistence = Some(Box::new(FileFailurePersistence::Direct(file)));
    config.max_shrink_iters = 2_000;
    config
}

async fn news(store: &dyn LockBackend, cursor: &mut EventCursor) -> Result<Vec<LockEvent>, String> {
    let page = store.events(cursor, usize::MAX).await.map_err(|e| e.to_string())?;
    if page.missed {
        return Err(format!("events after {cursor} are not kept"));
    }
    *cursor = page.next;
    Ok(page.events)
}

async fn play(bounds: FixturePolicy, script: &[Step]) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_764_000_000_000_000)));
    let mut config = EmbeddedConfig::new(directory.path());
    config.map_size = 64 << 10;
    config.clock = Some(clock.clone());
    config.policy = TablePolicy {
        limits: bounds.limits,
        timing: bounds.timing,
        credits: CreditTable::new(bounds.credits),
    };
    let mut store = open(config.clone()).map_err(|e| e.to_string())?;
    let mut lockstep = Lockstep::new(bounds);
    let keys = Lockstep::keys(SCOPE.keys);
    let mut cursor = EventCursor::start();
    for step in script {
        match lockstep.next(step, clock.now()) {
            Move::Nothing => {}
            Move::Advance(by) => clock.advance(by),
            Move::Restart => {
                store.close().await.map_err(|e| e.to_string())?;
                store = open(config.clone()).map_err(|e| e.to_string())?;
                let events = news(&*store, &mut cursor).await?;
                let seen = Snapshot::read(&*store, &keys).await.map_err(|e| e.to_string())?;
                lockstep.restarted(clock.now(), &events, &seen)?;
            }
            Move::Ask(command) => {
                let answer = command.ask(&*store).await;
                let events = news(&*store, &mut cursor).await?;
                let seen = Snapshot::read(&*store, &keys).await.map_err(|e| e.to_string())?;
                lockstep.check(&command, clock.now(), answer, &events, &seen)?;
            }
        }
    }
    store.close().await.map_err(|e| e.to_string())
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn the_embedded_store_does_what_the_reference_does_across_restarts(
        bounds in policies(),
        script in steps(SCOPE, 100..180),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let played = runtime.block_on(play(bounds, &script));
        prop_assert!(played.is_ok(), "{}", played.unwrap_err());
    }
}
