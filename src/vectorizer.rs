//! Making and dropping vectorizers.

use pgrx::JsonB;
use pgrx::prelude::*;

use crate::endpoint;

mod adopt;
mod create;
mod drop;
mod indexing;
mod names;
mod objects;
mod partitions;
mod replication;
mod schedule;
mod triggers;
pub mod validate;

pub use drop::missing;
pub use schedule::must_own;

/// The variable that a vectorizer reads its key from, where the environment of the server lacks it.
#[pg_extern(sql = false)]
fn missing_key(vectorizer_id: i32) -> Option<String> {
    let config: Option<JsonB> = crate::statement::row(
        "SELECT config -> 'embedding' FROM ai._seen_vectorizer WHERE id = $1",
        &[vectorizer_id.into()],
        |row| row.get(1),
    )
    .flatten();
    endpoint::missing_key(&serde_json::from_value(config?.0).ok()?)
}
