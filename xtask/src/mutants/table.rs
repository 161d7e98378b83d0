//! The planted bugs. Owns nothing else.
//!
//! # Adding an entry
//! 1. Pick a line whose loss would break a rule (the owner check, the barrier before an answer, …).
//! 2. `find` is text that occurs exactly once in `file`; `replace` must still compile.
//! 3. `tests` are arguments of `cargo test` that choose the smallest set of tests that must fail, `filter`
//!    are arguments after `--`. Set `needs_binary` when those tests drive the real `enhanced-locks`.
//! 4. `cargo xtask mutants --only NAME`.

/// One planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mutant {
    /// Short, in words joined by hyphens: `drop-owner-check`.
    pub(super) name: &'static str,
    /// Path from the root.
    pub(super) file: &'static str,
    /// Occurs exactly once in the file.
    pub(super) find: &'static str,
    pub(super) replace: &'static str,
    /// Arguments of `cargo test`: `&["-p", "enhanced-locking-core", "--test", "model"]`.
    pub(super) tests: &'static [&'static str],
    /// Arguments after `--`, to choose single tests. Usually empty.
    pub(super) filter: &'static [&'static str],
    /// Whether the tests drive the real command, which is then built with the bug in it.
    pub(super) needs_binary: bool,
}

/// The bugs.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "drop-the-token-check",
        file: "crates/enhanced-locking-core/src/table/change.rs",
        find: "entry.holding().is_some_and(|holding| holding.token == grant.token)",
        replace: "entry.holding().is_some()",
        tests: &["-p", "enhanced-locking-core", "--test", "conformance"],
        filter: &[],
        needs_binary: false,
    },
    Mutant {
        name: "reuse-a-token",
        file: "crates/enhanced-locking-core/src/table/handoff.rs",
        find: "self.last_token = self.last_token.next(now);",
        replace: "self.last_token = self.last_token.max(FencingToken::NONE.next(now));",
        tests: &["-p", "enhanced-locking-core", "--test", "conformance"],
        filter: &[],
        needs_binary: false,
    },
    Mutant {
        name: "hand-off-to-the-wrong-waiter",
        file: "crates/enhanced-locking-core/src/table/handoff.rs",
        find: "while let Some((_, &handle)) = self.resources[resource].line.first() {",
        replace: "while let Some((_, &handle)) = self.resources[resource].line.iter().last() {",
        tests: &["-p", "enhanced-locking-core", "--test", "conformance"],
        filter: &[],
        needs_binary: false,
    },
    Mutant {
        name: "forget-to-hand-on-after-a-release",
        file: "crates/enhanced-locking-core/src/table/change.rs",
        find: "        let next = self.promote(resource, now);",
        replace: "        let next = Vec::new();",
        tests: &["-p", "enhanced-locking-core", "--test", "conformance"],
        filter: &[],
        needs_binary: false,
    },
    Mutant {
        name: "let-readers-pass-a-queued-writer",
        file: "crates/enhanced-locking-core/src/table/acquire.rs",
        find: "self.resources[resource].line.first().is_none_or(|(first, _)| place < first)",
        replace: "{ let _ = place; true }",
        tests: &["-p", "enhanced-locking-core", "--test", "conformance"],
        filter: &[],
        needs_binary: false,
    },
    Mutant {
        name: "meet-expired-holders",
        file: "crates/enhanced-locking-core/src/table/handoff.rs",
        find: "if !self.is_anything_over(now) {",
        replace: "if now.as_micros() > 0 {",
        tests: &["-p", "enhanced-locking-core", "--test", "conformance"],
        filter: &[],
        needs_binary: false,
    },
    Mutant {
        name: "forget-what-has-ended",
        file: "crates/enhanced-locking-core/src/table/acquire.rs",
        find: "if let Some(ended) = self.finished.of(hash, &request.id, &request.key) {",
        replace: "if let Some(ended) = self.finished.of(hash, &request.id, &request.key).filter(|_| false) {",
        tests: &["-p", "enhanced-locking-core", "--test", "conformance"],
        filter: &[],
        needs_binary: false,
    },
    Mutant {
        name: "count-re-entry",
        file: "crates/enhanced-locking-core/src/table/acquire.rs",
        find: "        let Some(handle) = self.owners.get(&request.owner, &request.key) else {",
        replace: "        let Some(handle) = self.owners.get(&request.owner, &request.key).filter(|_| false) else {",
        tests: &["-p", "enhanced-locking-core", "--test", "conformance"],
        filter: &[],
        needs_binary: false,
    },
    Mutant {
        name: "take-part-of-a-batch",
        file: "crates/enhanced-locking-core/src/table/acquire.rs",
        find: "        if !busy.is_empty() {",
        replace: "        if busy.len() == own.len() {",
        tests: &["-p", "enhanced-locking-core", "--test", "conformance"],
        filter: &[],
        needs_binary: false,
    },
    Mutant {
        name: "claim-without-an-event",
        file: "crates/enhanced-locking-core/src/table/change.rs",
        find: "            self.emit(EventKind::Claimed,",
        replace: "            if now.as_micros() == 0 { self.emit(EventKind::Renewed, None, now); }\n            let _ = (EventKind::Claimed,",
        tests: &["-p", "enhanced-locking-core", "--test", "conformance"],
        filter: &[],
        needs_binary: false,
    },
    Mutant {
        name: "pay-credits-the-wrong-way",
        file: "crates/enhanced-locking-queue/src/credit.rs",
        find: "saturating_sub(credit))",
        replace: "saturating_add(credit))",
        tests: &["-p", "enhanced-locking-queue", "--test", "line"],
        filter: &[],
        needs_binary: false,
    },
    Mutant {
        name: "lose-count-in-the-line",
        file: "crates/enhanced-locking-queue/src/line.rs",
        find: "            self.nodes[at as usize].size -= 1;\n",
        replace: "",
        tests: &["-p", "enhanced-locking-queue", "--test", "line"],
        filter: &[],
        needs_binary: false,
    },
    Mutant {
        name: "answer-before-the-commit",
        file: "crates/enhanced-locking-embedded/src/writer.rs",
        find: "        let committed = self.store.commit(",
        replace: "        batch.drain(..).for_each(|job| job.answer(None));\n        let committed = self.store.commit(",
        tests: &["-p", "enhanced-locking-embedded", "--lib", "--tests"],
        filter: &[],
        needs_binary: false,
    },
    Mutant {
        name: "cut-leases-short-after-a-restart",
        file: "crates/enhanced-locking-embedded/src/engine.rs",
        find: "        loaded.table.resume(",
        replace: "        if false { loaded.table.resume(clock.now()); }\n        let _ = (",
        tests: &["-p", "enhanced-locking-embedded", "--test", "conformance"],
        filter: &[],
        needs_binary: false,
    },
];
