//! Moving what Atlantis stored into a store of ours, and back out. Owns what one thing is on the way ([`Item`]), its form
//! in a file ([`read_lines`], [`Item::to_line`]) and how it is put in, so that doing it again does no harm; where things
//! come from is the caller's.
//!
//! * **Nothing is lost when it is killed half-way.** The source is only read. What was put in before is recognised and
//!   left as it is, so an import goes on where it stopped.
//! * **Nobody's lock is overwritten.** What is held by somebody else here is reported as a conflict.
//! * **One damaged thing is one report.** It never keeps the others from being moved.
//!
//! Atlantis has no tokens; those given here are above the time of the import in microseconds, and rise from there.
//!
//! ```
//! use enhanced_locking_compat::transfer::Item;
//! let item = Item::new("pr/acme/infra/./default/", br#"{"Pull":{"Num":7}}"#.as_slice());
//! let line = item.to_line();
//! assert_eq!(line, r#"{"key":"pr/acme/infra/./default/","value":"{\"Pull\":{\"Num\":7}}"}"#);
//! assert_eq!(Item::of_line(&line), Ok(item));
//! ```

mod item;
mod lines;
mod mover;

pub use item::Item;
pub use lines::{LINE_BYTES_MAX, LineError, read_lines};
pub use mover::{Difference, Mover, Put};
