//! The invariants hold for the store in memory, and each catches a trace that was tampered with.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::{
    EventKind, FencingToken, Lease, LockBackend, LockMode, ManualClock, Priority, Timestamp, Wait,
};
use enhanced_locking_queue::CreditTable;
use proptest::prelude::*;

use super::*;
use crate::conformance::Fixture;
use crate::strategy::{Shape, compare, replay, script};

struct Memory(Arc<ManualClock>);

#[async_trait::async_trait]
impl Fixture for Memory {
    async fn open(&self, policy: FixturePolicy) -> Arc<dyn LockBackend> {
        let policy = TablePolicy {
            limits: policy.limits,
            timing: policy.timing,
            credits: CreditTable::new(policy.credits),
        };
        MemoryBackend::new(policy, self.0.clone())
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by);
    }
}

fn policy() -> FixturePolicy {
    FixturePolicy { credits: [0, 10, 20, 30, 60].map(Duration::from_secs), ..FixturePolicy::default() }
}

fn run(script: &[Step]) -> Trace {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let fixture = Memory(Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000_000))));
        let store = fixture.open(policy()).await;
        replay(store, &fixture, script).await.unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_in_memory_keeps_all_invariants(steps in script(Shape::default())) {
        let trace = run(&steps);
        if let Err(violation) = check(&trace, &policy()) {
            return Err(TestCaseError::fail(violation.to_string()));
        }
    }

    #[test]
    fn a_script_has_one_meaning(steps in script(Shape { steps: 1..30, ..Shape::default() })) {
        if let Err(difference) = compare(&run(&steps), &run(&steps)) {
            return Err(TestCaseError::fail(difference.to_string()));
        }
    }
}

fn acquire(owner: u8, priority: Priority) -> Step {
    Step::Acquire {
        owner,
        key: 0,
        mode: LockMode::Exclusive,
        priority,
        lease: Lease::Sticky,
        wait: Wait::Forever,
        max_age: None,
    }
}

#[test]
fn a_sweep_that_ends_as_many_as_it_may_leaves_a_line_to_the_next() {
    let leased = |owner| match acquire(owner, Priority::Normal) {
        Step::Acquire { key, mode, priority, wait, max_age, .. } => Step::Acquire {
            owner,
            key,
            mode,
            priority,
            lease: Lease::For(Duration::from_secs(30)),
            wait,
            max_age,
        },
        other => other,
    };
    let over = [leased(0), leased(1), Step::Advance { by: Duration::from_secs(30) }];
    for budgets in [&[1, 1, 1][..], &[2, 1], &[3]] {
        let sweeps = budgets.iter().map(|budget| Step::Sweep { budget: *budget });
        let trace = run(&over.iter().cloned().chain(sweeps).collect::<Vec<_>>());
        assert_eq!(check(&trace, &policy()), Ok(()), "{budgets:?}");
        assert_eq!(trace.steps.last().unwrap().views, [], "{budgets:?}");
    }
}

/// `o0` holds, `o1` and `o2` wait, `o0` releases.
fn line() -> Trace {
    run(&[
        acquire(0, Priority::Low),
        acquire(1, Priority::Low),
        acquire(2, Priority::Low),
        Step::Release { grant: 0 },
    ])
}

#[track_caller]
fn caught(trace: &Trace, id: &str) {
    let invariant = ALL.iter().find(|invariant| invariant.id == id).unwrap();
    let found = invariant.check(trace, &policy());
    assert!(found.is_err(), "{id} let it pass");
    assert!(found.unwrap_err().to_string().starts_with(id));
}

#[test]
fn the_untouched_trace_passes() {
    assert_eq!(check(&line(), &policy()), Ok(()));
}

#[test]
fn two_exclusive_holders_are_caught() {
    let mut trace = line();
    let second = trace.steps[3].views[0].holders[0].clone();
    trace.steps[2].views[0].holders.push(second);
    caught(&trace, "LK-1");
}

#[test]
fn a_token_that_falls_is_caught() {
    let mut trace = line();
    let grant = trace.steps[3].events.last_mut().unwrap();
    assert!(matches!(grant.kind, EventKind::Granted { .. }));
    grant.token = Some(FencingToken::from_u64(1));
    caught(&trace, "LK-2");
}

#[test]
fn a_token_that_no_event_told_is_caught() {
    let mut trace = line();
    let holder = &mut trace.steps[3].views[0].holders[0];
    holder.token = FencingToken::from_u64(holder.token.as_u64() + 1);
    caught(&trace, "LK-2");
}

#[test]
fn a_lost_wake_up_is_caught() {
    let mut trace = line();
    trace.steps[3].views[0].holders.clear();
    caught(&trace, "LK-3");
}

#[test]
fn an_overtaking_is_caught() {
    let mut trace = line();
    let second = trace.steps[2].events[0].request.clone();
    trace.steps[3].events.last_mut().unwrap().request = second;
    caught(&trace, "LK-4");
}

#[test]
fn a_refusal_that_changes_something_is_caught() {
    let mut trace = line();
    trace.steps[3].refused = true;
    caught(&trace, "LK-5");
}

#[test]
fn a_gap_in_the_feed_is_caught() {
    let mut trace = line();
    trace.steps[2].events[0].seq += 1;
    caught(&trace, "LK-9");
}

#[test]
fn a_change_without_an_event_is_caught() {
    let mut trace = line();
    trace.steps[3].views[0].waiters.clear();
    caught(&trace, "LK-9");
}

#[test]
fn a_wrong_figure_is_caught() {
    let mut trace = line();
    trace.steps[3].stats.waiting += 1;
    caught(&trace, "LK-10");
}

#[test]
fn a_difference_is_shown_with_the_steps_that_led_to_it() {
    let (left, mut right) = (line(), line());
    right.steps[2].view_words[0].push_str(" and a ghost");
    let difference = compare(&left, &right).unwrap_err();
    assert_eq!((difference.index, difference.what), (2, "states"));
    assert_eq!(difference.steps.len(), 3);
    assert!(difference.to_string().contains("and a ghost"), "{difference}");
}
