//! The rules of design §4 a second time, deliberately naive, to hold every store against.
//!
//! Owns the [`Reference`] (plain vectors, every question answered by looking at everything), the [`Command`]s it
//! understands, the [`Fold`] of an event feed, and [`Lockstep`], which carries a random script out on the reference
//! and on a store side by side. Does not own invariants of traces (`invariants`) nor scripts that must mean the
//! same on stores with other tokens (`strategy`): here even tokens and generations must be equal.
//!
//! It was written from the rules and not from the table; where both agree, two pairs of eyes have read the rules
//! the same way.
//!
//! ```
//! use enhanced_locking_foundation::{AcquireRequest, OwnerId, ResourceKey, Timestamp};
//! use enhanced_locking_testkit::conformance::FixturePolicy;
//! use enhanced_locking_testkit::reference::{Command, Reference};
//!
//! let mut reference = Reference::new(FixturePolicy::default());
//! let request = AcquireRequest::new(ResourceKey::new("demo")?, OwnerId::new("me")?);
//! let answer = reference.perform(&Command::Acquire(request), Timestamp::from_micros(7));
//! assert!(answer.normal().contains("Held"));
//! assert_eq!(reference.take_events().len(), 1);
//! # Ok::<(), enhanced_locking_foundation::ValueError>(())
//! ```

mod command;
mod entry;
mod fold;
mod handoff;
mod lockstep;
mod model;
mod operations;
mod script;
mod snapshot;

pub use command::{Answer, Command};
pub use fold::Fold;
pub use lockstep::{Lockstep, Move};
pub use model::Reference;
pub use script::{Ask, Scope, Step, Which, policies, steps};
pub use snapshot::Snapshot;
