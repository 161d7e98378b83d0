//! The differential test: the same random commands on the rules of the testkit and on Redis, every answer, every event
//! and every state compared (design §3). One bucket, so that all is exact; the time is the test's.
//!
//! `PROPTEST_CASES` asks for more scripts. A failure prints its shrunk script and is kept in
//! `differential.regressions`, which is tried first from then on.

mod common;

use std::sync::Arc;

use enhanced_locking_foundation::{Clock, EventCursor, LockBackend, ManualClock, Timestamp};
use enhanced_locking_redis::open;
use enhanced_locking_testkit::conformance::FixturePolicy;
use enhanced_locking_testkit::reference::{Lockstep, Move, Scope, Snapshot, Step, policies, steps};
use proptest::test_runner::{Config, FileFailurePersistence};
use proptest::{prop_assert, proptest};

const SCOPE: Scope = Scope { keys: 3, owners: 4, restarts: false };

fn config(cases: u32) -> Config {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential.regressions");
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    config.failure_persistence = Some(Box::new(FileFailurePersistence::Direct(file)));
    config.max_shrink_iters = 2_000;
    config
}

async fn play(bounds: FixturePolicy, script: &[Step], functions: bool) -> Result<(), String> {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_764_000_000_000_000)));
    let mut config = common::config(bounds, functions);
    config.clock = Some(clock.clone());
    let store = open(config).await.map_err(|e| e.to_string())?;
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
    store.close().await.map_err(|e| e.to_string())
}

fn played(bounds: FixturePolicy, script: &[Step], functions: bool) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(play(bounds, script, functions))
}

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn redis_does_what_the_reference_does(bounds in policies(), script in steps(SCOPE, 100..180)) {
        let played = played(bounds, &script, true);
        prop_assert!(played.is_ok(), "{}", played.unwrap_err());
    }

    #[test]
    fn a_script_does_what_the_reference_does(bounds in policies(), script in steps(SCOPE, 100..180)) {
        let played = played(bounds, &script, false);
        prop_assert!(played.is_ok(), "{}", played.unwrap_err());
    }
}
