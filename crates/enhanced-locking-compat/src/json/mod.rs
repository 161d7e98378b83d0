//! JSON as Go's `encoding/json` reads and writes it. Owns bytes and syntax; what records mean is in `record`.
//!
//! Atlantis compares and re-reads what it stored, so that what we write has to be what Go would write, byte for byte
//! ([`to_vec`]), and what we accept has to be what Go accepts: names match whatever their case, broken UTF-8 and lone
//! surrogates become U+FFFD, `null` leaves a member as it was (`scan`).
//!
//! Not owned: floating-point numbers. Atlantis stores none, and Go writes them differently.

mod encode;
mod scan;
mod text;

pub use encode::{EncodeError, to_vec};
pub(crate) use scan::{DEPTH_MAX, Fault, Kind, Value, parse};
pub(crate) use text::{fold_eq, unquote};
