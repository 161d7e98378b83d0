//! The binary `enhanced-locks`: hands its arguments to the library.
#![forbid(unsafe_code)]
fn main() {}
