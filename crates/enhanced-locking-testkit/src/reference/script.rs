//! Random steps for the lockstep. Owns the generators; what a step means is decided when it is reached, in `lockstep`.
//!
//! Unlike `strategy`, steps prefer what is alive: most of them do something even in long scripts.

use std::time::Duration;

use enhanced_locking_foundation::{Lease, Limits, LockMode, Priority, Timing, Wait};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};

use crate::conformance::FixturePolicy;

/// How many keys and owners contend, and whether the store is durable.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Keys.
    pub keys: u8,
    /// Owners.
    pub owners: u8,
    /// Whether the store is closed and opened again on the way.
    pub restarts: bool,
}

/// A request among those alive, or among all that were ever made; counted modulo their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The n-th alive, in the order of ids.
    Live(u8),
    /// The n-th newest of all.
    Recent(u8),
}

/// The parts of a new request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who.
    pub owner: u8,
    /// What.
    pub key: u8,
    /// How.
    pub mode: LockMode,
    /// How important.
    pub priority: Priority,
    /// For how long.
    pub lease: Lease,
    /// With how much patience.
    pub wait: Wait,
    /// The greatest age.
    pub max_age: Option<Duration>,
}

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new request.
    Acquire(Ask),
    /// An earlier request again; with another owner, mode or priority if so said.
    Again {
        /// Which.
        which: Which,
        /// What is different.
        owner: Option<u8>,
        /// What is different.
        mode: Option<LockMode>,
        /// What is different.
        priority: Option<Priority>,
    },
    /// A batch of one owner: earlier requests again, and new ones.
    Batch {
        /// Earlier ones.
        again: Vec<(Which, Option<Priority>)>,
        /// New ones.
        new: Vec<Ask>,
    },
    /// A look.
    Poll(Which),
    /// A find by id.
    Find(Which),
    /// A cancel of an entry of the line: any, the present one or another.
    Cancel(Which, Option<bool>),
    /// A cancel of what was never seen, sent late or never.
    CancelUnseen(Ask),
    /// Another priority.
    Reprioritise(Which, Priority),
    /// A release; of an older grant of that request if so said.
    Release(Which, bool),
    /// Renewals.
    Renew(Vec<(Which, bool)>, Option<Duration>),
    /// A transfer to an owner.
    Transfer(Which, bool, u8),
    /// A force of one request or of a key's holders.
    Force(u8, Option<Which>),
    /// Clearing an owner or its pull request.
    Clear(u8, bool),
    /// A sweep.
    Sweep(usize),
    /// Time passes.
    Advance(Duration),
    /// Time passes until the next deadline, exactly.
    Deadline,
    /// The store is closed and opened again.
    Restart,
}

/// Scripts of almost `length` steps. They shrink to fewer than that, and to simpler ones.
pub fn steps(scope: Scope, length: std::ops::Range<usize>) -> BoxedStrategy<Vec<Step>> {
    // A step that shrinks to nothing lets a script become shorter than the shortest one made.
    vec(option::weighted(0.99, step(scope)), length)
        .prop_map(|script| script.into_iter().flatten().collect())
        .boxed()
}

/// Policies: with and without credits, with room enough and with very little.
pub fn policies() -> BoxedStrategy<FixturePolicy> {
    let credits = prop_oneof![Just([0; 5]), Just([0, 3, 6, 12, 24]), Just([0, 60, 900, 3_600, 14_400])];
    let small = (1..4_usize, 1..3_usize, 1..6_usize, 1..6_usize, 1..4_usize, 0..8_usize).prop_map(
        |(waiters_per_key, waiters_per_owner, waiters_total, locks_total, batch, finished)| Limits {
            waiters_per_key,
            waiters_per_owner,
            waiters_total,
            locks_total,
            batch,
            finished,
            ..Limits::default()
        },
    );
    (credits, prop_oneof![3 => Just(Limits::default()), 1 => small])
        .prop_map(|(credits, limits)| FixturePolicy {
            limits,
            timing: Timing { claim_window: Duration::from_secs(4), keep_alive: Duration::from_secs(9) },
            credits: credits.map(Duration::from_secs),
        })
        .boxed()
}

fn step(scope: Scope) -> BoxedStrategy<Step> {
    let Scope { keys, owners, restarts } = scope;
    prop_oneof![
        26 => ask(keys, owners).prop_map(Step::Acquire),
        4 => (which(), option::weighted(0.2, 0..owners), option::weighted(0.2, mode()), option::of(priority()))
            .prop_map(|(which, owner, mode, priority)| Step::Again { which, owner, mode, priority }),
        3 => (vec((which(), option::of(priority())), 0..2), vec(ask(keys, owners), 0..4))
            .prop_map(|(again, new)| Step::Batch { again, new }),
        10 => which().prop_map(Step::Poll),
        1 => which().prop_map(Step::Find),
        4 => (which(), option::of(any::<bool>())).prop_map(|(which, now)| Step::Cancel(which, now)),
        1 => ask(keys, owners).prop_map(Step::CancelUnseen),
        4 => (which(), priority()).prop_map(|(which, priority)| Step::Reprioritise(which, priority)),
        10 => (which(), older()).prop_map(|(which, older)| Step::Release(which, older)),
        5 => (vec((which(), older()), 1..3), option::of(short()))
            .prop_map(|(grants, lease)| Step::Renew(grants, lease)),
        4 => (which(), older(), 0..owners).prop_map(|(which, older, to)| Step::Transfer(which, older, to)),
        2 => (0..keys, option::of(which())).prop_map(|(key, which)| Step::Force(key, which)),
        1 => (0..owners, any::<bool>()).prop_map(|(owner, pull)| Step::Clear(owner, pull)),
        3 => (0..4_usize).prop_map(Step::Sweep),
        6 => short().prop_map(Step::Advance),
        3 => Just(Step::Deadline),
        2 => Just(if restarts { Step::Restart } else { Step::Deadline }),
    ]
    .boxed()
}

fn ask(keys: u8, owners: u8) -> BoxedStrategy<Ask> {
    let lease = prop_oneof![
        2 => Just(Lease::Sticky),
        3 => Just(Lease::For(Duration::from_secs(20))),
        2 => short().prop_map(Lease::For)
    ];
    let wait =
        prop_oneof![6 => Just(Wait::Forever), 1 => Just(Wait::No), 2 => short().prop_map(Wait::AtMost)];
    (0..owners, 0..keys, mode(), priority(), lease, wait, option::weighted(0.15, short()))
        .prop_map(|(owner, key, mode, priority, lease, wait, max_age)| Ask {
            owner,
            key,
            mode,
            priority,
            lease,
            wait,
            max_age,
        })
        .boxed()
}

fn which() -> BoxedStrategy<Which> {
    prop_oneof![5 => any::<u8>().prop_map(Which::Live), 1 => (0..12_u8).prop_map(Which::Recent)].boxed()
}

fn older() -> BoxedStrategy<bool> {
    prop_oneof![6 => Just(false), 1 => Just(true)].boxed()
}

fn mode() -> BoxedStrategy<LockMode> {
    prop_oneof![Just(LockMode::Exclusive), Just(LockMode::Shared)].boxed()
}

fn priority() -> BoxedStrategy<Priority> {
    (0..Priority::ALL.len()).prop_map(|index| Priority::ALL[index]).boxed()
}

/// Around the windows of the lockstep's timing; whole seconds mostly, so that deadlines meet.
fn short() -> BoxedStrategy<Duration> {
    prop_oneof![
        6 => (1..12_u64).prop_map(Duration::from_secs),
        1 => Just(Duration::from_secs(25)),
        1 => (1..3_000_u64).prop_map(Duration::from_millis),
    ]
    .boxed()
}
