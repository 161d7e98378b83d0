//! The durable embedded store of Enhanced Locking (LMDB).
