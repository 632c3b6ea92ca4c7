//! Vectors that are put aside: of documents that are too large to be embedded in one go, until all of them
//! are there, of those that a lock or a fault of the database keeps from being written, and of those that
//! failed while they were embedded.
//!
//! They keep the memory of the worker flat, and what has been paid for is not paid for again when the rest
//! fails. Those of a document that was given up wait under its primary key, as it has no place in the queue
//! any more: for a week, in case what is wrong with it is changed.

use std::collections::{HashMap, HashSet};

use ai_pipeline::config::Embedding;
use ai_pipeline::fingerprint::Fingerprint;
use ai_pipeline::plan::Digest;

use crate::catalog::Vectorizer;
use crate::postgres::{statement, transaction};
use crate::store::queue::Item;

/// What texts are known by here: their vectors are others under another model.
pub struct Keys(String);

impl Keys {
    /// Of texts for a model.
    pub fn of(embedding: &Embedding) -> Keys {
        Keys(format!(
            "{}/{}/{}",
            embedding.provider(),
            embedding.model(),
            embedding.dimensions()
        ))
    }

    /// Made of a digest, and not of the text: the main thread makes many of them.
    pub fn key(&self, text: &Digest) -> Fingerprint {
        Fingerprint::of(Some(&self.0), text.as_bytes())
    }
}

/// Which of the documents have vectors here, and the keys of their texts.
pub fn keys(vectorizer: &Vectorizer, items: &[&Item]) -> HashMap<i64, HashSet<Fingerprint>> {
    let (numbers, primary_keys): (Vec<i64>, Vec<&str>) =
        items.iter().map(|item| (item.number, item.key.as_str())).unzip();
    let read = || {
        let sql = include_str!("../../sql/query/stash/stashed_keys.sql");
        let arguments = [
            vectorizer.id.into(),
            numbers.clone().into(),
            primary_keys.clone().into(),
        ];
        statement::rows(sql, &arguments, |row| (row.must::<i64>(1), row.must::<Vec<u8>>(2)))
    };
    let mut stashed = read();
    if stashed.iter().any(|(item, _)| *item < 0) {
        let sql = include_str!("../../sql/query/stash/take_back_stash.sql");
        let arguments = [
            vectorizer.id.into(),
            numbers.clone().into(),
            primary_keys.clone().into(),
        ];
        statement::run(sql, &arguments);
        stashed = read();
    }
    let mut keys: HashMap<i64, HashSet<Fingerprint>> = HashMap::new();
    for (item, key) in stashed {
        keys.entry(item).or_default().extend(Fingerprint::remembered(&key));
    }
    keys
}

/// Puts vectors aside, under the keys of their texts.
pub fn put(vectorizer: &Vectorizer, item: i64, keys: &[Fingerprint], vectors: &[Vec<f32>]) {
    if keys.is_empty() {
        return;
    }
    let keys: Vec<&[u8]> = keys.iter().map(Fingerprint::as_bytes).collect();
    let bytes = |vector: &Vec<f32>| vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    let vectors: Vec<Vec<u8>> = vectors.iter().map(bytes).collect();
    let arguments = [vectorizer.id.into(), item.into(), keys.into(), vectors.into()];
    statement::run(include_str!("../../sql/query/stash/stash.sql"), &arguments);
}

/// The vectors of some texts of a document, which are all there.
///
/// Called while the owner of the vectorizer acts; what it reads is the extension's.
pub fn take(vectorizer: &Vectorizer, item: i64, keys: &[Fingerprint]) -> Vec<Vec<f32>> {
    let wanted: Vec<&[u8]> = keys.iter().map(Fingerprint::as_bytes).collect();
    let arguments = [vectorizer.id.into(), item.into(), wanted.into()];
    let read = |row: &statement::Row| (row.must::<Vec<u8>>(1), row.must::<Vec<u8>>(2));
    let sql = include_str!("../../sql/query/stash/stashed_vectors.sql");
    let rows = transaction::acting_as_extension(|| statement::rows(sql, &arguments, read));
    let vectors: HashMap<Vec<u8>, Vec<u8>> = rows.into_iter().collect();
    let numbers = |bytes: &Vec<u8>| {
        let (numbers, _) = bytes.as_chunks::<4>();
        numbers.iter().map(|number| f32::from_le_bytes(*number)).collect()
    };
    let vector = |key: &Fingerprint| vectors.get(key.as_bytes()).map(numbers);
    keys.iter().filter_map(vector).collect()
}

/// Keeps what was put aside of a document that is given up: [`keys`] finds it when the document is back in the queue.
pub fn keep_given_up(vectorizer: &Vectorizer, item: &Item) {
    let sql = include_str!("../../sql/query/stash/keep_stash.sql");
    let arguments = [vectorizer.id.into(), item.number.into(), item.key.as_str().into()];
    statement::run(sql, &arguments);
}

/// Forgets what was put aside of documents.
pub fn forget(vectorizer: &Vectorizer, items: Vec<i64>) {
    statement::run(
        include_str!("../../sql/query/stash/forget_stash.sql"),
        &[vectorizer.id.into(), items.into()],
    );
}

/// Forgets what was put aside of documents that are no longer in the queue, nor were given up in the last week. Whether
/// something is left.
pub fn sweep(vectorizer: &Vectorizer) -> bool {
    let stashed = include_str!("../../sql/query/stash/stashed_items.sql");
    let mut items: Vec<i64> = statement::rows(stashed, &[vectorizer.id.into()], |row| row.must(1));
    if items.is_empty() {
        return false;
    }
    let stashed = items.len();
    let known: HashSet<i64> = vectorizer
        .act(|| {
            let known = &vectorizer.statements.known_items;
            statement::rows(known, &[items.clone().into()], |row| row.must(1))
        })
        .into_iter()
        .collect();
    items.retain(|item| !known.contains(item));
    let is_left = items.len() < stashed;
    forget(vectorizer, items);
    is_left
}
