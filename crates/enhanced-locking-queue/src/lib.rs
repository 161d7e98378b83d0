//! The order in which requests wait (roadmap PR 5): what a priority is worth, and the line itself.
//!
//! Owns [`CreditTable`] (rank = enqueue time − credit) and [`Line`], an ordered line that tells any place's
//! position in logarithmic time. Pure: no clock, no I/O, no randomness. Does not own who is granted what.
#![forbid(unsafe_code)]

mod credit;
mod line;

pub use credit::{CreditTable, Rank};
pub use line::{Line, Place};
