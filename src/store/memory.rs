//! What is remembered of documents: `ai_pipeline::memory`, in the extension's own table.
//!
//! Primary keys go as the text of their JSON: a long number must not become another row's.

use std::collections::HashMap;

use ai_pipeline::fingerprint::Fingerprint;
use ai_pipeline::load::Tag;
use ai_pipeline::memory::{Memory, Remembered};

use crate::catalog::Vectorizer;
use crate::postgres::statement::{self, Cursor, Row};
use crate::postgres::transaction::acting_as_extension;
use crate::store::destination;
use crate::store::queue::Item;

const MEMORIES: &str = include_str!("../../sql/query/memory/memories.sql");

/// What is remembered of documents that were taken, by their places in the queue. As the owner of the vectorizer, whose
/// destination is looked at.
pub fn memories(vectorizer: &Vectorizer, items: &[Item]) -> HashMap<i64, Remembered> {
    let keys: Vec<&str> = items.iter().map(|item| item.key.as_str()).collect();
    let found = acting_as_extension(|| statement::rows(MEMORIES, &[vectorizer.id.into(), keys.into()], memory));
    let numbered = |(place, memory): (usize, Memory)| Some((items.get(place)?.number, memory));
    let found: HashMap<i64, Memory> = found.into_iter().flatten().filter_map(numbered).collect();
    if found.is_empty() {
        return HashMap::new();
    }
    let stored = destination::count_chunks(vectorizer, found.keys().copied().collect());
    let remembered = found.into_iter().map(|(number, memory)| {
        let stored = stored.get(&number).copied().unwrap_or_default();
        (number, Remembered { memory, stored })
    });
    remembered.collect()
}

/// What was remembered of documents at the moment that a cursor shows, by the places of their primary keys
/// among `keys`.
pub fn memories_beside(cursor: &Cursor, id: i32, keys: &[&str]) -> HashMap<usize, Memory> {
    let found = acting_as_extension(|| cursor.rows(MEMORIES, &[id.into(), keys.to_vec().into()], memory));
    found.into_iter().flatten().collect()
}

/// A row of [`MEMORIES`]: the place of its key, and what is remembered; `None` where that cannot be understood.
fn memory(row: &Row) -> Option<(usize, Memory)> {
    let place = usize::try_from(row.must::<i64>("place") - 1).ok()?;
    let memory = Memory {
        tag: row.get("tag").map(Tag::remembered),
        content: Fingerprint::remembered(&row.must::<Vec<u8>>("content"))?,
        recipe: Fingerprint::remembered(&row.must::<Vec<u8>>("recipe"))?,
        chunks: usize::try_from(row.must::<i32>("chunks")).ok()?,
    };
    Some((place, memory))
}

/// Writes down what is to be remembered of documents, by their primary keys.
pub fn remember(id: i32, documents: &[(&str, &Memory)]) {
    write_down(include_str!("../../sql/query/memory/remember.sql"), id, documents);
}

/// Like [`remember`], of documents that were remembered and not looked into: what has been forgotten meanwhile stays
/// forgotten.
pub fn remember_again(id: i32, documents: &[(&str, &Memory)]) {
    write_down(include_str!("../../sql/query/memory/remember_again.sql"), id, documents);
}

fn write_down(sql: &str, id: i32, documents: &[(&str, &Memory)]) {
    let keys: Vec<&str> = documents.iter().map(|(key, _)| *key).collect();
    let tags: Vec<Option<&str>> = documents
        .iter()
        .map(|(_, memory)| memory.tag.as_ref().map(Tag::as_str))
        .collect();
    let contents: Vec<&[u8]> = documents.iter().map(|(_, memory)| memory.content.as_bytes()).collect();
    let recipes: Vec<&[u8]> = documents.iter().map(|(_, memory)| memory.recipe.as_bytes()).collect();
    let chunks: Vec<i32> = documents
        .iter()
        .map(|(_, memory)| i32::try_from(memory.chunks).unwrap_or(i32::MAX))
        .collect();
    statement::run(
        sql,
        &[
            id.into(),
            keys.into(),
            tags.into(),
            contents.into(),
            recipes.into(),
            chunks.into(),
        ],
    );
}

/// Forgets documents, by their primary keys.
pub fn forget_documents<S: AsRef<str>>(id: i32, keys: &[S]) {
    if !keys.is_empty() {
        let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        let sql = include_str!("../../sql/query/memory/forget_documents.sql");
        statement::run(sql, &[id.into(), keys.into()]);
    }
}

/// Forgets all documents of a vectorizer.
pub fn forget_all_documents(id: i32) {
    statement::run(
        include_str!("../../sql/query/memory/forget_all_documents.sql"),
        &[id.into()],
    );
}

/// Whether anything is remembered of the documents of a vectorizer.
pub fn remembers_documents(id: i32) -> bool {
    let sql = include_str!("../../sql/query/memory/remembers_documents.sql");
    statement::row(sql, &[id.into()], |row| row.must(1)) == Some(true)
}
