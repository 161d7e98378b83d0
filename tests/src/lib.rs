//! What the end-to-end tests share: the real command, a service that can be killed and started again, crews of
//! processes, randomness that can be repeated. Owns no test: those are in `tests/`, one target per promise.
//!
//! Nothing here links the command: it is the file a user would start. `ENHANCED_LOCKS_BIN` names it; without that it
//! is the one beside the tests, built when it is not there.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test; there is nobody to hand an error to"
)]

pub mod crew;
pub mod poll;
pub mod program;
pub mod random;
pub mod service;
pub mod tokens;

pub use poll::{Deadline, until};
pub use program::{Done, bare, program};
pub use random::Random;
pub use service::Service;
