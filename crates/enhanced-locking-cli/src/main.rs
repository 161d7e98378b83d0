//! The binary `enhanced-locks`: hands its arguments to the library.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    enhanced_locking_cli::main()
}
