//! The script that carries out operations. Owns putting its parts together with the constants of layout and policy;
//! what it does is in `scripts/*.lua`.

use std::time::Duration;

use enhanced_locking_foundation::{DocumentUpdate, EndReason, Limits, Page, Priority, QueuePlace};

use crate::RedisConfig;

/// The parts, in order: what is used stands before what uses it.
const PARTS: [&str; 10] = [
    include_str!("scripts/store.lua"),
    include_str!("scripts/short.lua"),
    include_str!("scripts/feed.lua"),
    include_str!("scripts/index.lua"),
    include_str!("scripts/handoff.lua"),
    include_str!("scripts/acquire.lua"),
    include_str!("scripts/own.lua"),
    include_str!("scripts/manage.lua"),
    include_str!("scripts/read.lua"),
    include_str!("scripts/document.lua"),
];
const RUN: &str = include_str!("scripts/run.lua");
/// Comes last, where it is wanted.
const STRICT: &str = include_str!("scripts/strict.lua");

/// What an operation on a free resource needs. Everything else is made only when it is first used: a script makes
/// all its functions anew with every call, and that would cost more than what they do.
const HOT: [&str; 16] = [
    "load",
    "many",
    "flush",
    "sync",
    "do_acquire",
    "do_release",
    "end_plain",
    "text",
    "emit",
    "append_events",
    "over",
    "tell",
    "first_holder",
    "first_waiting",
    "next_token",
    "expiry",
];
/// Operations by their numbers, from 1.
const OPERATIONS: [&str; 29] = [
    "acquire",
    "release",
    "renew",
    "poll",
    "cancel",
    "reprioritise",
    "transfer",
    "withdraw",
    "find",
    "acquire_all",
    "force",
    "clear",
    "sweep",
    "resource",
    "locks",
    "selected",
    "queues",
    "owner_edges",
    "edges",
    "stats",
    "events",
    "listen",
    "now",
    "ping",
    "replication",
    "document",
    "put_document",
    "delete_document",
    "documents",
];
/// Variables that all functions share; what they hold is told at the head of `store.lua` and in `short.lua`.
const SHARED: &str = "F, S, K, M, B, E, D, V, L, A, R, P, Q, T, pending, call, now";

/// The clock is read once per call (design §4, "time").
const SERVER_TIME: &str =
    "local time = redis.call('TIME')\nnow = tonumber(time[1]) * 1000000 + tonumber(time[2])\n";
/// A script of its own, so that nobody can tell the time to the one that is used.
const TEST_TIME: &str = "now = tonumber(ARGV[2])\n";
/// End of the name of the function that may be called when memory is full: for what does not add to it.
pub(crate) const FREE: &str = "free";

/// Fields of an entry in a script, from 1. What the request says comes as the asker has packed it: the tail.
const ENTRY: [&str; 17] = [
    "tail", "key", "owner", "pull", "mode", "lease", "wait", "max_age", "priority", "user", "metadata",
    "token", "since", "limit", "alive", "sequence", "node",
];
/// How many of them the tail has.
pub(crate) const SAID: usize = 10;
/// Fields of a remembered end; the first is what kind of a stored form it is.
const ENDED: [&str; 6] =
    ["ended_kind", "ended_reason", "ended_at", "ended_token", "ended_number", "ended_key"];
/// First bytes of stored forms: a holder that has claimed, any other live entry, an end.
pub(crate) const KINDS: [&str; 3] = ["plain", "other", "over"];
/// The bucket's own figures, all numbers. Those of the priorities are one after the other; one is free.
const META: [&str; 15] = [
    "last_token",
    "events",
    "last_sequence",
    "held",
    "waiting",
    "resources",
    "finished",
    "spare",
    "next",
    "time",
    "waiting_low",
    "waiting_normal",
    "waiting_high",
    "waiting_critical",
    "waiting_emergency",
];
const LISTENERS: &str = "listeners";
/// Kinds of events, from 1.
pub(crate) const EVENTS: [&str; 8] = [
    "event_queued",
    "event_acquired",
    "event_granted",
    "event_claimed",
    "event_renewed",
    "event_reprioritised",
    "event_transferred",
    "event_ended",
];

/// Added to ranks so that they are never negative: credits reach further back than the epoch in tests only.
const RANK_OFFSET: u64 = 1 << 52;
/// Numbers of Lua are exact up to here.
const EXACT: u64 = 1 << 53;
/// What a bucket may always have of a total that is divided among buckets.
const LEAST_SHARE: usize = 64;
/// Soft edges named per waiting request.
const MAX_AHEAD: usize = 64;

/// The same code in its two forms.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    /// For `EVAL`: all of it is run with every call, so it makes only those functions that are used. Servers from 7.0 on
    /// are given it as [`Code::flagged`] has it.
    pub(crate) script: String,
    /// Name of the library, and of the function in it; another one with other settings or other code.
    pub(crate) name: String,
    /// For `FUNCTION LOAD`: its functions are made once. Servers know libraries from 7.0 on.
    pub(crate) library: String,
}

impl Code {
    /// The code for a store.
    pub(crate) fn new(config: &RedisConfig) -> Self {
        let constants = Constants::new(config);
        let strict = config.durability.pause().is_some().then_some(STRICT);
        let time = if config.clock.is_some() { TEST_TIME } else { SERVER_TIME };
        let (mut head, mut hot, mut cold, mut run) = Default::default();
        for block in PARTS.into_iter().flat_map(blocks) {
            let part = match name_of(block) {
                None => &mut head,
                // What the class strict has of its own takes the place of what others have.
                Some(name)
                    if strict.is_some_and(|strict| blocks(strict).any(|b| name_of(b) == Some(name))) =>
                {
                    continue;
                }
                Some(name) if HOT.contains(&name) => &mut hot,
                Some(_) => &mut cold,
            };
            constants.fill(block, part);
        }
        constants.fill(strict.unwrap_or_default(), &mut hot);
        constants.fill(RUN, &mut run);
        let head: String = head;
        let operations = OPERATIONS.map(|name| format!("'do_{name}'")).join(", ");
        let operations = format!("local operations = {{ {operations} }}\n");
        let script = format!(
            "local {SHARED} = {{}}\n{operations}{time}{head}{hot}setmetatable(F, {{ __index = function(_, name)\n\
             setmetatable(F, nil)\n{cold}return F[name]\nend }})\n{run}"
        );
        let body = format!(
            "local {SHARED}, ARGV, KEYS = {{}}\n{operations}{hot}{cold}local function run(keys, args)\n\
             KEYS, ARGV = keys, args\n{time}{head}{run}end\n"
        );
        // Two copies of one hash with different beginnings: enough to tell versions and settings apart.
        let name = format!("enhanced_locks_{:08x}{:08x}", fnv(0x811c_9dc5, &body), fnv(0x9747_b28c, &body));
        let library = format!(
            "#!lua name={name}\n{body}redis.register_function('{name}', run)\nredis.register_function{{ \
             function_name = '{name}_{FREE}', callback = run, flags = {{ 'allow-oom' }} }}\n"
        );
        Self { script, name, library }
    }

    /// The script for what may add to what is stored, or for what must work when memory is full.
    pub(crate) fn flagged(&self, may_fill: bool) -> String {
        format!("#!lua{}\n{}", if may_fill { "" } else { " flags=allow-oom" }, self.script)
    }
}

/// A small hash that stays what it is (FNV-1a).
fn fnv(start: u32, text: &str) -> u32 {
    text.bytes().fold(start, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A part in pieces that begin with a function each; the first has what stands before.
fn blocks(part: &str) -> impl Iterator<Item = &str> {
    let starts = part.match_indices("\nfunction F.").map(|(at, _)| at + 1);
    let bounds: Vec<usize> = std::iter::once(0).chain(starts).chain([part.len()]).collect();
    (1..bounds.len()).map(move |n| &part[bounds[n - 1]..bounds[n]])
}

/// The name of the function that a piece begins with.
fn name_of(block: &str) -> Option<&str> {
    block.strip_prefix("function F.")?.split('(').next()
}

/// The code of a reason in scripts, from 1.
pub(crate) fn reason_code(reason: EndReason) -> u64 {
    EndReason::ALL.iter().position(|other| *other == reason).map_or(0, |at| at as u64 + 1)
}

/// The reason of a code.
pub(crate) fn reason_of(code: u64) -> Option<EndReason> {
    EndReason::ALL.get(usize::try_from(code.checked_sub(1)?).ok()?).copied()
}

/// What the names in the scripts stand for.
struct Constants(Vec<(&'static str, String)>);

impl Constants {
    /// Those of a store. Its buckets share the totals evenly.
    fn new(config: &RedisConfig) -> Self {
        let (policy, buckets) = (&config.policy, usize::from(config.buckets()));
        let sharded = config.servers.is_cluster();
        let pause = config.durability.pause();
        let only_strict = |text: &str| if pause.is_some() { text.to_owned() } else { String::new() };
        let Limits {
            waiters_per_key,
            waiters_per_owner,
            waiters_total,
            locks_total,
            finished,
            events,
            documents,
            document_bytes,
            ..
        } = policy.limits;
        // A share too small to be of use is not made: then the total is only nearly kept.
        let share_of = |total: usize, least: usize| total.div_ceil(buckets.max(1)).max(least).min(total);
        let share = |total: usize| share_of(total, LEAST_SHARE);
        let figure = |value: usize| (value as u64).min(EXACT).to_string();
        let micros = |duration: Duration| {
            u64::try_from(duration.as_micros()).unwrap_or(EXACT).min(RANK_OFFSET / 2).to_string()
        };
        let meta: Vec<&str> = META.into_iter().chain([LISTENERS]).collect();
        let credits = Priority::ALL.map(|priority| micros(policy.credits.credit(priority)));
        let mut all = vec![
            ("limit_per_key", figure(waiters_per_key)),
            ("limit_per_owner", figure(waiters_per_owner)),
            ("limit_waiting", figure(share(waiters_total))),
            ("limit_locks", figure(share(locks_total))),
            ("limit_finished", figure(share(finished))),
            ("limit_events", figure(share(events))),
            ("limit_documents", figure(share(documents))),
            // Every bucket has room for the longest one.
            ("limit_document_bytes", figure(share_of(document_bytes, DocumentUpdate::MAX_VALUE))),
            ("claim_window", micros(policy.timing.claim_window)),
            ("keep_alive", micros(policy.timing.keep_alive)),
            ("credits", credits.join(", ")),
            ("rank_offset", RANK_OFFSET.to_string()),
            ("max_blockers", QueuePlace::MAX_BLOCKERS.to_string()),
            ("max_page", Page::<()>::MAX_ITEMS.to_string()),
            ("max_ahead", MAX_AHEAD.to_string()),
            ("publish", if sharded { "SPUBLISH" } else { "PUBLISH" }.to_owned()),
            ("meta_format", format!("<{}", "d".repeat(meta.len()))),
            ("strict", pause.is_some().to_string()),
            ("paused", if pause.is_some() { "S.paused" } else { "false" }.to_owned()),
            ("least_pause", micros(pause.unwrap_or_default())),
            ("look_for_promotion", only_strict("F.look_for_promotion()")),
            ("note_lease", only_strict("F.note_lease(lease)")),
            ("meta_empty", vec!["0"; meta.len()].join(", ")),
            ("meta_len", meta.len().to_string()),
            ("said", SAID.to_string()),
            ("plain_format", "<Bddd".to_owned()),
            ("plain_len", "25".to_owned()),
            ("other_format", "<Bddddd".to_owned()),
            ("other_len", "41".to_owned()),
            ("over_format", "<BBddd".to_owned()),
            ("event_format", "<BdddHII".to_owned()),
        ];
        all.extend(KINDS.iter().enumerate().map(|(at, name)| (*name, at.to_string())));
        for names in [&ENTRY[..], &ENDED, &meta, &EVENTS] {
            all.extend(names.iter().enumerate().map(|(at, name)| (*name, (at + 1).to_string())));
        }
        all.extend(EndReason::ALL.map(|reason| (reason.as_str(), reason_code(reason).to_string())));
        Self(all)
    }

    /// Adds a part, with every name replaced by what it stands for and comments left out.
    fn fill(&self, part: &str, text: &mut String) {
        for line in part.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--")) {
            let mut pieces = line.split('$');
            text.push_str(pieces.next().unwrap_or_default());
            for piece in pieces {
                let end = piece.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(piece.len());
                let (name, rest) = piece.split_at(end);
                let value = self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
                // An unknown name stays, and no server accepts it; a test below looks for them.
                text.push_str(value.unwrap_or("$"));
                text.push_str(if value.is_some() { "" } else { name });
                text.push_str(rest);
            }
            text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RedisDurability, Servers};

    #[test]
    fn every_name_in_the_scripts_stands_for_something() {
        let mut config = RedisConfig::new(Servers::single("127.0.0.1", 6379));
        for durability in [RedisDurability::fast(), RedisDurability::strict(1)] {
            config.durability = durability;
            let code = Code::new(&config);
            let text = code.script + &code.library;
            let left: Vec<&str> = text.lines().filter(|line| line.contains('$')).collect();
            assert_eq!(left, Vec::<&str>::new());
        }
    }

    #[test]
    fn every_hot_function_is_there() {
        let all: Vec<&str> = PARTS.into_iter().flat_map(blocks).collect();
        for name in HOT {
            assert!(all.iter().any(|block| name_of(block) == Some(name)), "{name}");
        }
        let text: String = all.concat();
        assert_eq!(text, PARTS.concat());
    }

    #[test]
    fn no_two_names_are_the_same() {
        let Constants(all) = Constants::new(&RedisConfig::new(Servers::single("127.0.0.1", 6379)));
        for (at, (name, _)) in all.iter().enumerate() {
            assert!(all[..at].iter().all(|(other, _)| other != name), "{name} is there twice");
        }
    }

    #[test]
    fn reasons_have_codes_and_back() {
        for reason in EndReason::ALL {
            assert_eq!(reason_of(reason_code(reason)), Some(reason));
        }
        assert_eq!((reason_of(0), reason_of(11)), (None, None));
    }
}
