//! What goes over the wire between this process and the scripts: MessagePack values one after the other.
//!
//! Owns the form of operations and replies. Whatever a server answers, decoding ends in a value or a typed error.

mod operation;
mod pack;
mod reply;
mod stored;
mod unpack;

pub(crate) use operation::Operation;
pub(crate) use reply::Batch;
pub(crate) use reply::{
    acquired, all_acquired, cancelled, cleared, document, document_put, documents, edges, events, forced,
    found, hints, locks, number, queues, released, renewed, reprioritised, resource, stats, swept,
    transferred, turn,
};
