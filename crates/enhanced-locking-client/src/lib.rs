//! The HTTP API of an Enhanced Locking service: its bodies, and a client that is a lock backend.
