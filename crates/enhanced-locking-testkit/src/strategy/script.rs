//! What a script says. Owns the steps and their generators; carrying them out is in `replay`.

use std::ops::Range;
use std::time::Duration;

use enhanced_locking_foundation::{Lease, LockMode, Priority, Wait};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};

/// Commands in order.
pub type Script = Vec<Step>;

/// How many keys and owners contend, and for how long.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Keys, at most 255.
    pub keys: u8,
    /// Owners, at most 255.
    pub owners: u8,
    /// Steps of a script.
    pub steps: Range<usize>,
    /// Whether the store is closed and opened again; useless for stores that are not durable.
    pub reopen: bool,
}

impl Default for Shape {
    /// Few keys and owners, so that they meet.
    fn default() -> Self {
        Self { keys: 3, owners: 5, steps: 1..60, reopen: false }
    }
}

/// One command. `request` and `grant` count back among those seen so far: 0 is the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A request with a fresh id.
    Acquire {
        /// Who.
        owner: u8,
        /// What.
        key: u8,
        /// How.
        mode: LockMode,
        /// How important.
        priority: Priority,
        /// For how long.
        lease: Lease,
        /// With how much patience.
        wait: Wait,
        /// The greatest age.
        max_age: Option<Duration>,
    },
    /// An earlier request once more.
    Retry {
        /// Which.
        request: u16,
        /// What is wrong with it, if something is.
        twist: Twist,
    },
    /// A batch with fresh ids. A key may be named twice.
    AcquireAll {
        /// Who.
        owner: u8,
        /// What.
        keys: Vec<u8>,
        /// How.
        mode: LockMode,
    },
    /// An `await_turn` that only looks.
    Look {
        /// At which.
        request: u16,
    },
    /// Finds a request by its id.
    Find {
        /// Which.
        request: u16,
    },
    /// Cancels an earlier request.
    Cancel {
        /// Which.
        request: u16,
        /// Which entry of the line.
        generation: Generation,
    },
    /// Cancels a request that was never sent, and sends it afterwards.
    CancelUnseen {
        /// Who.
        owner: u8,
        /// What.
        key: u8,
    },
    /// Changes a priority.
    Reprioritise {
        /// Which.
        request: u16,
        /// The new one.
        priority: Priority,
    },
    /// Releases.
    Release {
        /// Which.
        grant: u16,
    },
    /// Renews.
    Renew {
        /// Which.
        grants: Vec<u16>,
        /// The new lease.
        lease: Option<Duration>,
    },
    /// Transfers.
    Transfer {
        /// Which.
        grant: u16,
        /// To whom.
        to: u8,
    },
    /// Forces out all holders, or one request.
    Force {
        /// Of which key.
        key: u8,
        /// Only this one.
        request: Option<u16>,
    },
    /// Clears an owner.
    ClearOwner {
        /// Whom.
        owner: u8,
    },
    /// Clears the pull request an owner stands for.
    ClearPull {
        /// Whose.
        owner: u8,
    },
    /// Sweeps.
    Sweep {
        /// How much at most.
        budget: usize,
    },
    /// Lets time pass.
    Advance {
        /// How much.
        by: Duration,
    },
    /// Closes the store and opens it again.
    Reopen,
}

/// What is wrong with a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// Nothing.
    None,
    /// Another owner uses the id.
    Owner,
    /// The mode is the other one.
    Mode,
}

/// Which generation a cancel names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// None: any.
    Any,
    /// The one the request has now, if it waits.
    Current,
    /// One it does not have.
    Other,
}

/// Scripts of a shape. They shrink to fewer, simpler and more recent things.
pub fn script(shape: Shape) -> BoxedStrategy<Script> {
    vec(step(shape.keys, shape.owners, shape.reopen), shape.steps).boxed()
}

fn step(keys: u8, owners: u8, reopen: bool) -> BoxedStrategy<Step> {
    let (keys, owners) = (keys.max(1), owners.max(1));
    let nth = || 0..12_u16;
    let acquire = (0..owners, 0..keys, mode(), priority(), lease(), wait(), max_age()).prop_map(
        |(owner, key, mode, priority, lease, wait, max_age)| Step::Acquire {
            owner,
            key,
            mode,
            priority,
            lease,
            wait,
            max_age,
        },
    );
    let twist = prop_oneof![4 => Just(Twist::None), 1 => Just(Twist::Owner), 1 => Just(Twist::Mode)];
    let generation = prop_oneof![
        3 => Just(Generation::Any), 2 => Just(Generation::Current), 1 => Just(Generation::Other)
    ];
    prop_oneof![
        14 => acquire,
        3 => (nth(), twist).prop_map(|(request, twist)| Step::Retry { request, twist }),
        2 => (0..owners, vec(0..keys, 1..4), mode())
            .prop_map(|(owner, keys, mode)| Step::AcquireAll { owner, keys, mode }),
        5 => nth().prop_map(|request| Step::Look { request }),
        1 => nth().prop_map(|request| Step::Find { request }),
        3 => (nth(), generation).prop_map(|(request, generation)| Step::Cancel { request, generation }),
        1 => (0..owners, 0..keys).prop_map(|(owner, key)| Step::CancelUnseen { owner, key }),
        2 => (nth(), priority()).prop_map(|(request, priority)| Step::Reprioritise { request, priority }),
        8 => nth().prop_map(|grant| Step::Release { grant }),
        4 => (vec(nth(), 1..4), option::of(short())).prop_map(|(grants, lease)| Step::Renew { grants, lease }),
        3 => (nth(), 0..owners).prop_map(|(grant, to)| Step::Transfer { grant, to }),
        1 => (0..keys, option::of(nth())).prop_map(|(key, request)| Step::Force { key, request }),
        1 => (0..owners).prop_map(|owner| Step::ClearOwner { owner }),
        1 => (0..owners).prop_map(|owner| Step::ClearPull { owner }),
        2 => prop_oneof![Just(1), Just(2), Just(1_000)].prop_map(|budget| Step::Sweep { budget }),
        8 => short().prop_map(|by| Step::Advance { by }),
        2 => Just(if reopen { Step::Reopen } else { Step::Look { request: 0 } }),
    ]
    .boxed()
}

fn mode() -> BoxedStrategy<LockMode> {
    prop_oneof![Just(LockMode::Exclusive), Just(LockMode::Shared)].boxed()
}

fn priority() -> BoxedStrategy<Priority> {
    (0..Priority::ALL.len()).prop_map(|index| Priority::ALL[index]).boxed()
}

fn lease() -> BoxedStrategy<Lease> {
    prop_oneof![Just(Lease::Sticky), Just(Lease::For(Duration::from_secs(30))), short().prop_map(Lease::For)]
        .boxed()
}

fn wait() -> BoxedStrategy<Wait> {
    prop_oneof![3 => Just(Wait::Forever), 1 => Just(Wait::No), 2 => short().prop_map(Wait::AtMost)].boxed()
}

fn max_age() -> BoxedStrategy<Option<Duration>> {
    prop_oneof![5 => Just(None), 1 => short().prop_map(Some)].boxed()
}

/// Durations around the windows of the default timing: most whole seconds, so that deadlines meet.
fn short() -> BoxedStrategy<Duration> {
    prop_oneof![
        6 => (1..40_u64).prop_map(Duration::from_secs),
        1 => Just(Duration::from_micros(1)),
        1 => any::<u16>().prop_map(|ms| Duration::from_millis(u64::from(ms) + 1)),
    ]
    .boxed()
}
