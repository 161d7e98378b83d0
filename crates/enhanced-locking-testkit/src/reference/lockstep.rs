//! A store and the reference, step by step. Owns what a step means and the comparison; driving the store is the test's.

use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireRequest, Cause, EndReason, Grant, LockEvent, OwnerId, PullRequest, Renewal, RequestId,
    ResourceKey, Selector, Ticket, Timestamp, Transferee, ValueError,
};

use super::script::Ask;
use super::{Answer, Command, Fold, Reference, Snapshot, Step, Which};
use crate::conformance::FixturePolicy;

/// What the test must do for a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Ask the store this and hand what came of it to [`Lockstep::check`].
    Ask(Command),
    /// Move the clock.
    Advance(Duration),
    /// Close the store, open it again, and call [`Lockstep::restarted`].
    Restart,
    /// Nothing: the step names what is not there.
    Nothing,
}

/// The reference beside a store, with the history that steps refer to.
#[derive(Debug)]
pub struct Lockstep {
    reference: Reference,
    fold: Fold,
    requests: Vec<AcquireRequest>,
    /// Every grant that was handed out, oldest first.
    grants: Vec<Grant>,
    history: Vec<String>,
}

impl Lockstep {
    /// Two empty stores.
    #[must_use]
    pub fn new(policy: FixturePolicy) -> Self {
        Self {
            reference: Reference::new(policy),
            fold: Fold::default(),
            requests: Vec::new(),
            grants: Vec::new(),
            history: Vec::new(),
        }
    }

    /// The keys that any step may name.
    #[must_use]
    pub fn keys(count: u8) -> Vec<ResourceKey> {
        (0..count).map(key).collect()
    }

    /// Turns a step into a move.
    pub fn next(&mut self, step: &Step, now: Timestamp) -> Move {
        let command = match step {
            Step::Advance(by) => return Move::Advance(*by),
            Step::Restart => return Move::Restart,
            Step::Deadline => {
                let next = self.reference.next_deadline().map_or(Duration::ZERO, |at| at.since(now));
                return Move::Advance(next);
            }
            Step::Acquire(ask) => Some(Command::Acquire(self.make(ask))),
            Step::Again { which, owner: other, mode, priority } => self.request(*which).map(|mut request| {
                request.owner = other.map_or(request.owner, owner);
                request.mode = mode.unwrap_or(request.mode);
                request.priority = priority.unwrap_or(request.priority);
                Command::Acquire(request)
            }),
            Step::Batch { again, new } => {
                let mut requests = Vec::new();
                for (which, priority) in again {
                    requests.extend(self.request(*which).map(|mut request| {
                        request.priority = priority.unwrap_or(request.priority);
                        request
                    }));
                }
                requests.extend(new.iter().map(|ask| self.make(ask)));
                Some(Command::AcquireAll(requests))
            }
            Step::Poll(which) => self.ticket(*which).map(Command::Poll),
            Step::Find(which) => self.ticket(*which).map(|ticket| Command::Find(ticket.id)),
            Step::Cancel(which, generation) => self.ticket(*which).map(|ticket| {
                let now = self.reference.generation(&ticket).unwrap_or(0);
                let generation = generation.map(|present| if present { now } else { now + 1 });
                cancel(ticket, generation)
            }),
            Step::CancelUnseen(ask) => Some(cancel(self.make(ask).ticket(), None)),
            Step::Reprioritise(which, priority) => {
                self.ticket(*which).map(|ticket| Command::Reprioritise(ticket, *priority))
            }
            Step::Release(which, older) => self.grant(*which, *older).map(Command::Release),
            Step::Renew(grants, lease) => {
                let grants = grants.iter().filter_map(|(which, older)| self.grant(*which, *older));
                Some(Command::Renew(grants.map(|grant| Renewal { grant, lease: *lease }).collect()))
            }
            Step::Transfer(which, older, to) => self.grant(*which, *older).map(|grant| {
                let to = Transferee { owner: owner(*to), user: Some("u".to_owned()), pull: pull(*to) };
                Command::Transfer(grant, to)
            }),
            Step::Force(at, which) => match which {
                Some(which) => self.ticket(*which).map(|t| Command::Force(t.key, Some(t.id), operator())),
                None => Some(Command::Force(key(*at), None, operator())),
            },
            Step::Clear(who, by_pull) => {
                let selector = match pull(*who).filter(|_| *by_pull) {
                    Some(pull) => Selector::Pull(pull),
                    None => Selector::Owner(owner(*who)),
                };
                Some(Command::Clear(selector, operator()))
            }
            Step::Sweep(budget) => Some(Command::Sweep(*budget)),
        };
        command.map_or(Move::Nothing, Move::Ask)
    }

    /// Asks the reference the same and compares: the answer, the events, everything that can be seen.
    ///
    /// # Errors
    /// The first difference, with all that led to it.
    pub fn check(
        &mut self,
        command: &Command,
        now: Timestamp,
        answer: Answer,
        events: &[LockEvent],
        snapshot: &Snapshot,
    ) -> Result<(), String> {
        self.check_answer(command, now, answer)?;
        self.check_state(now, events, snapshot)
    }

    /// Asks the reference the same and compares the answer only: for commands that were sent together, after the last
    /// of which [`Lockstep::check_state`] compares the rest.
    ///
    /// # Errors
    /// The difference, with all that led to it.
    pub fn check_answer(&mut self, command: &Command, now: Timestamp, answer: Answer) -> Result<(), String> {
        self.history.push(format!("{now}: {command:?}"));
        for record in answer.records() {
            self.grants.push(record.grant());
        }
        let wanted = self.reference.perform(command, now);
        let (wanted, found) = (wanted.normal(), answer.normal());
        if wanted == found { Ok(()) } else { Err(self.differs("answer", &wanted, &found)) }
    }

    /// Compares the events since the last comparison, but goes on with them: they are told again to the next.
    ///
    /// # Errors
    /// The difference, with all that led to it.
    pub fn check_events(&self, events: &[LockEvent]) -> Result<(), String> {
        let wanted = self.reference.events();
        if wanted == events { Ok(()) } else { Err(self.differs("events", &lines(wanted), &lines(events))) }
    }

    /// Compares after the store was closed and opened again.
    ///
    /// # Errors
    /// The first difference, with all that led to it.
    pub fn restarted(
        &mut self,
        now: Timestamp,
        events: &[LockEvent],
        snapshot: &Snapshot,
    ) -> Result<(), String> {
        self.history.push(format!("{now}: closed and opened again"));
        self.reference.restart(now);
        self.check_state(now, events, snapshot)
    }

    /// Compares all events since the last time, and everything that can be seen.
    ///
    /// # Errors
    /// The first difference, with all that led to it.
    pub fn check_state(
        &mut self,
        now: Timestamp,
        events: &[LockEvent],
        found: &Snapshot,
    ) -> Result<(), String> {
        let wanted = self.reference.take_events();
        if wanted != events {
            return Err(self.differs("events", &lines(&wanted), &lines(events)));
        }
        let wanted = self.reference.snapshot(now);
        if wanted != *found {
            return Err(self.differs("state", &format!("{wanted:#?}"), &format!("{found:#?}")));
        }
        for event in events {
            self.fold.apply(event)?;
        }
        self.fold.check(found).map_err(|found| self.differs("feed", "the same", &found))
    }

    fn differs(&self, what: &str, wanted: &str, found: &str) -> String {
        let history = self.history.join("\n  ");
        format!("the {what} should be\n{wanted}\nbut the store has\n{found}\nafter\n  {history}")
    }

    fn make(&mut self, ask: &Ask) -> AcquireRequest {
        let id = named(RequestId::new, "r", self.requests.len());
        let mut request = AcquireRequest::new(key(ask.key), owner(ask.owner)).id(id);
        request.pull = pull(ask.owner);
        request.mode = ask.mode;
        request.priority = ask.priority;
        request.lease = ask.lease;
        request.wait = ask.wait;
        request.max_age = ask.max_age;
        self.requests.push(request.clone());
        request
    }

    fn request(&self, which: Which) -> Option<AcquireRequest> {
        let ticket = self.ticket(which)?;
        self.requests.iter().find(|request| request.id == ticket.id).cloned()
    }

    fn ticket(&self, which: Which) -> Option<Ticket> {
        match which {
            Which::Live(n) => {
                let live = self.reference.live();
                live.get(usize::from(n).checked_rem(live.len())?).cloned()
            }
            Which::Recent(n) => {
                let back = usize::from(n).checked_rem(self.requests.len())?;
                self.requests.iter().rev().nth(back).map(AcquireRequest::ticket)
            }
        }
    }

    /// A grant: of a holder, or one that was handed out some time; `older` means the first one of its request.
    fn grant(&self, which: Which, older: bool) -> Option<Grant> {
        let grant = match which {
            Which::Live(n) => {
                let held = self.reference.held();
                held.get(usize::from(n).checked_rem(held.len())?)?.grant()
            }
            Which::Recent(n) => {
                let back = usize::from(n).checked_rem(self.grants.len())?;
                self.grants.iter().rev().nth(back)?.clone()
            }
        };
        let first = self.grants.iter().find(|other| older && other.id == grant.id);
        Some(first.cloned().unwrap_or(grant))
    }
}

fn cancel(ticket: Ticket, generation: Option<u64>) -> Command {
    let reason = if generation.is_some() { EndReason::Deadlock } else { EndReason::Cancelled };
    Command::Cancel { ticket, generation, reason, cause: operator() }
}

fn lines(events: &[LockEvent]) -> String {
    events.iter().map(|event| format!("  {event:?}\n")).collect()
}

fn key(number: u8) -> ResourceKey {
    named(ResourceKey::new, "k", usize::from(number))
}

fn owner(number: u8) -> OwnerId {
    named(OwnerId::new, "o", usize::from(number))
}

/// Two owners share a pull request, the third has one of a repository with almost the same name, others have none.
fn pull(number: u8) -> Option<PullRequest> {
    let repo = match number {
        0 | 1 => "acme/infra",
        2 => "acme/infra2",
        _ => return None,
    };
    Some(PullRequest { repo: repo.to_owned(), number: 7 })
}

fn operator() -> Cause {
    Cause { actor: "operator".to_owned(), reason: "a step says so".to_owned() }
}

#[expect(clippy::panic, reason = "a letter and a number are a valid name")]
fn named<T>(make: impl FnOnce(String) -> Result<T, ValueError>, letter: &str, number: usize) -> T {
    make(format!("{letter}{number}")).unwrap_or_else(|error| panic!("{letter}{number}: {error}"))
}
