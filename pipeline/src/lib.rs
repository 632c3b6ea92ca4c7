//! uri → bytes → text → chunks → vectors: everything a vectorizer does that is not Postgres.
//!
//! No pgrx, no SQL, no globals, no reading of the environment: values come in, values go out, and each module can be
//! tested, fuzzed and measured without a server.
#![forbid(unsafe_code)]

pub mod account;
pub mod authorities;
pub mod budget;
pub mod chunk;
pub mod config;
pub mod credential;
pub mod cut;
pub mod embed;
pub mod error;
pub mod fingerprint;
pub mod format;
pub mod launch;
pub mod layout;
pub mod lease;
pub mod load;
pub mod memory;
pub mod panics;
pub mod parse;
pub mod plan;
pub mod prepare;
mod process;
#[cfg(test)]
mod properties;
pub mod retry;
pub mod retry_after;
mod s3;
pub mod schedule;
pub mod secret;
pub mod server;
pub mod suspicion;
pub mod texts;
pub mod threads;
pub mod turns;
pub mod uri;
pub mod vector_type;
pub mod verify;
pub mod worker;
