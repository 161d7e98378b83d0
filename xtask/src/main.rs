//! Release and development tasks.
fn main() {}
