//! Workloads of the benchmarks, and the floors they are compared with. Owns what is measured; how often and how
//! it is printed is in `benches/`.
#![forbid(unsafe_op_in_unsafe_fn)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot set itself up has nothing to measure"
)]

pub mod floor;
pub mod footprint;
pub mod handoff;
pub mod pairs;
pub mod redis;
pub mod service;
pub mod table;

use enhanced_locking_foundation::{AcquireRequest, OwnerId, ResourceKey};

/// The allocator of the command, so that what is measured is what runs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A request for the key with a number, by an owner of its own.
#[must_use]
pub fn request(number: usize) -> AcquireRequest {
    let key = ResourceKey::new(format!("acme/infra/envs/project-{number:07}/default")).expect("a valid key");
    let owner = OwnerId::new(format!("acme/infra#{number:07}")).expect("a valid owner");
    AcquireRequest::new(key, owner)
}
