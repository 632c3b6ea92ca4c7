//! The tables of one vectorizer: its queue, its destination and the index on it, vectors that were paid for,
//! and what is remembered of its documents.

pub mod destination;
pub mod index;
pub mod memory;
pub mod queue;
pub mod stash;
