//! The chunks of documents in their destination: read, and replaced.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;

use ai_pipeline::plan::{Digest, Plan};
use ai_pipeline::texts::Texts;
use pgrx::datum::DatumWithOid;

use crate::catalog::{DestinationStatements, Vectorizer};
use crate::postgres::swallowed::must_be_written;
use crate::postgres::{statement, transaction, vector};

/// Vectors that one statement carries, in bytes, and texts as many. They are in memory a second time, as its argument.
const CARGO: usize = 4 << 20;

/// A chunk as it is stored.
#[derive(Debug)]
pub struct StoredChunk {
    pub uuid: String,
    pub seq: i32,
    /// Of its text, which may be long: nobody has reserved memory for what a document was before. `None`: it
    /// is longer than any text of its document.
    pub text: Option<Digest>,
}

/// What the chunks of a document turn into.
pub struct Replacement<'a> {
    /// The place of the document in the queue.
    pub number: i64,
    pub plan: &'a Plan,
    /// What `plan` keeps and removes.
    pub stored: &'a [StoredChunk],
    /// All new texts.
    pub texts: &'a Texts,
    /// Of the texts that `plan.embed` names, in its order.
    pub vectors: &'a [Vec<f32>],
}

/// What a stored chunk takes up while it is read and compared, in bytes, generously.
const STORED: u64 = 1024;

/// How many stored chunks may be in memory of the documents of one owner, where so many bytes are for documents.
pub fn most_stored(max_memory: u64) -> usize {
    usize::try_from(max_memory / STORED).unwrap_or(usize::MAX)
}

/// How many chunks are stored of documents that are in the queue, by their places there: one more than `most`
/// stands for more. A column keeps no texts to compare with: none.
pub fn count_stored(vectorizer: &Vectorizer, numbers: Vec<i64>, most: usize) -> HashMap<i64, usize> {
    let DestinationStatements::Table { count_stored, .. } = &vectorizer.statements.destination else {
        return HashMap::new();
    };
    let most = i64::try_from(most).unwrap_or(i64::MAX - 1);
    let counted = statement::rows(count_stored, &[numbers.into(), most.into()], |row| {
        (row.must(1), usize::try_from(row.must::<i64>(2)).unwrap_or_default())
    });
    counted.into_iter().collect()
}

/// The chunks of documents that are in the queue, by their places there, in order, with the length of the
/// longest text that each document has now. A column keeps no texts to compare with: none.
pub fn chunks(vectorizer: &Vectorizer, documents: &[(i64, usize)]) -> HashMap<i64, Vec<StoredChunk>> {
    let mut chunks: HashMap<i64, Vec<StoredChunk>> = HashMap::new();
    if let DestinationStatements::Table { chunks: sql, .. } = &vectorizer.statements.destination {
        let (numbers, longest): (Vec<i64>, Vec<i64>) = documents
            .iter()
            .map(|&(number, longest)| (number, i64::try_from(longest).unwrap_or(i64::MAX)))
            .unzip();
        let stored = statement::rows(sql, &[numbers.into(), longest.into()], |row| {
            let chunk = StoredChunk {
                uuid: row.must("uuid"),
                seq: row.must("seq"),
                text: row.get::<Vec<u8>>("digest").and_then(|digest| Digest::stored(&digest)),
            };
            (row.must::<i64>("item"), chunk)
        });
        for (number, chunk) in stored {
            chunks.entry(number).or_default().push(chunk);
        }
    }
    chunks
}

/// How many chunks with a vector documents have that are in the queue, by their places there.
pub fn count_chunks(vectorizer: &Vectorizer, numbers: Vec<i64>) -> HashMap<i64, usize> {
    let counted = statement::rows(&vectorizer.statements.count_chunks, &[numbers.into()], |row| {
        (row.must(1), usize::try_from(row.must::<i64>(2)).unwrap_or_default())
    });
    counted.into_iter().collect()
}

/// Whether code of its owner may run while chunks are written.
pub fn runs_owners_code(vectorizer: &Vectorizer) -> bool {
    let sql = include_str!("../../sql/query/destination/runs_owners_code.sql");
    let table = vectorizer.tables.destination.as_str();
    statement::row(sql, &[table.into()], |row| row.must(1)) != Some(false)
}

/// Removes all chunks of documents whose rows are gone.
pub fn clear(vectorizer: &Vectorizer, numbers: Vec<i64>) {
    if let DestinationStatements::Table {
        remove_all_chunks,
        checks,
        ..
    } = &vectorizer.statements.destination
        && !numbers.is_empty()
    {
        statement::run(remove_all_chunks, &[numbers.clone().into()]);
        let all = numbers.len();
        let left = count(&checks.left_of_documents, &[numbers.into()]);
        must_be_written(&vectorizer.tables.destination, (all - left.min(all), all));
    }
}

/// Turns the stored chunks of documents into the new ones. Returns the places in the queue of those whose rows code of
/// the user has changed meanwhile, so that their vectors are no longer those of their rows.
pub fn replace(vectorizer: &Vectorizer, replacements: &[Replacement]) -> Vec<i64> {
    match &vectorizer.statements.destination {
        _ if replacements.is_empty() => Vec::new(),
        DestinationStatements::Column {
            set_embeddings,
            tells,
            origins,
        } => set(vectorizer, (set_embeddings, *tells, origins), replacements),
        DestinationStatements::Table {
            remove_chunks,
            move_chunks,
            settle_chunks,
            insert_chunks,
            checks,
            ..
        } => {
            let table = &vectorizer.tables.destination;
            let removed = replacements.iter().flat_map(|replacement| {
                let removed = replacement.plan.remove.iter();
                removed.map(|&index| replacement.stored[index].uuid.as_str())
            });
            let removed: Vec<&str> = removed.collect();
            // Another session may have removed some meanwhile: that is no fault.
            let all = removed.len();
            if all > 0
                && statement::run(remove_chunks, &[removed.clone().into()]) < all
                && let left = count(&checks.left_chunks, &[removed.into()])
            {
                must_be_written(table, (all - left.min(all), all));
            }
            let moved = replacements.iter().flat_map(|replacement| {
                let kept = replacement.plan.keep.iter();
                let kept = kept.map(|&(index, new)| (&replacement.stored[index], seq(new)));
                kept.filter(|(chunk, new)| chunk.seq != *new)
            });
            let (uuids, seqs): (Vec<&str>, Vec<i32>) = moved.map(|(chunk, new)| (chunk.uuid.as_str(), new)).unzip();
            if !uuids.is_empty() {
                statement::run(move_chunks, &[uuids.clone().into(), seqs.clone().into()]);
                statement::run(settle_chunks, &[uuids.clone().into()]);
                let all = uuids.len();
                let unmoved = count(&checks.unmoved_chunks, &[uuids.into(), seqs.into()]);
                must_be_written(table, (all - unmoved.min(all), all));
            }
            insert(vectorizer, (insert_chunks, &checks.written_chunks), replacements);
            Vec::new()
        }
    }
}

/// A new chunk: the document that it is of, its number there, and its vector.
type NewChunk<'a> = (&'a Replacement<'a>, usize, &'a [f32]);

/// Inserts chunks, and counts them where fewer were inserted than were sent: the names of both statements.
type Insert<'a> = (&'a str, &'a str);

fn insert(vectorizer: &Vectorizer, sql: Insert, replacements: &[Replacement]) {
    let (mut cargo, mut texts, mut vectors): (Vec<NewChunk>, _, _) = (Vec::new(), 0usize, 0usize);
    for replacement in replacements {
        for (&index, vector) in std::iter::zip(&replacement.plan.embed, replacement.vectors) {
            texts = texts.saturating_add(replacement.texts.length(index));
            vectors += size_of_val(vector.as_slice());
            if texts.max(vectors) > CARGO && !cargo.is_empty() {
                transaction::in_its_own_memory(|| insert_cargo(vectorizer, sql, &cargo));
                cargo.clear();
                texts = replacement.texts.length(index);
                vectors = size_of_val(vector.as_slice());
            }
            cargo.push((replacement, index, vector.as_slice()));
        }
    }
    if !cargo.is_empty() {
        insert_cargo(vectorizer, sql, &cargo);
    }
}

/// The texts are made here: all of them may be far more than what they are made of.
fn insert_cargo(vectorizer: &Vectorizer, (insert, written): Insert, cargo: &[NewChunk]) {
    let numbers: Vec<i64> = cargo.iter().map(|(replacement, ..)| replacement.number).collect();
    let seqs: Vec<i32> = cargo.iter().map(|(_, index, _)| seq(*index)).collect();
    let texts: Vec<Cow<str>> = cargo
        .iter()
        .map(|(replacement, index, _)| replacement.texts.get(*index))
        .collect();
    let texts: Vec<&str> = texts.iter().map(Cow::as_ref).collect();
    let vectors: Vec<Option<&[f32]>> = cargo.iter().map(|(.., vector)| Some(*vector)).collect();
    let vectors = vector::array(vectorizer.vector_type, &vectors);
    let arguments = [numbers.clone().into(), seqs.clone().into(), texts.into(), vectors];
    if statement::run(insert, &arguments) < cargo.len() {
        let there = count(written, &[numbers.into(), seqs.into()]);
        must_be_written(&vectorizer.tables.destination, (there, cargo.len()));
    }
}

/// The answer of a statement that counts.
fn count(sql: &str, arguments: &[DatumWithOid]) -> usize {
    let counted = statement::row(sql, arguments, |row| row.must::<i64>(1));
    counted.map_or(0, |counted| usize::try_from(counted).unwrap_or_default())
}

/// Writes vectors into their rows. Returns the places in the queue of documents that are embedded from something else
/// since, as code of the user has changed their rows on that occasion.
fn set(vectorizer: &Vectorizer, (sql, tells, origin): (&str, bool, &str), replacements: &[Replacement]) -> Vec<i64> {
    let is_empty = |replacement: &&Replacement| replacement.vectors.is_empty();
    let empty: Vec<i64> = replacements
        .iter()
        .filter(is_empty)
        .map(|replacement| replacement.number)
        .collect();
    // A row without a text and without a vector is as it should be. To write it all the same would have triggers change
    // it, and so on without an end: nothing is remembered of it.
    let stored = if empty.is_empty() {
        HashMap::new()
    } else {
        count_chunks(vectorizer, empty)
    };
    let is_done = |replacement: &&Replacement| {
        is_empty(replacement) && stored.get(&replacement.number).is_some_and(|stored| *stored == 0)
    };
    let replacements: Vec<&Replacement> = replacements
        .iter()
        .filter(|replacement| !is_done(replacement))
        .collect();
    if replacements.is_empty() {
        return Vec::new();
    }
    let numbers: Vec<i64> = replacements.iter().map(|replacement| replacement.number).collect();
    let vectors = replacements
        .iter()
        .map(|replacement| replacement.vectors.first().map(Vec::as_slice));
    let vectors = vector::array(vectorizer.vector_type, &vectors.collect::<Vec<_>>());
    let heard = CHANGES.get();
    let arguments = [numbers.clone().into(), vectors];
    let (written, before) = if tells {
        let rows = statement::rows(sql, &arguments, |row| {
            (row.must::<bool>("reached"), (row.must("item"), row.must("origin")))
        });
        let written = rows.iter().filter(|(reached, _)| *reached).count();
        (written, rows.into_iter().map(|(_, origin)| origin).collect())
    } else {
        let before = origins(origin, numbers.clone());
        (statement::run(sql, &arguments), before)
    };
    must_be_written(&vectorizer.tables.destination, (written, replacements.len()));
    // Nothing but vectors has changed, as nearly always.
    if CHANGES.get() == heard {
        return Vec::new();
    }
    let mut after = origins(origin, numbers);
    after.retain(|number, origin| before.get(number).is_some_and(|before| before != origin));
    after.into_keys().collect()
}

thread_local! {
    /// How often this process has heard of a change of a source.
    static CHANGES: Cell<u64> = const { Cell::new(0) };
}

/// A trigger of a source has fired in this process, for a change of more than vectors of ours. While vectors
/// are written into a column it is the doing of a user's code: that change is news like any other.
pub fn hear_of_change() {
    CHANGES.set(CHANGES.get().wrapping_add(1));
}

/// Fingerprints of what documents that are in the queue are embedded from, by their places there.
fn origins(sql: &str, numbers: Vec<i64>) -> HashMap<i64, String> {
    let origins = statement::rows(sql, &[numbers.into()], |row| (row.must(1), row.must(2)));
    origins.into_iter().collect()
}

fn seq(seq: usize) -> i32 {
    i32::try_from(seq).expect("a document has fewer chunks than bytes, of which it has below 2^30")
}
