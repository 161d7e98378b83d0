//! Every state of a small world, breadth first: two keys, three owners, all operations, time in steps.
//!
//! Each step is checked against the naive reference, against the invariants of design §3 that one table can show
//! (1, 2, 3, 4, 5, 9) and by doing it twice. From the last states the world must heal: nothing is left behind.
//!
//! `MODEL_DEPTH=n` goes `n` steps further than the default, which is chosen to take seconds.

mod support;

use std::collections::HashSet;
use std::time::Duration;

use enhanced_locking_core::LockTable;
use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, BatchOutcome, CancelOutcome, Cause, EndReason, Ended, EventKind,
    FencingToken, Grant, Lease, LockEvent, LockMode, LockQuery, OwnerId, Priority, ReleaseOutcome, Renewal,
    RequestId, RequestState, ResourceKey, Selector, Stats, Ticket, Timestamp, Timing, Transferee, ValueError,
    Wait,
};
use enhanced_locking_testkit::conformance::FixturePolicy;
use enhanced_locking_testkit::reference::{Answer, Command, Fold, Reference, Snapshot};
use support::{ask, policy, snapshot};

const SECOND: Duration = Duration::from_secs(1);
const OWNERS: [&str; 3] = ["a", "b", "c"];
const START: Timestamp = Timestamp::from_micros(1_000_000_000);

/// How much of the world is explored.
struct World {
    keys: u8,
    credits: [u64; 5],
    depth: usize,
    /// So many states there are at least: a model that has quietly become smaller shows.
    at_least: usize,
}

/// One state, and how it was reached.
#[derive(Clone)]
struct Node {
    table: LockTable,
    reference: Reference,
    fold: Fold,
    now: Timestamp,
    seen: Snapshot,
    came: Option<(usize, Step)>,
}

#[derive(Clone, Debug)]
enum Step {
    Ask(Command),
    Advance(Duration),
}

#[test]
fn two_keys_and_three_owners_first_come_first_served() -> Result<(), String> {
    explore(&World { keys: 2, credits: [0; 5], depth: 4, at_least: 10_900 })
}

#[test]
fn one_key_and_three_owners_with_priorities() -> Result<(), String> {
    explore(&World { keys: 1, credits: [0, 1, 3, 3, 3], depth: 5, at_least: 10_200 })
}

fn explore(world: &World) -> Result<(), String> {
    let deeper = std::env::var("MODEL_DEPTH").ok().and_then(|n| n.parse().ok()).unwrap_or(0_usize);
    let mut nodes = vec![Node::new(world)];
    let mut known = HashSet::from([nodes[0].canonical()]);
    let (mut first, mut steps) = (0, 0);
    for _ in 0..world.depth + deeper {
        let layer = first..nodes.len();
        first = nodes.len();
        for at in layer {
            for step in nodes[at].steps(world) {
                steps += 1;
                let mut next = nodes[at].clone();
                next.came = Some((at, step.clone()));
                let done = next.take(&step, world).and_then(|()| {
                    let new = known.insert(next.canonical());
                    if new { next.check_new(world) } else { Ok(()) }.map(|()| new)
                });
                match done {
                    Ok(true) => nodes.push(next),
                    Ok(false) => {}
                    Err(found) => return Err(format!("{found}\nafter\n{}", path(&nodes, &next))),
                }
            }
        }
    }
    for node in &nodes[first..] {
        node.clone().heal(world).map_err(|found| format!("{found}\nafter\n{}", path(&nodes, node)))?;
    }
    println!("{} keys: {} states by {steps} steps", world.keys, nodes.len());
    if nodes.len() < world.at_least {
        return Err(format!("only {} states, at least {} are expected", nodes.len(), world.at_least));
    }
    Ok(())
}

fn path(nodes: &[Node], last: &Node) -> String {
    let mut steps = Vec::new();
    let mut at = last;
    while let Some((from, step)) = &at.came {
        steps.push(format!("  {step:?}"));
        at = &nodes[*from];
    }
    steps.reverse();
    steps.join("\n")
}

impl Node {
    fn new(world: &World) -> Self {
        let bounds = FixturePolicy {
            timing: Timing { claim_window: SECOND, keep_alive: 2 * SECOND },
            credits: world.credits.map(Duration::from_secs),
            ..FixturePolicy::default()
        };
        Self {
            table: LockTable::new(policy(bounds)),
            reference: Reference::new(bounds),
            fold: Fold::default(),
            now: START,
            seen: Snapshot { stats: Stats { now: START, ..Stats::default() }, ..Snapshot::default() },
            came: None,
        }
    }

    /// The reference's state stands for both: every answer, event, view and deadline of the two was equal.
    fn canonical(&self) -> String {
        self.reference.canonical(self.now)
    }

    /// Everything that can be done in this state.
    fn steps(&self, world: &World) -> Vec<Step> {
        let mut all = Vec::new();
        for number in 0..world.keys {
            let key = key(number);
            for owner in 0..OWNERS.len() {
                let fresh = self.fresh(owner, number);
                all.push(Command::Acquire(fresh.clone().wait(Wait::No)));
                all.push(Command::Acquire(fresh.clone()));
                if fresh.mode == LockMode::Shared {
                    all.push(Command::Acquire(fresh.clone().mode(LockMode::Exclusive)));
                }
                all.push(cancel(fresh.ticket(), None));
            }
            all.push(Command::Force(key, None, operator()));
        }
        for ticket in self.reference.live() {
            self.steps_of_live(&ticket, world, &mut all);
        }
        for (ticket, ended) in self.newest_ends(world) {
            let grant = Grant {
                key: ticket.key.clone(),
                id: ticket.id.clone(),
                token: ended.token.unwrap_or(FencingToken::NONE),
            };
            let mut late = AcquireRequest::new(ticket.key.clone(), name(OwnerId::new("a")));
            late.id = ticket.id.clone();
            all.push(Command::Acquire(late));
            all.push(Command::Poll(ticket.clone()));
            all.push(cancel(ticket, None));
            all.push(Command::Release(grant.clone()));
            all.push(Command::Renew(vec![Renewal { grant: grant.clone(), lease: None }]));
            all.push(Command::Transfer(grant, Transferee::new(name(OwnerId::new("b")))));
        }
        for (owner, who) in OWNERS.into_iter().enumerate() {
            all.push(Command::Clear(Selector::Owner(name(OwnerId::new(who))), operator()));
            let batch = (0..world.keys).map(|key| self.fresh(owner, key));
            all.push(Command::AcquireAll(batch.map(|r| r.priority(Priority::High)).collect()));
        }
        all.push(Command::Sweep(1));
        all.push(Command::Sweep(usize::MAX));
        let time = [SECOND, 3 * SECOND].map(Step::Advance);
        all.into_iter().map(Step::Ask).chain(time).collect()
    }

    fn steps_of_live(&self, ticket: &Ticket, world: &World, all: &mut Vec<Command>) {
        let Some((_, state)) = self.table.find(&ticket.id) else { return };
        let generation = self.reference.generation(ticket);
        let stranger = AcquireRequest::new(ticket.key.clone(), name(OwnerId::new("stranger")));
        all.push(Command::Acquire(stranger.id(ticket.id.clone())));
        all.push(Command::Poll(ticket.clone()));
        all.push(cancel(ticket.clone(), None));
        all.push(cancel(ticket.clone(), Some(generation.unwrap_or(0))));
        match state {
            RequestState::Queued(place) => {
                all.push(Command::Acquire((*place.request).clone()));
                all.push(cancel(ticket.clone(), Some(place.generation + 1)));
                if world.credits != [0; 5] {
                    all.push(Command::Reprioritise(ticket.clone(), Priority::Low));
                    all.push(Command::Reprioritise(ticket.clone(), Priority::High));
                }
            }
            RequestState::Held(record) => {
                let grant = record.grant();
                let stale =
                    Grant { token: FencingToken::from_u64(grant.token.as_u64() - 1), ..grant.clone() };
                all.push(Command::Acquire((*record.request).clone()));
                for grant in [grant, stale] {
                    all.push(Command::Release(grant.clone()));
                    for lease in [None, Some(2 * SECOND)] {
                        all.push(Command::Renew(vec![Renewal { grant: grant.clone(), lease }]));
                    }
                    for to in OWNERS {
                        all.push(Command::Transfer(grant.clone(), Transferee::new(name(OwnerId::new(to)))));
                    }
                }
                all.push(Command::Force(ticket.key.clone(), Some(ticket.id.clone()), operator()));
            }
            _ => {}
        }
    }

    /// A request with an id that was never used: `a` is exclusive and leased, `b` shared and leased, `c` sticky.
    fn fresh(&self, owner: usize, number: u8) -> AcquireRequest {
        let mut id = name(RequestId::new("-"));
        for n in 0..100 {
            id = name(RequestId::new(format!("{}{number}-{n}", OWNERS[owner])));
            if self.table.find(&id).is_none() {
                break;
            }
        }
        let request = AcquireRequest::new(key(number), name(OwnerId::new(OWNERS[owner]))).id(id);
        match owner {
            0 => request.lease(Lease::For(3 * SECOND)).wait(Wait::AtMost(3 * SECOND)),
            1 => request.lease(Lease::For(3 * SECOND)).shared(),
            _ => request.sticky(),
        }
    }

    /// The last request of each key that came to its end.
    fn newest_ends(&self, world: &World) -> Vec<(Ticket, Ended)> {
        (0..world.keys).filter_map(|number| self.reference.newest_end(&key(number))).collect()
    }

    /// Takes a step, compares with the reference, and takes it again where that must change nothing.
    fn take(&mut self, step: &Step, world: &World) -> Result<(), String> {
        let command = match step {
            Step::Advance(by) => {
                self.now = self.now.plus(*by);
                self.seen = self.look(world)?;
                return Ok(());
            }
            Step::Ask(command) => command,
        };
        let quiet = self.table.next_deadline().is_none_or(|at| at > self.now);
        let (answer, events) = self.ask(command)?;
        let after = self.look(world)?;
        let before = std::mem::replace(&mut self.seen, after);
        self.fold.check(&self.seen)?;
        if quiet && is_refusal(&answer) && (!events.is_empty() || before != self.seen) {
            return Err(format!("invariant 5: a refusal changed something: {events:?}"));
        }
        // These go on with what is next when they are repeated.
        if let Command::Force(_, None, _) | Command::Sweep(1) = command {
            return Ok(());
        }
        let (again, repeated) = self.ask(command)?;
        let renewed = repeated.iter().all(|event| event.kind == EventKind::Renewed)
            && matches!(command, Command::Renew(_));
        if !repeated.is_empty() && !renewed {
            return Err(format!("invariant 9: the repetition made events: {repeated:?}"));
        }
        if self.seen != snapshot(&self.table, &keys(world), self.now)? {
            return Err("invariant 5: the repetition changed something".to_owned());
        }
        if !same(&answer, &again) {
            return Err(format!("invariant 5: answered {answer:?}, and then {again:?}"));
        }
        Ok(())
    }

    /// Asks both and compares: answers, events, deadlines.
    fn ask(&mut self, command: &Command) -> Result<(Answer, Vec<LockEvent>), String> {
        let answer = ask(&mut self.table, command, self.now).ordered();
        let events = self.table.take_effects().events;
        let wanted = self.reference.perform(command, self.now);
        let wanted = wanted.ordered();
        if !wanted.agrees(&answer) {
            return Err(format!("the answer should be\n{wanted:?}\nbut is\n{answer:?}"));
        }
        let wanted = self.reference.take_events();
        if wanted != events {
            return Err(format!("the events should be\n{wanted:?}\nbut are\n{events:?}"));
        }
        for event in &events {
            self.fold.apply(event)?;
        }
        if self.table.next_deadline() != self.reference.next_deadline() {
            return Err(format!("the next deadline is {:?}", self.table.next_deadline()));
        }
        Ok((answer, events))
    }

    /// Everything that can be seen, if it is what the reference shows.
    fn look(&self, world: &World) -> Result<Snapshot, String> {
        let seen = snapshot(&self.table, &keys(world), self.now)?;
        let wanted = self.reference.snapshot(self.now);
        if wanted != seen {
            return Err(format!("the state should be\n{wanted:#?}\nbut is\n{seen:#?}"));
        }
        Ok(seen)
    }

    /// What is checked once for every state: the table's own invariants, and that a sweep loses no wake-up.
    fn check_new(&self, world: &World) -> Result<(), String> {
        self.table.check_invariants(self.now).map_err(|violation| format!("{violation:?}"))?;
        let mut swept = self.clone();
        swept.ask(&Command::Sweep(usize::MAX))?;
        swept.table.check_invariants(swept.now).map_err(|violation| format!("{violation:?}"))?;
        for view in swept.look(world)?.views {
            let Some(first) = view.waiters.first() else { continue };
            let in_the_way = |mode: LockMode| !mode.is_compatible_with(first.request.mode);
            if !view.holders.iter().any(|record| in_the_way(record.request.mode)) {
                return Err(format!("invariant 3: nobody is in the way of {}", first.request.id));
            }
        }
        Ok(())
    }

    /// Time passes and every holder lets go: in the end nothing is left.
    fn heal(mut self, world: &World) -> Result<(), String> {
        for _ in 0..12 {
            self.now = self.now.plus(1_000 * SECOND);
            self.ask(&Command::Sweep(usize::MAX))?;
            let held = self.table.locks(&LockQuery::default()).map_err(|e| e.to_string())?.items;
            for record in held {
                self.ask(&Command::Release(record.grant()))?;
            }
        }
        let left = self.look(world)?;
        self.table.check_invariants(self.now).map_err(|violation| format!("{violation:?}"))?;
        let nothing =
            left.views.is_empty() && left.stats.held + left.stats.waiting + left.stats.resources == 0;
        if nothing && self.table.next_deadline().is_none() {
            Ok(())
        } else {
            Err(format!("this is left for ever: {left:#?}"))
        }
    }
}

/// Whether an answer says that nothing was done.
fn is_refusal(answer: &Answer) -> bool {
    match answer {
        Answer::Acquire(outcome) => matches!(outcome, Ok(AcquireOutcome::Busy(_)) | Err(_)),
        Answer::AcquireAll(outcome) => matches!(outcome, Ok(BatchOutcome::Busy(_)) | Err(_)),
        Answer::State(state) => matches!(state, RequestState::Finished(_) | RequestState::Unknown),
        Answer::Cancel(outcome) => *outcome != CancelOutcome::Cancelled,
        Answer::Reprioritise(outcome) => outcome.is_err(),
        Answer::Release(outcome) => matches!(outcome, Ok(ReleaseOutcome::AlreadyReleased) | Err(_)),
        Answer::Renew(outcomes) => outcomes.iter().all(Result::is_err),
        Answer::Transfer(outcome) => outcome.is_err(),
        Answer::Force(records) => records.is_empty(),
        Answer::Clear(cleared) => cleared.released.is_empty() && cleared.cancelled.is_empty(),
        Answer::Sweep(outcome) => outcome.ended == 0,
        Answer::Found(_) | Answer::Failed(_) => true,
    }
}

/// Whether the answer to a repetition says the same as the first one: done, and how.
fn same(first: &Answer, again: &Answer) -> bool {
    match (first, again) {
        (Answer::Release(Ok(_)), Answer::Release(again)) => {
            matches!(again, Ok(ReleaseOutcome::AlreadyReleased))
        }
        (Answer::Cancel(CancelOutcome::Cancelled), Answer::Cancel(again)) => {
            matches!(again, CancelOutcome::Finished(ended) if ended.reason == EndReason::Cancelled
                || ended.reason == EndReason::Deadlock)
        }
        (Answer::Reprioritise(Ok(RequestState::Held(_))), Answer::Reprioritise(again)) => again.is_err(),
        (Answer::Force(_) | Answer::Clear(_) | Answer::Sweep(_), again) => is_refusal(again),
        (first, again) => first.agrees(again),
    }
}

fn cancel(ticket: Ticket, generation: Option<u64>) -> Command {
    let reason = if generation.is_some() { EndReason::Deadlock } else { EndReason::Cancelled };
    Command::Cancel { ticket, generation, reason, cause: operator() }
}

fn operator() -> Cause {
    Cause { actor: "operator".to_owned(), reason: "a step says so".to_owned() }
}

fn keys(world: &World) -> Vec<ResourceKey> {
    (0..world.keys).map(key).collect()
}

fn key(number: u8) -> ResourceKey {
    name(ResourceKey::new(format!("k{number}")))
}

#[expect(clippy::unwrap_used, reason = "the names of this world are valid")]
fn name<T>(made: Result<T, ValueError>) -> T {
    made.unwrap()
}
