//! What Postgres offers, as Rust: statements, transactions, values and errors. Nothing in this room knows a vectorizer.

pub mod aborted;
pub mod allocation;
pub mod arguments;
pub mod error;
pub mod failure;
pub mod json;
pub mod key;
pub mod latch;
pub mod panics;
pub mod parameters;
pub mod portals;
pub mod regclass;
pub mod relation;
pub mod rewritten;
pub mod scan;
pub mod statement;
pub mod swallowed;
pub mod transaction;
pub mod types;
pub mod vector;
