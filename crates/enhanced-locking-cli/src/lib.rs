//! The command enhanced-locks.
