//! Values, errors, events, the backend port and the clock of Enhanced Locking.
