//! Tests of the whole crate on files and values that Atlantis and bbolt made (`data/README.md` says how), and on damaged
//! ones. Owns nothing that a unit test beside the code can hold.
//!
//! Random tests are short by default. `PROPTEST_CASES=100000 cargo test -p enhanced-locking-compat --release` is the long
//! run, to be made after touching a reader: every case is a damaged file or value, and none may panic, hang or show a
//! token. A failure prints its shrunk case and is kept in `regressions`, which is tried first from then on.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic")]

mod cases;
mod damage;
mod golden;
mod hostile;
mod properties;
mod secrets;
mod support;
