//! Making and dropping vectorizers.

use pgrx::prelude::*;

mod create;
mod drop;
mod names;
mod objects;
mod partitions;
mod schedule;
mod triggers;
mod validate;

/// The variable that a vectorizer reads its key from, where the environment of the server lacks it.
#[pg_extern(sql = false)]
fn missing_key(vectorizer_id: i32) -> Option<String> {
    let name: Option<String> = crate::statement::row(
        "SELECT config #>> '{embedding,api_key_name}' FROM ai._vectorizer WHERE id = $1",
        &[vectorizer_id.into()],
        |row| row.get(1),
    )
    .flatten();
    name.filter(|name| crate::worker::plain_environment(name).is_none())
}
