//! Enhanced Locking: a lock manager for infrastructure automation.
