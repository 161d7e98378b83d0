//! More planted bugs of the Redis store: in its scripts, and in what lies between them and the caller. Owns nothing else;
//! how to add an entry is in `table`.

use super::table::Mutant;

/// The fast tests, on a server of their own.
const CONFORMANCE: &[&str] = &["-p", "enhanced-locking-redis", "--test", "conformance"];
const STORE: &[&str] = &["-p", "enhanced-locking-redis", "--test", "store"];
const DIFFERENTIAL: &[&str] = &["-p", "enhanced-locking-redis", "--test", "differential"];
const CLOCK: &[&str] = &["-p", "enhanced-locking-redis", "--test", "clock"];

/// A bug in a script.
const fn lua(
    name: &'static str,
    file: &'static str,
    find: &'static str,
    replace: &'static str,
    tests: &'static [&'static str],
) -> Mutant {
    Mutant { name, file, find, replace, tests, filter: &[], needs_binary: false }
}

/// A bug in the short way of a script, or in how operations of one call see each other.
const fn short(name: &'static str, file: &'static str, find: &'static str, replace: &'static str) -> Mutant {
    let filter = &["many_in_one_call_do_what_the_reference_does"];
    Mutant { filter, ..lua(name, file, find, replace, DIFFERENTIAL) }
}

/// The bugs.
pub(super) const REDIS: &[Mutant] = &[
    lua(
        "redis-wait-for-ever-for-a-claim",
        "crates/enhanced-locking-redis/src/scripts/handoff.lua",
        "if entry[$lease] == 0 then return 0 end",
        "if entry[$lease] >= 0 then return 0 end",
        CONFORMANCE,
    ),
    lua(
        "redis-claim-without-an-event",
        "crates/enhanced-locking-redis/src/scripts/acquire.lua",
        "    F.emit($event_claimed, id, F.packed(id), 0, '', '')\n",
        "",
        CONFORMANCE,
    ),
    lua(
        "redis-hand-off-to-the-last",
        "crates/enhanced-locking-redis/src/scripts/handoff.lua",
        "    local id = F.first_waiting(key)\n",
        "    local line = F.line(key, 0, -1)\n    local id = line[#line]\n",
        CONFORMANCE,
    ),
    lua(
        "redis-forget-what-has-ended",
        "crates/enhanced-locking-redis/src/scripts/acquire.lua",
        "local ended = F.ended(id, wanted[$key])",
        "local ended = nil",
        CONFORMANCE,
    ),
    lua(
        "redis-take-one-more-than-the-line-has-room-for",
        "crates/enhanced-locking-redis/src/scripts/acquire.lua",
        "if depth >= $limit_per_key then",
        "if depth > $limit_per_key then",
        CONFORMANCE,
    ),
    lua(
        "redis-read-the-clock-again-for-deadlines",
        "crates/enhanced-locking-redis/src/scripts/handoff.lua",
        "return deadline > 0 and deadline <= now",
        "local time = call('TIME')\n  return deadline > 0 and deadline <= time[1] * 1000000 + time[2]",
        CONFORMANCE,
    ),
    lua(
        "redis-put-the-time-together-of-two",
        "crates/enhanced-locking-redis/src/script.rs",
        "+ tonumber(time[2])",
        "+ tonumber(redis.call('TIME')[2])",
        CLOCK,
    ),
    lua(
        "redis-take-part-of-a-batch",
        "crates/enhanced-locking-redis/src/scripts/acquire.lua",
        "  if #blocked > 0 then\n",
        "  if #blocked == #ids then\n",
        CONFORMANCE,
    ),
    Mutant {
        filter: &["a_server_that_forgot_the_code_is_given_it_again"],
        ..lua(
            "redis-give-up-when-a-script-is-forgotten",
            "crates/enhanced-locking-redis/src/driver/call.rs",
            ".starts_with(\"NOSCRIPT\")",
            ".starts_with(\"NEVER\")",
            STORE,
        )
    },
    Mutant {
        filter: &["a_lost_answer_is_unknown_and_a_retry_tells"],
        ..lua(
            "redis-call-a-lost-answer-a-failure",
            "crates/enhanced-locking-redis/src/driver/mod.rs",
            "BackendErrorKind::Indeterminate,",
            "BackendErrorKind::Unavailable,",
            STORE,
        )
    },
    Mutant {
        filter: &["two_processes_share_locks_lines_and_wake_ups"],
        ..lua(
            "redis-tell-nobody-of-a-hand-off",
            "crates/enhanced-locking-redis/src/scripts/handoff.lua",
            "  F.hint(id, entry)\n  -- One",
            "  -- One",
            STORE,
        )
    },
    Mutant {
        filter: &["a_waiter_whose_hints_are_lost_finds_its_turn_by_itself"],
        ..lua(
            "redis-wait-for-a-hint-only",
            "crates/enhanced-locking-redis/src/backend/turns.rs",
            "let pause = left.map_or(period, |left| left.min(period));",
            "let pause = left.unwrap_or(period);",
            STORE,
        )
    },
    short(
        "redis-take-what-was-taken-in-the-same-call",
        "crates/enhanced-locking-redis/src/scripts/short.lua",
        "  if T[key] then F.sync() end\n  local m = M\n",
        "  local m = M\n",
    ),
    short(
        "redis-take-with-an-id-that-is-used",
        "crates/enhanced-locking-redis/src/scripts/short.lua",
        "if $paused or B[id] ~= false or ",
        "if $paused or ",
    ),
    short(
        "redis-release-by-any-token",
        "crates/enhanced-locking-redis/src/scripts/short.lua",
        "if held == token and own == key",
        "if own == key",
    ),
    short(
        "redis-release-the-resource-of-others",
        "crates/enhanced-locking-redis/src/scripts/short.lua",
        "own == key and mode == 0 and",
        "own == key and",
    ),
    short(
        "redis-release-past-the-line",
        "crates/enhanced-locking-redis/src/scripts/short.lua",
        "mode == 0 and not F.first_waiting(key) then",
        "mode == 0 then",
    ),
    short(
        "redis-release-what-is-over",
        "crates/enhanced-locking-redis/src/scripts/short.lua",
        " and (next == 0 or next > now) then",
        " then",
    ),
    short(
        "redis-read-what-is-not-written-yet",
        "crates/enhanced-locking-redis/src/scripts/run.lua",
        "if operation[1] > 2 then F.sync() end",
        "if operation[1] > 25 then F.sync() end",
    ),
    short(
        "redis-lose-events-of-the-same-call",
        "crates/enhanced-locking-redis/src/scripts/read.lua",
        "local stored = last - #V",
        "local stored = last",
    ),
    Mutant {
        filter: &["the_memory_of_ends_goes_on_when_its_list_is_wrong"],
        ..lua(
            "redis-forget-what-is-to-be-remembered",
            "crates/enhanced-locking-redis/src/scripts/feed.lua",
            "if number <= M[$finished] - $limit_finished then del",
            "if number > 0 then del",
            STORE,
        )
    },
];
