//! Waiting order of Enhanced Locking: priorities, aging, the line itself.
