//! The command `enhanced-locks`: arguments in, work done through the crates below, exit code out.

#![forbid(unsafe_code)]

pub mod supervise;
