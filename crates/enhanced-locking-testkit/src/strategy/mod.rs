//! Random command scripts: made, replayed on any backend, and compared step by step.
//!
//! Owns the [steps](Step), their generators, [`replay`] and [`compare`]. Does not own what is right: that is in
//! `invariants` for one store, and in the other store when two are compared (design §3, "differential test").
//!
//! Steps name requests and grants by how long ago they were seen, never by id or token. So a script means
//! something on every backend, and still does when proptest shrinks it.
//!
//! ```
//! use enhanced_locking_testkit::strategy::{Shape, Step, script};
//! use proptest::strategy::{Strategy, ValueTree};
//!
//! let mut runner = proptest::test_runner::TestRunner::deterministic();
//! let tree = script(Shape::default()).new_tree(&mut runner)?;
//! let steps: Vec<Step> = tree.current();
//! assert!(!steps.is_empty());
//! # Ok::<(), proptest::test_runner::Reason>(())
//! ```

mod compare;
mod normal;
mod replay;
mod script;

pub use compare::{Difference, compare};
pub use replay::{Trace, TraceStep, replay};
pub use script::{Generation, Script, Shape, Step, Twist, script};
