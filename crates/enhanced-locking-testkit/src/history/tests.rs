//! Correct histories pass; every kind of defect is caught, in small histories and in tampered real ones.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::{FencingToken, Grant, LockMode, RequestId, ResourceKey, Timestamp};

use super::*;
use crate::clock::TokioClock;
use crate::conformance::secs;
use crate::faults::{FaultPlan, FaultyBackend};

const EXCLUSIVE: Call = Call::Acquire { mode: LockMode::Exclusive, lease: None, wait: false };
const WAITING: Call = Call::Acquire { mode: LockMode::Exclusive, lease: None, wait: true };
const SHARED: Call = Call::Acquire { mode: LockMode::Shared, lease: None, wait: false };
const DONE: Outcome = Outcome::Ok(None);

fn leased(seconds: u64) -> Call {
    Call::Acquire { mode: LockMode::Exclusive, lease: Some(secs(seconds)), wait: false }
}

fn token(n: u64) -> FencingToken {
    FencingToken::from_u64(n)
}

fn release(n: u64) -> Call {
    Call::Release { token: token(n) }
}

fn got(n: u64) -> Outcome {
    Outcome::Ok(Some(Granted { token: token(n), server: None }))
}

fn got_at(n: u64, at: u64, expires: Option<u64>) -> Outcome {
    let time = |seconds| Timestamp::ZERO.plus(secs(seconds));
    Outcome::Ok(Some(Granted { token: token(n), server: Some((time(at), expires.map(time))) }))
}

fn op(id: &str, call: Call, invoked: u64, returned: u64, outcome: Outcome) -> Op {
    Op {
        client: 0,
        key: ResourceKey::new("k").unwrap(),
        id: RequestId::new(id).unwrap(),
        call,
        invoked: secs(invoked),
        returned: (outcome != Outcome::Unknown).then(|| secs(returned)),
        outcome,
    }
}

fn report(ops: &[Op]) -> Report {
    check(&History { ops: ops.to_vec(), held_at_end: None })
}

#[track_caller]
fn passes(ops: &[Op]) {
    let report = report(ops);
    assert!(report.is_correct(), "{report}");
}

#[track_caller]
fn caught(rule: &str, ops: &[Op]) {
    let report = report(ops);
    assert!(report.defects.iter().any(|defect| defect.rule == rule), "{rule} let it pass: {report}");
}

#[test]
fn one_after_the_other_passes() {
    passes(&[
        op("a", EXCLUSIVE, 0, 1, got(1)),
        op("b", EXCLUSIVE, 1, 2, Outcome::Failed),
        op("a", release(1), 3, 4, DONE),
        op("c", EXCLUSIVE, 5, 6, got(2)),
    ]);
}

#[test]
fn calls_that_overlap_may_take_effect_in_either_order() {
    passes(&[
        op("b", WAITING, 0, 9, got(2)),
        op("a", EXCLUSIVE, 1, 8, got(1)),
        op("a", release(1), 8, 10, DONE),
    ]);
    passes(&[
        op("a", EXCLUSIVE, 0, 1, got(1)),
        op("a", release(1), 2, 9, DONE),
        op("b", EXCLUSIVE, 3, 4, got(2)),
        op("c", EXCLUSIVE, 5, 6, Outcome::Failed),
    ]);
}

#[test]
fn what_ends_a_lock_may_have_come_before_there_was_one_or_after() {
    let forced = op("operator", Call::Force, 0, 5, DONE);
    passes(&[forced.clone(), op("a", EXCLUSIVE, 1, 2, got(1)), op("a", release(1), 3, 4, DONE)]);
    passes(&[
        forced,
        op("a", EXCLUSIVE, 1, 2, got(1)),
        op("b", EXCLUSIVE, 3, 4, got(2)),
        op("a", release(1), 6, 7, Outcome::Failed),
    ]);
}

#[test]
fn readers_together_pass() {
    passes(&[
        op("a", SHARED, 0, 1, got(1)),
        op("b", SHARED, 2, 3, got(2)),
        op("w", EXCLUSIVE, 4, 5, Outcome::Failed),
        op("a", release(1), 6, 7, DONE),
        op("b", release(2), 6, 7, DONE),
        op("w2", EXCLUSIVE, 8, 9, got(3)),
    ]);
}

#[test]
fn an_unknown_acquire_explains_who_is_in_the_way() {
    passes(&[
        op("a", EXCLUSIVE, 0, 0, Outcome::Unknown),
        op("b", EXCLUSIVE, 5, 6, Outcome::Failed),
        op("a", EXCLUSIVE, 7, 8, got(1)),
        op("a", EXCLUSIVE, 9, 10, got(1)),
    ]);
    passes(&[op("a", EXCLUSIVE, 0, 0, Outcome::Unknown), op("b", EXCLUSIVE, 5, 6, got(1))]);
}

#[test]
fn a_retry_is_told_the_token_of_its_first_try_and_that_one_s_lease() {
    passes(&[
        op("a", SHARED, 0, 0, Outcome::Unknown),
        op("b", SHARED, 1, 2, got(2)),
        op("a", SHARED, 3, 4, got(1)),
    ]);
    let tries = [op("a", leased(10), 0, 0, Outcome::Unknown), op("a", leased(10), 8, 9, got(1))];
    passes(&[tries.as_slice(), &[op("b", EXCLUSIVE, 11, 12, got(2))]].concat());
    caught("H-5", &[tries.as_slice(), &[op("b", EXCLUSIVE, 9, 9, got(2))]].concat());
    caught("H-2", &[op("b", SHARED, 1, 2, got(2)), op("a", SHARED, 3, 4, got(1))]);
}

#[test]
fn an_unknown_release_may_have_worked_or_not() {
    let start = [op("a", EXCLUSIVE, 0, 1, got(1)), op("a", release(1), 2, 0, Outcome::Unknown)];
    passes(&[start.as_slice(), &[op("b", EXCLUSIVE, 5, 6, got(2))]].concat());
    passes(&[start.as_slice(), &[op("b", EXCLUSIVE, 5, 6, Outcome::Failed)]].concat());
    passes(&[start.as_slice(), &[op("a", release(1), 5, 6, DONE)]].concat());
}

#[test]
fn a_lease_may_run_out_and_not_before() {
    let start = op("a", leased(10), 0, 1, got(1));
    passes(&[start.clone(), op("b", EXCLUSIVE, 9, 11, got(2)), op("a", release(1), 12, 13, Outcome::Failed)]);
    caught("H-5", &[start.clone(), op("b", EXCLUSIVE, 7, 9, got(2))]);
    caught("H-1", &[start.clone(), op("b", EXCLUSIVE, 7, 9, got(2))]);
    let renewed = op("a", Call::Renew { token: token(1), lease: secs(10) }, 8, 9, got(1));
    caught("H-1", &[start, renewed, op("b", EXCLUSIVE, 14, 15, got(2))]);
}

#[test]
fn two_holders_are_caught() {
    let ops = [op("a", EXCLUSIVE, 0, 1, got(1)), op("b", EXCLUSIVE, 2, 3, got(2))];
    caught("H-1", &ops);
    caught("H-5", &ops);
    caught("H-1", &[op("a", SHARED, 0, 1, got(1)), op("b", EXCLUSIVE, 2, 3, got(2))]);
}

#[test]
fn two_holders_by_server_time_are_caught() {
    caught(
        "H-1",
        &[
            op("a", leased(10), 0, 1, got_at(1, 100, Some(110))),
            op("b", EXCLUSIVE, 20, 21, got_at(2, 105, None)),
        ],
    );
    caught(
        "H-1",
        &[
            op("a", EXCLUSIVE, 0, 1, got_at(1, 100, None)),
            op("a", release(1), 1, 2, DONE),
            op("b", EXCLUSIVE, 3, 4, got_at(2, 90, None)),
        ],
    );
}

#[test]
fn a_token_that_falls_is_caught() {
    let ops =
        [op("a", EXCLUSIVE, 0, 1, got(5)), op("a", release(5), 2, 3, DONE), op("b", EXCLUSIVE, 4, 5, got(4))];
    caught("H-2", &ops);
    caught("H-5", &ops);
}

#[test]
fn a_token_given_twice_is_caught() {
    caught(
        "H-2",
        &[
            op("a", EXCLUSIVE, 0, 1, got(5)),
            op("a", release(5), 2, 3, DONE),
            op("b", EXCLUSIVE, 4, 5, got(5)),
        ],
    );
}

#[test]
fn a_retry_with_another_token_is_caught() {
    caught("H-3", &[op("a", EXCLUSIVE, 0, 1, got(1)), op("a", EXCLUSIVE, 2, 3, got(2))]);
}

#[test]
fn a_request_granted_after_its_end_is_caught() {
    caught(
        "H-3",
        &[
            op("a", EXCLUSIVE, 0, 1, got(1)),
            op("a", release(1), 2, 3, DONE),
            op("a", EXCLUSIVE, 4, 5, got(1)),
        ],
    );
    caught("H-3", &[op("a", Call::Cancel, 0, 1, DONE), op("a", EXCLUSIVE, 4, 5, got(1))]);
}

#[test]
fn a_lost_lock_is_caught() {
    let ops = [op("a", EXCLUSIVE, 0, 1, got(1)), op("a", release(1), 2, 3, Outcome::Failed)];
    caught("H-4", &ops);
    caught("H-5", &ops);
    passes(&[ops[0].clone(), op("a", Call::Force, 1, 2, DONE), ops[1].clone()]);
}

#[test]
fn a_lock_that_is_gone_at_the_end_is_caught() {
    let held = op("a", EXCLUSIVE, 0, 1, got(1));
    let grant = Grant { key: held.key.clone(), id: held.id.clone(), token: token(1) };
    let mut history = History { ops: vec![held], held_at_end: Some(vec![grant]) };
    assert!(check(&history).is_correct());
    history.held_at_end = Some(Vec::new());
    assert_eq!(check(&history).defects[0].rule, "H-4");
}

#[test]
fn a_lock_that_is_busy_with_nobody_is_caught() {
    caught("H-5", &[op("a", EXCLUSIVE, 0, 1, Outcome::Failed)]);
    caught(
        "H-5",
        &[
            op("a", EXCLUSIVE, 0, 1, got(1)),
            op("a", release(1), 2, 3, DONE),
            op("b", EXCLUSIVE, 4, 5, Outcome::Failed),
        ],
    );
}

#[test]
fn a_release_of_what_was_never_held_is_caught() {
    caught("H-5", &[op("a", release(1), 0, 1, DONE)]);
}

#[test]
fn keys_are_judged_apart() {
    let mut other = op("b", EXCLUSIVE, 2, 3, got(1));
    other.key = ResourceKey::new("other").unwrap();
    passes(&[op("a", EXCLUSIVE, 0, 1, got(1)), other]);
}

#[test]
fn a_dropped_call_is_unknown_and_one_never_sent_is_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _guard = runtime.enter();
    let recorder = Recorder::new();
    let (key, id) = (ResourceKey::new("k").unwrap(), RequestId::generate());
    drop(recorder.begin(1, &key, &id, EXCLUSIVE));
    recorder.begin(1, &key, &id, EXCLUSIVE).never_sent();
    let ops = recorder.finish().ops;
    assert_eq!(ops.len(), 1);
    assert_eq!((ops[0].outcome, ops[0].returned), (Outcome::Unknown, None));
}

/// A run of six clients against the store in memory, through faults, on paused time.
fn run(seed: u64) -> History {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = Arc::new(TokioClock::new(Timestamp::from_micros(1_000_000_000)));
        let plan = FaultPlan {
            seed,
            lost_requests: 50,
            lost_replies: 100,
            delays: 500,
            delay: Duration::from_millis(50),
        };
        let store = FaultyBackend::new(MemoryBackend::new(TablePolicy::default(), clock), plan);
        let history = drive(store.clone(), &Workload::default(), 6, seed).await;
        assert!(store.lost().1 > 0, "a run without lost replies shows little");
        history
    })
}

#[test]
fn real_runs_through_faults_are_correct() {
    let mut grants = 0;
    for seed in 0..40 {
        let report = check(&run(seed));
        assert!(report.is_correct(), "seed {seed}: {report}");
        grants += report.grants;
    }
    assert!(grants > 400, "only {grants} grants");
}

/// The places of grants answered to exclusive sticky requests.
fn sticky_grants(history: &History) -> Vec<usize> {
    let is_grant = |op: &Op| {
        matches!(op.call, Call::Acquire { mode: LockMode::Exclusive, lease: None, .. })
            && matches!(op.outcome, Outcome::Ok(_))
    };
    (0..history.ops.len()).filter(|at| is_grant(&history.ops[*at])).collect()
}

#[test]
fn real_runs_that_were_tampered_with_are_caught() {
    let mut tampered = 0;
    for seed in 0..8 {
        let history = run(seed);
        for at in sticky_grants(&history) {
            let Outcome::Ok(Some(granted)) = history.ops[at].outcome else { continue };
            // A token that was never given, far above all others, while later grants go on from the old one.
            let mut high = history.clone();
            high.ops[at].outcome =
                Outcome::Ok(Some(Granted { token: token(u64::MAX), server: granted.server }));
            let last = high
                .ops
                .iter()
                .filter(|op| op.key == high.ops[at].key)
                .all(|op| op.invoked <= high.ops[at].invoked || !matches!(op.call, Call::Acquire { .. }));
            if !last {
                assert!(!check(&high).defects.is_empty(), "seed {seed}: a forged token passed at {at}");
                tampered += 1;
            }
            // The release that was acknowledged is said to have found nothing.
            let mut lost = history.clone();
            let id = lost.ops[at].id.clone();
            let mut releases =
                lost.ops.iter_mut().filter(|op| op.id == id && matches!(op.call, Call::Release { .. }));
            if let (Some(only), None) = (releases.next(), releases.next()) {
                only.outcome = Outcome::Failed;
                assert!(!check(&lost).defects.is_empty(), "seed {seed}: a lost lock passed at {at}");
                tampered += 1;
            }
        }
    }
    assert!(tampered > 30, "only {tampered} histories were tampered with");
}
