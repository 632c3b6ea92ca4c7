//! uri → bytes → text → chunks → vectors: everything a vectorizer does that is not Postgres.
//!
//! No pgrx, no SQL, no globals, no reading of the environment: values come in, values go out, and each module can be
//! tested, fuzzed and measured without a server.
//!
//! | modules | what is in them |
//! |---|---|
//! | `config`, `server`, `credential`, `secret` | what a vectorizer and its foreign servers were told, checked and typed |
//! | `uri`, `load`, `s3`, `authorities` | where a document is, and its bytes |
//! | `parse`, `process` | bytes to text, in a child process |
//! | `chunk`, `cut`, `threads`, `turns` | text to chunks: the chunkers, and where they run |
//! | `format`, `texts` | what is embedded of a chunk: its template with the columns of its row |
//! | `embed` | texts to vectors: providers, batches, rate limits |
//! | `prepare` | all of that up to the texts, for one document |
//! | `plan`, `memory`, `verify` | which vectors stay, what is remembered, what differs |
//! | `vector_type`, `layout` | the column of the vectors, and how its rows lie on pages |
//! | `error`, `retry`, `retry_after`, `panics` | what went wrong, and what follows from it |
//! | `worker`, `launch`, `lease`, `schedule`, `account`, `suspicion`, `budget` | what the worker and the launcher decide |
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
