//! The differential test: the same random commands on the rules of the testkit and on Redis, every answer, every event
//! and every state compared (design §3). One bucket, so that all is exact; the time is the test's. One at a time, and in
//! groups that go in one call of the script each.
//!
//! `PROPTEST_CASES` asks for more scripts. A failure prints its shrunk script and is kept in
//! `differential.regressions`, which is tried first from then on.

mod common;
mod together;

use std::sync::Arc;

use enhanced_locking_foundation::{
    BackendError, Clock, EventCursor, EventPage, LockBackend, ManualClock, Timestamp,
};
use enhanced_locking_redis::{RedisBackend, open};
use enhanced_locking_testkit::conformance::FixturePolicy;
use enhanced_locking_testkit::reference::{
    Answer, Command, Lockstep, Move, Scope, Snapshot, Step, policies, steps,
};
use futures_util::future::{FutureExt as _, join_all};
use proptest::test_runner::{Config, FileFailurePersistence};
use proptest::{prop_assert, proptest};

use self::together::together;

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

/// A store, and the reference beside it.
struct Pair {
    clock: Arc<ManualClock>,
    store: Arc<RedisBackend>,
    lockstep: Lockstep,
    cursor: EventCursor,
    groups: usize,
}

impl Pair {
    async fn new(bounds: FixturePolicy, functions: bool) -> Result<Self, String> {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_764_000_000_000_000)));
        let mut config = common::config(bounds, functions);
        config.clock = Some(clock.clone());
        let store = open(config).await.map_err(|e| e.to_string())?;
        Ok(Self { clock, store, lockstep: Lockstep::new(bounds), cursor: EventCursor::start(), groups: 0 })
    }

    /// Asks in one call and compares all in its order. In every third group the feed is read after every command; not in
    /// all, because a question has written down what commands before it have only noted.
    async fn ask(&mut self, group: &mut Vec<Command>) -> Result<(), String> {
        let store: &dyn LockBackend = &*self.store;
        self.groups += 1;
        let feeds = self.groups.is_multiple_of(3);
        let asked = group.iter().flat_map(|command| {
            let cursor = &self.cursor;
            let answer = async { Seen::Answer(command.ask(store).await) };
            let page = async { Seen::Events(store.events(cursor, usize::MAX).await) };
            std::iter::once(answer.left_future()).chain(feeds.then(|| page.right_future()))
        });
        // One alone goes by itself, as most calls do.
        let seen = if group.len() == 1 { join_all(asked).await } else { together(store, asked).await };
        let (now, mut seen) = (self.clock.now(), seen.into_iter());
        for command in group.drain(..) {
            let Some(Seen::Answer(answer)) = seen.next() else { return Err("answers got lost".to_owned()) };
            self.lockstep.check_answer(&command, now, answer)?;
            if feeds {
                let Some(Seen::Events(page)) = seen.next() else { return Err("answers got lost".to_owned()) };
                self.lockstep.check_events(&page.map_err(|e| e.to_string())?.events)?;
            }
        }
        let page = store.events(&self.cursor, usize::MAX).await.map_err(|e| e.to_string())?;
        let found = Snapshot::read(store, &Lockstep::keys(SCOPE.keys)).await.map_err(|e| e.to_string())?;
        self.cursor = page.next;
        self.lockstep.check_state(now, &page.events, &found)
    }
}

/// What came of one of several that went together.
enum Seen {
    Answer(Answer),
    Events(Result<EventPage, BackendError>),
}

/// Plays a script. With `most` above one, so many commands at most go in one call.
async fn play(bounds: FixturePolicy, script: &[Step], functions: bool, most: usize) -> Result<(), String> {
    let mut pair = Pair::new(bounds, functions).await?;
    let mut group = Vec::new();
    for (at, step) in script.iter().enumerate() {
        match pair.lockstep.next(step, pair.clock.now()) {
            Move::Advance(by) => {
                pair.ask(&mut group).await?;
                pair.clock.advance(by);
            }
            Move::Restart | Move::Nothing => {}
            // Renewals go in calls of their own.
            Move::Ask(command @ Command::Renew(_)) => {
                pair.ask(&mut group).await?;
                pair.ask(&mut vec![command]).await?;
            }
            Move::Ask(command) => {
                group.push(command);
                // Groups of all sizes, the same ones when the script is played again.
                if group.len() > at * 7 % most {
                    pair.ask(&mut group).await?;
                }
            }
        }
    }
    pair.ask(&mut group).await?;
    pair.store.close().await.map_err(|e| e.to_string())
}

fn played(bounds: FixturePolicy, script: &[Step], functions: bool, most: usize) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(play(bounds, script, functions, most))
}

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn redis_does_what_the_reference_does(bounds in policies(), script in steps(SCOPE, 100..180)) {
        let played = played(bounds, &script, true, 1);
        prop_assert!(played.is_ok(), "{}", played.unwrap_err());
    }

    #[test]
    fn a_script_does_what_the_reference_does(bounds in policies(), script in steps(SCOPE, 100..180)) {
        let played = played(bounds, &script, false, 1);
        prop_assert!(played.is_ok(), "{}", played.unwrap_err());
    }

    #[test]
    fn many_in_one_call_do_what_the_reference_does(bounds in policies(), script in steps(SCOPE, 100..180)) {
        let played = played(bounds, &script, true, 12);
        prop_assert!(played.is_ok(), "{}", played.unwrap_err());
    }

    #[test]
    fn many_in_one_script_do_what_the_reference_does(bounds in policies(), script in steps(SCOPE, 100..180)) {
        let played = played(bounds, &script, false, 12);
        prop_assert!(played.is_ok(), "{}", played.unwrap_err());
    }
}
