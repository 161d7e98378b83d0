//! The log into which guarded commands write their fencing tokens. Owns the check that they rise.

use std::path::Path;

/// Checks that the tokens in a file, one a line, strictly rise; returns how many there are.
///
/// # Panics
/// If the file cannot be read, a line is no number, or a token is not higher than the one before it.
#[track_caller]
pub fn strictly_rising(log: &Path) -> usize {
    let text = std::fs::read_to_string(log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    let tokens: Vec<u64> = text
        .lines()
        .map(|line| {
            line.trim().parse().unwrap_or_else(|_| panic!("{line:?} in the log of tokens is no number"))
        })
        .collect();
    for (at, pair) in tokens.windows(2).enumerate() {
        assert!(pair[0] < pair[1], "line {}: token {} came after {}", at + 2, pair[1], pair[0]);
    }
    tokens.len()
}
