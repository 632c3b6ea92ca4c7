//! Making and dropping vectorizers.

use std::collections::HashMap;

use ai_pipeline::config::Embedding;
use pgrx::iter::TableIterator;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use crate::access::{endpoint, server};
use crate::postgres::statement;

mod adopt;
mod altered;
mod create;
mod drop;
mod dropped;
mod given;
mod handover;
mod indexing;
mod names;
mod number;
mod objects;
mod partitions;
mod pgai;
mod privileges;
pub mod refresh;
mod relation;
mod replication;
mod request;
mod restore;
mod schedule;
mod sections;
mod source;
mod standing;
mod triggers;
pub mod validate;
mod vectorizer_name;

pub use standing::{missing, must_be_served, must_not_be_held, must_own, raise_held, raise_stranger};

/// The variables that vectorizers read their keys from, where the environment of the server lacks them. Many
/// vectorizers have the same embedding and owner: each is looked at once.
#[pg_extern(sql = false)]
fn missing_keys() -> TableIterator<'static, (name!(id, i32), name!(name, String))> {
    let sql = include_str!("../sql/query/vectorizer/embeddings_seen.sql");
    let seen = statement::rows(sql, &[], |row| {
        (row.must::<i32>(1), row.must::<String>(2), row.must::<Oid>(3))
    });
    let mut known: HashMap<(String, Oid), Option<String>> = HashMap::new();
    let mut missing = Vec::new();
    for (id, embedding, owner) in seen {
        let name = known
            .entry((embedding, owner))
            .or_insert_with_key(|(embedding, owner)| {
                let embedding: Embedding = serde_json::from_str(embedding).ok()?;
                let provider = server::provider(&embedding, *owner).ok()?;
                endpoint::missing_key(&embedding, &provider.options)
            });
        missing.extend(name.clone().map(|name| (id, name)));
    }
    TableIterator::new(missing)
}

/// The same of one vectorizer. Version 0.1.0 has it, whose script names it.
#[pg_extern(sql = false)]
fn missing_key(vectorizer_id: i32) -> Option<String> {
    missing_keys().find_map(|(id, name)| (id == vectorizer_id).then_some(name))
}
