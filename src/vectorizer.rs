//! Making and dropping vectorizers.

use ai_pipeline::config::Embedding;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use crate::{endpoint, server};

mod adopt;
mod altered;
mod create;
mod drop;
mod indexing;
mod names;
mod objects;
mod partitions;
mod replication;
mod schedule;
pub mod triggers;
pub mod validate;

pub use drop::missing;
pub use schedule::{must_own, raise_held};

/// The variable that a vectorizer reads its key from, where the environment of the server lacks it.
#[pg_extern(sql = false)]
fn missing_key(vectorizer_id: i32) -> Option<String> {
    let (config, owner): (String, Oid) = crate::statement::row(
        "SELECT v.config ->> 'embedding', c.relowner
         FROM ai._seen_vectorizer v JOIN pg_class c ON c.oid = v.source WHERE v.id = $1",
        &[vectorizer_id.into()],
        |row| Some((row.get(1)?, row.must(2))),
    )
    .flatten()?;
    let embedding: Embedding = serde_json::from_str(&config).ok()?;
    let provider = server::provider(&embedding, owner).ok()?;
    endpoint::missing_key(&embedding, &provider.options)
}
