//! Where vectorizers write, as their configurations say it.

use ai_pipeline::config::Destination;
use pgrx::pg_sys::Oid;

use crate::postgres::statement;

fn read(destination: Option<String>) -> Option<Destination> {
    serde_json::from_str(&destination?).ok()
}

/// The column of the source that holds the vectors of a vectorizer, where they are in one.
pub(super) fn column(destination: Destination) -> Option<String> {
    match destination {
        Destination::Table { .. } => None,
        Destination::Column { embedding_column } => Some(embedding_column),
    }
}

/// The same, of the vectorizer with this id. To be called as the extension.
pub fn embedding_column(id: i32) -> Option<String> {
    let sql = include_str!("../../sql/query/vectorizer/destination_of.sql");
    let destination = statement::row(sql, &[id.into()], |row| read(row.get("destination")));
    destination.flatten().and_then(column)
}

fn destinations_of_source(source: Oid) -> Vec<(String, Destination)> {
    let sql = include_str!("../../sql/query/vectorizer/destinations_of_source.sql");
    let found = statement::rows(sql, &[source.into()], |row| {
        Some((row.must("name"), read(row.get("destination"))?))
    });
    found.into_iter().flatten().collect()
}

/// The columns of a source that hold vectors of ours.
pub fn embedding_columns(source: Oid) -> Vec<String> {
    let found = destinations_of_source(source).into_iter();
    found.filter_map(|(_, destination)| column(destination)).collect()
}

/// The name of the vectorizer that writes into a column of its source.
pub fn column_writer(source: Oid, wanted: &str) -> Option<String> {
    let mut found = destinations_of_source(source).into_iter();
    let (name, _) = found.find(|(_, destination)| column(destination.clone()).as_deref() == Some(wanted))?;
    Some(name)
}
