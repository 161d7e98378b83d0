//! Locks that are held by this process. Owns their validity on our own clock, their renewal and the guard that programs hold.

mod cell;
mod guard;
mod held;
mod keeper;
mod registry;
mod renewer;
mod signal;
mod window;

pub(crate) use cell::LeaseCell;
pub use guard::LockGuard;
pub(crate) use held::Held;
pub(crate) use registry::{Found, Registry};
pub(crate) use renewer::Renewer;
pub use signal::{LeaseSignal, LeaseState, LossReason};
pub(crate) use window::Window;
