//! The binary `enhanced-locks`: hands its arguments to the library.
#![forbid(unsafe_code)]

/// The store's writer frees what the runtime's threads have allocated, all the time: the system's allocator takes a lock
/// for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    enhanced_locking_cli::main()
}
