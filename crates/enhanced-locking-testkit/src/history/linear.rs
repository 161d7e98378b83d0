//! Looks for an order of the calls on one key that explains every answer: the search of Wing and Gong with
//! Lowe's memory of configurations already tried.
//!
//! Owns the search and the lock it compares with: a small sequential one of its own, which knows neither lines nor
//! clocks. A leased holder may vanish once its lease can have run out on the recorder's clock. A call with an
//! unknown outcome may take effect at any time after it was sent, or never.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use enhanced_locking_foundation::{LockMode, RequestId};

use super::{Call, Op, Outcome, rules};

/// Configurations remembered before a search is given up.
const PATIENCE: usize = 1_000_000;

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is such an order.
    Explained,
    /// There is none; the call that could not be placed at the best attempt.
    Impossible(String),
    /// The search grew too large.
    GaveUp,
}

/// The lock as the calls placed so far have left it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    holders: BTreeMap<usize, Held>,
    last_token: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    /// Not known for an acquire whose reply was lost.
    token: Option<u64>,
    mode: LockMode,
    /// The earliest end of its lease; `None` for a sticky lock.
    until: Option<Duration>,
}

/// A call, with what the search needs to know about the others.
struct Placed<'h> {
    op: &'h Op,
    id: usize,
    /// For an acquire: when its request was first sent.
    asked: Duration,
    /// For an acquire: the token that any try of its request was answered with, and so this one, if it was granted.
    token: Option<u64>,
    /// Busy is explained: by a waiter that came and went unseen, or for a release: by an earlier one.
    excused: bool,
}

impl Placed<'_> {
    /// Whether it ends whatever it finds, and nothing if it finds nothing.
    fn ends(&self) -> bool {
        let ends = matches!(self.op.call, Call::Release { .. } | Call::Cancel | Call::Force);
        ends && matches!(self.op.outcome, Outcome::Ok(_))
    }

    /// The state after this call, if it can have been answered as it was.
    fn apply(&self, state: &State) -> Option<State> {
        let mut next = state.clone();
        let latest = self.op.returned.unwrap_or(Duration::MAX);
        let granted = match self.op.outcome {
            Outcome::Ok(granted) => granted.map(|granted| granted.token.as_u64()),
            _ => self.token,
        };
        match (self.op.call, self.op.outcome) {
            (Call::Acquire { .. }, Outcome::Failed) => {
                let others = state.holders.keys().any(|holder| *holder != self.id);
                return (others || self.excused).then_some(next);
            }
            (Call::Acquire { mode, lease, wait }, outcome) => {
                let known = outcome != Outcome::Unknown;
                // An unknown one may be granted and not claimed: it may be gone at any time.
                let until = lease.map(|lease| if known || !wait { self.asked + lease } else { self.asked });
                if let Some(held) = next.holders.get_mut(&self.id) {
                    held.until = held.until.max(until);
                    return match (held.token, granted) {
                        (Some(held), Some(token)) => (held == token).then_some(next),
                        (None, Some(token)) if token > next.last_token => {
                            held.token = granted;
                            next.last_token = token;
                            Some(next)
                        }
                        (None, Some(_)) => None,
                        (_, None) => Some(next),
                    };
                }
                if granted.is_some_and(|token| token <= next.last_token) {
                    return None;
                }
                let in_the_way = |held: &Held| !held.mode.is_compatible_with(mode);
                if next.holders.values().any(|held| in_the_way(held) && !gone_by(held, latest)) {
                    return None;
                }
                next.holders.retain(|_, held| !in_the_way(held));
                next.last_token = granted.unwrap_or(next.last_token);
                next.holders.insert(self.id, Held { token: granted, mode, until });
            }
            (Call::Release { token } | Call::Renew { token, .. }, outcome) => {
                let token = token.as_u64();
                let held =
                    next.holders.get_mut(&self.id).filter(|held| held.token.is_none_or(|t| t == token));
                match (self.op.call, outcome, held) {
                    (Call::Renew { .. }, Outcome::Unknown, _) | (_, Outcome::Unknown, None) => {}
                    (Call::Renew { lease, .. }, Outcome::Ok(_), Some(held)) => {
                        held.until = held.until.map(|until| until.max(self.op.invoked + lease));
                    }
                    (_, Outcome::Ok(_) | Outcome::Unknown, Some(_)) => {
                        next.holders.remove(&self.id);
                    }
                    (Call::Release { .. }, Outcome::Ok(_), None) if self.excused => {}
                    (_, Outcome::Ok(_), None) => return None,
                    (_, Outcome::Failed, Some(held)) if !gone_by(held, latest) => return None,
                    (_, Outcome::Failed, Some(_)) => {
                        next.holders.remove(&self.id);
                    }
                    (_, Outcome::Failed, None) => {}
                }
            }
            (Call::Cancel | Call::Force, Outcome::Failed) => {}
            (Call::Cancel, _) => {
                next.holders.remove(&self.id);
            }
            (Call::Force, _) => next.holders.clear(),
        }
        Some(next)
    }
}

fn gone_by(held: &Held, latest: Duration) -> bool {
    held.until.is_some_and(|until| until <= latest)
}

fn place<'h>(ops: &[&'h Op]) -> Vec<Placed<'h>> {
    let mut ids: HashMap<&RequestId, usize> = HashMap::new();
    let unseen = |op: &Op, busy: &Op| {
        matches!(op.call, Call::Acquire { wait: true, .. })
            && !matches!(op.outcome, Outcome::Ok(_))
            && busy.returned.is_none_or(|returned| op.invoked <= returned)
            && op.returned.is_none_or(|returned| busy.invoked <= returned)
    };
    let mut tokens: HashMap<&RequestId, u64> = HashMap::new();
    for op in ops {
        if let (Call::Acquire { .. }, Outcome::Ok(Some(granted))) = (op.call, op.outcome) {
            tokens.entry(&op.id).or_insert(granted.token.as_u64());
        }
    }
    ops.iter()
        .map(|op| {
            let next = ids.len();
            let id = *ids.entry(&op.id).or_insert(next);
            let excused = match op.call {
                Call::Acquire { wait, .. } => wait || ops.iter().any(|other| unseen(other, op)),
                Call::Release { .. } => ops.iter().any(|other| {
                    !std::ptr::eq(*other, *op)
                        && other.id == op.id
                        && other.call == op.call
                        && other.outcome != Outcome::Failed
                }),
                _ => false,
            };
            let acquires = matches!(op.call, Call::Acquire { .. });
            let asked = if acquires { rules::asked(ops, op) } else { op.invoked };
            let token = if acquires { tokens.get(&op.id).copied() } else { None };
            Placed { op, id, asked, token, excused }
        })
        .collect()
}

/// The calls and returns still to be placed, in the order of time: a doubly linked list that can be undone.
struct Line {
    /// The call of each entry, and whether the entry is its return.
    entries: Vec<(usize, bool)>,
    next: Vec<usize>,
    prev: Vec<usize>,
    /// Where a call's two entries are.
    of: Vec<(usize, Option<usize>)>,
    returns: usize,
}

/// The entry before the first. The entry after the last is [`Line::end`].
const HEAD: usize = 0;

impl Line {
    fn new(calls: &[Placed<'_>]) -> Self {
        let mut times: Vec<(Duration, bool, usize)> = Vec::new();
        for (call, placed) in calls.iter().enumerate() {
            times.push((placed.op.invoked, false, call));
            if let (Some(returned), true) = (placed.op.returned, placed.op.outcome != Outcome::Unknown) {
                times.push((returned, true, call));
            }
        }
        times.sort();
        let mut of = vec![(HEAD, None); calls.len()];
        let mut entries = vec![(usize::MAX, true)];
        for (_, is_return, call) in times {
            if is_return {
                of[call].1 = Some(entries.len());
            } else {
                of[call].0 = entries.len();
            }
            entries.push((call, is_return));
        }
        let count = entries.len();
        let returns = entries.iter().skip(1).filter(|(_, is_return)| *is_return).count();
        let next = (1..=count + 1).collect();
        let prev = (0..=count + 1).map(|entry| entry.saturating_sub(1)).collect();
        Self { entries, next, prev, of, returns }
    }

    fn end(&self) -> usize {
        self.entries.len()
    }

    fn take(&mut self, call: usize) {
        let (at, back) = self.of[call];
        self.unlink(at);
        if let Some(back) = back {
            self.unlink(back);
            self.returns -= 1;
        }
    }

    fn put_back(&mut self, call: usize) {
        let (at, back) = self.of[call];
        if let Some(back) = back {
            self.relink(back);
            self.returns += 1;
        }
        self.relink(at);
    }

    fn unlink(&mut self, entry: usize) {
        let (prev, next) = (self.prev[entry], self.next[entry]);
        self.next[prev] = next;
        self.prev[next] = prev;
    }

    fn relink(&mut self, entry: usize) {
        let (prev, next) = (self.prev[entry], self.next[entry]);
        self.next[prev] = entry;
        self.prev[next] = entry;
    }
}

/// Searches. The calls are those of one key.
pub(super) fn search(ops: &[&Op]) -> Verdict {
    let calls = place(ops);
    let mut line = Line::new(&calls);
    let mut state = State::default();
    let mut taken = vec![0_u64; calls.len().div_ceil(64)];
    let mut tried: HashSet<(Vec<u64>, State)> = HashSet::new();
    let mut placed: Vec<(usize, State)> = Vec::new();
    let mut best: (usize, Option<usize>) = (0, None);
    let mut entry = line.next[HEAD];
    while line.returns > 0 {
        if tried.len() > PATIENCE {
            return Verdict::GaveUp;
        }
        let (call, is_return) = line.entries.get(entry).copied().unwrap_or((usize::MAX, true));
        if !is_return {
            let after = calls[call].apply(&state);
            // An unknown call that would change nothing need not be placed at all.
            if let Some(after) =
                after.filter(|after| *after != state || calls[call].op.outcome != Outcome::Unknown)
            {
                taken[call / 64] |= 1 << (call % 64);
                if tried.insert((taken.clone(), after.clone())) {
                    placed.push((call, std::mem::replace(&mut state, after)));
                    line.take(call);
                    entry = line.next[HEAD];
                    continue;
                }
                taken[call / 64] &= !(1 << (call % 64));
            }
            entry = line.next[entry];
            continue;
        }
        // A call must be placed before its return can be passed: this attempt ends here.
        if entry != line.end() && best.1.is_none_or(|_| placed.len() > best.0) {
            best = (placed.len(), Some(call));
        }
        loop {
            let Some((call, before)) = placed.pop() else {
                let what = best.1.map_or_else(String::new, |call| calls[call].op.to_string());
                let (count, all) = (best.0, calls.len());
                return Verdict::Impossible(format!(
                    "{count} of {all} calls can be ordered, but not: {what}"
                ));
            };
            let changed = before != state;
            state = before;
            taken[call / 64] &= !(1 << (call % 64));
            line.put_back(call);
            entry = line.next[line.of[call].0];
            // Where a call changes nothing, placing it first is as good as placing it later: no need to try that.
            // Unless it ends what it finds: later it may find something.
            if changed || calls[call].ends() {
                break;
            }
        }
    }
    Verdict::Explained
}
