//! What can go wrong, one enum per operation (design §9). Owns the stable codes; causes and remedies are explained in `docs/errors.md`.

mod backend;
mod code;
mod operation;
mod value;

pub use backend::{BackendError, BackendErrorKind};
pub use code::ErrorCode;
pub use operation::{AcquireError, NotHeld, ReleaseError, ReprioritiseError, TransferError};
pub use value::ValueError;
