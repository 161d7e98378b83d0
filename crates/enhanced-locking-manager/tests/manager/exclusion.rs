//! The promise: at no instant do two guards of one exclusive lock both consider themselves valid, whatever goes wrong between them and the store.

use std::sync::Arc;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_foundation::*;
use enhanced_locking_manager::{LeaseSignal, LeaseState, LockManager, ManagerConfig};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::time::Instant;

use crate::support::*;

/// What one pretend process does, and what goes wrong for it.
#[derive(Clone, Debug)]
struct Script {
    /// Lease in milliseconds.
    lease_ms: u64,
    /// How long it works under each lock, in milliseconds.
    work_ms: Vec<u64>,
    /// How long it waits at most for each.
    wait_ms: u64,
    /// After how many milliseconds it drops an acquire; 0 for never.
    impatient_ms: u64,
    /// What goes wrong with its calls, over and over.
    troubles: Vec<Trouble>,
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        4 => Just(Trouble::None),
        3 => (1u64..400).prop_map(|by| Trouble::Slow(ms(by))),
        1 => (1_000u64..9_000).prop_map(|by| Trouble::Slow(ms(by))),
        2 => Just(Trouble::Unavailable),
        1 => Just(Trouble::LostRequest),
        2 => Just(Trouble::LostReply),
        2 => (1u64..6_000).prop_map(|by| Trouble::Late(ms(by))),
        1 => Just(Trouble::Hang),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    (
        prop_oneof![Just(300u64), Just(1_000), Just(4_000)],
        prop::collection::vec(0u64..6_000, 1..4),
        100u64..20_000,
        prop_oneof![Just(0u64), 1u64..3_000],
        prop::collection::vec(trouble(), 1..14),
    )
        .prop_map(|(lease_ms, work_ms, wait_ms, impatient_ms, troubles)| Script {
            lease_ms,
            work_ms,
            wait_ms,
            impatient_ms,
            troubles,
        })
}

/// The guards there are and were: who, which token, and a signal that tells its state.
type Guards = Arc<Mutex<Vec<(usize, FencingToken, LeaseSignal)>>>;

/// Fails if two guards are valid, or one whose lock the store has ended or given to somebody else.
async fn check(store: &dyn LockBackend, guards: &Guards) -> Result<(), String> {
    let valid: Vec<(usize, FencingToken)> = guards
        .lock()
        .iter()
        .filter(|(_, _, signal)| !matches!(signal.state(), LeaseState::Lost(_)))
        .map(|(who, token, _)| (*who, *token))
        .collect();
    if valid.len() > 1 {
        return Err(format!("{valid:?} are valid at the same time"));
    }
    let Some((who, token)) = valid.first() else { return Ok(()) };
    let (held, now) = (holders(store, "k").await, store.now().await.unwrap());
    match held.iter().find(|record| record.token == *token) {
        Some(record) if record.expires_at.is_some_and(|at| at > now) => Ok(()),
        _ => Err(format!("{who} relies on {token}, the store has {held:?} at {now}")),
    }
}

async fn work(number: usize, script: Script, store: Arc<dyn LockBackend>, guards: Guards) -> usize {
    let mut calls = 0;
    let troubles = script.troubles.clone();
    let flaky = Flaky::new(store, move |_| {
        calls += 1;
        troubles[calls % troubles.len()]
    });
    let config = ManagerConfig { call_timeout: secs(2), ..ManagerConfig::remote() };
    let manager = LockManager::start(flaky, config);
    let mut got = 0;
    for work in script.work_ms {
        let request = request("k", &format!("process {number}"))
            .lease(Lease::For(ms(script.lease_ms)))
            .wait(Wait::AtMost(ms(script.wait_ms)));
        let acquire = manager.acquire(request);
        let patience = if script.impatient_ms == 0 { secs(3_600) } else { ms(script.impatient_ms) };
        let Ok(Ok(guard)) = tokio::time::timeout(patience, acquire).await else { continue };
        guards.lock().push((number, guard.token(), guard.lost()));
        got += 1;
        tokio::time::sleep(ms(work)).await;
        if work % 2 == 0 { drop(guard) } else { drop(guard.release().await) }
    }
    got
}

fn run(scripts: Vec<Script>) -> Result<usize, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let store = store(windows(ms(700), secs(5)));
        let _service = LockManager::start(store.clone(), ManagerConfig::default());
        let guards = Guards::default();
        let mut workers = tokio::task::JoinSet::new();
        for (number, script) in scripts.into_iter().enumerate() {
            workers.spawn(work(number, script, store.clone(), guards.clone()));
        }
        let (mut got, began) = (0, Instant::now());
        loop {
            check(&*store, &guards).await?;
            tokio::select! {
                done = workers.join_next() => match done {
                    Some(done) => got += done.map_err(|error| error.to_string())?,
                    None => break,
                },
                () = tokio::time::sleep(ms(7)) => {}
            }
            if began.elapsed() > secs(3_600) {
                return Err("it does not come to an end".to_owned());
            }
        }
        // Whatever happened, the lock comes free.
        until("it is free", || async { store.stats().await.unwrap().resources == 0 }).await;
        Ok(got)
    })
}

/// Enough to find the known mistakes; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_two_guards_are_valid_at_once_whatever_goes_wrong(scripts in prop::collection::vec(script(), 2..5)) {
        let outcome = run(scripts);
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }
}

#[test]
fn without_troubles_everybody_gets_every_lock() {
    let script = Script {
        lease_ms: 1_000,
        work_ms: vec![500, 501, 20],
        wait_ms: 60_000,
        impatient_ms: 0,
        troubles: vec![Trouble::None],
    };
    assert_eq!(run(vec![script; 5]), Ok(15));
}

/// The check itself must be able to fail: two guards that rely on their lock at once are found.
#[tokio::test(start_paused = true)]
async fn two_valid_guards_would_be_noticed() {
    let (one, two) = (store(TablePolicy::default()), store(TablePolicy::default()));
    let a = client(one.clone()).acquire(request("k", "a")).await.unwrap();
    let b = client(two).acquire(request("k", "b")).await.unwrap();
    let guards = Guards::default();
    guards.lock().push((0, a.token(), a.lost()));
    assert_eq!(check(&*one, &guards).await, Ok(()));
    guards.lock().push((1, b.token(), b.lost()));
    assert!(check(&*one, &guards).await.is_err());
}
