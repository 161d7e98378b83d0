//! Two clients that start at the same instant on one key, two thousand times: exactly one holds. Asking first and
//! setting afterwards, as is often done, is raced the same way, so that it is known that this race catches it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::{Arc, Barrier};
use std::thread;

use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, Grant, LockBackend, OwnerId, ResourceKey, Wait,
};
use enhanced_locking_redis::{RedisBackend, open};
use enhanced_locking_testkit::conformance::FixturePolicy;
use enhanced_locking_testkit::redis::{Client, Reply};
use tokio::runtime::{Builder, Runtime};

const ROUNDS: u32 = 2_000;

/// Somebody who takes part in a race.
trait Contender: Send {
    /// Whether it has the lock. Does not panic: the other one waits at the line.
    fn take(&mut self, round: u32) -> Result<bool, String>;
    /// Gives back what it has, if it has it.
    fn give_back(&mut self) -> Result<(), String>;
}

/// Rounds that ended with nobody, with one, and with both as holders.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ended {
    nobody: u32,
    one: u32,
    both: u32,
}

/// Every round begins at the same instant for both, and everything is given back after both have tried.
fn race(mut contenders: [Box<dyn Contender>; 2]) -> Ended {
    let line = Barrier::new(2);
    let [held, other] = thread::scope(|scope| {
        contenders
            .each_mut()
            .map(|contender| {
                let line = &line;
                scope.spawn(move || {
                    let round = |round| {
                        line.wait();
                        let has = contender.take(round);
                        line.wait();
                        contender.give_back().and(has)
                    };
                    (0..ROUNDS).map(round).collect::<Vec<_>>()
                })
            })
            .map(|runner| runner.join().unwrap())
    });
    let mut ended = Ended::default();
    for (round, pair) in held.into_iter().zip(other).enumerate() {
        match pair {
            (Ok(false), Ok(false)) => ended.nobody += 1,
            (Ok(true), Ok(true)) => ended.both += 1,
            (Ok(_), Ok(_)) => ended.one += 1,
            errors => panic!("round {round}: {errors:?}"),
        }
    }
    ended
}

/// A process of its own, but for the memory: with its own threads and connections.
struct Process {
    runtime: Runtime,
    store: Arc<RedisBackend>,
    name: &'static str,
    /// One key for all rounds, or one for each.
    fresh: bool,
    held: Option<Grant>,
}

impl Contender for Process {
    fn take(&mut self, round: u32) -> Result<bool, String> {
        let key = if self.fresh { format!("key-{round}") } else { "key".to_owned() };
        let request = AcquireRequest::new(ResourceKey::new(key).unwrap(), OwnerId::new(self.name).unwrap());
        match self.runtime.block_on(self.store.acquire(request.sticky().wait(Wait::No))) {
            Ok(AcquireOutcome::Held(record)) => self.held = Some(record.grant()),
            Ok(AcquireOutcome::Busy(holders)) if holders[0].owner().as_str() != self.name => {}
            other => return Err(format!("{other:?}")),
        }
        Ok(self.held.is_some())
    }

    fn give_back(&mut self) -> Result<(), String> {
        let Some(grant) = self.held.take() else { return Ok(()) };
        self.runtime.block_on(self.store.release(&grant)).map(drop).map_err(|error| format!("{error:?}"))
    }
}

/// Asks whether there is a lock, and sets one if there is none.
struct AsksFirst(Client);

impl Contender for AsksFirst {
    fn take(&mut self, _: u32) -> Result<bool, String> {
        let free = self.0.call(["GET", "lock"]).map_err(|error| error.to_string())? == Reply::Nil;
        if free {
            self.0.call(["SET", "lock", "mine"]).map_err(|error| error.to_string())?;
        }
        Ok(free)
    }

    fn give_back(&mut self) -> Result<(), String> {
        self.0.call(["DEL", "lock"]).map(drop).map_err(|error| error.to_string())
    }
}

fn raced(fresh: bool, functions: bool) -> Ended {
    let config = common::config(FixturePolicy::default(), functions);
    race(["first", "second"].map(|name| {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let store = runtime.block_on(open(config.clone())).unwrap();
        Box::new(Process { runtime, store, name, fresh, held: None }) as _
    }))
}

#[test]
fn of_two_who_start_at_the_same_instant_exactly_one_holds() {
    let expected = Ended { one: ROUNDS, ..Ended::default() };
    assert_eq!(raced(true, true), expected, "a key for every round");
    assert_eq!(raced(false, true), expected, "one key, given back after every round");
    assert_eq!(raced(false, false), expected, "by the script");
}

#[test]
fn who_asks_first_and_sets_afterwards_is_caught_by_the_same_race() {
    let ended = race([(); 2].map(|()| Box::new(AsksFirst(common::server(true).client().unwrap())) as _));
    assert!(ended.both > ROUNDS / 20, "{ended:?}");
}
