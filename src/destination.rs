//! The chunks of a document in its destination table: read, and replaced.

use ai_pipeline::plan::Plan;

use crate::catalog::{DestinationStatements, Vectorizer};
use crate::statement;

/// A chunk as it is stored.
#[derive(Debug)]
pub struct StoredChunk {
    pub uuid: String,
    pub seq: i32,
    pub text: String,
}

/// The chunks of a document that is in the queue, in order. A column keeps no texts to compare with: none.
pub fn chunks(vectorizer: &Vectorizer, number: i64) -> Vec<StoredChunk> {
    let DestinationStatements::Table { chunks, .. } = &vectorizer.statements.destination else {
        return Vec::new();
    };
    statement::rows(chunks, &[number.into()], |row| StoredChunk {
        uuid: row.must(1),
        seq: row.must(2),
        text: row.must(3),
    })
}

/// Removes all chunks of a document whose row is gone.
pub fn clear(vectorizer: &Vectorizer, number: i64) {
    if let DestinationStatements::Table { remove_all_chunks, .. } = &vectorizer.statements.destination {
        statement::run(remove_all_chunks, &[number.into()]);
    }
}

/// Turns the stored chunks of a document into the new ones, as `plan` says. `texts` are all new texts, `vectors` those of
/// the texts that `plan.embed` names, in its order.
pub fn replace(
    vectorizer: &Vectorizer,
    number: i64,
    plan: &Plan,
    stored: &[StoredChunk],
    texts: &[String],
    vectors: &[Vec<f32>],
) {
    let (remove_chunks, move_chunks, settle_chunks, insert_chunk) = match &vectorizer.statements.destination {
        DestinationStatements::Table {
            remove_chunks,
            move_chunks,
            settle_chunks,
            insert_chunk,
            ..
        } => (remove_chunks, move_chunks, settle_chunks, insert_chunk),
        DestinationStatements::Column { set_embedding } => {
            let vector = vectors.first().map(Vec::as_slice);
            // Tells the triggers on the source that this update is ours.
            statement::run("SELECT set_config('ai.writing', 'on', true)", &[]);
            statement::run(set_embedding, &[number.into(), vector.into()]);
            statement::run("SELECT set_config('ai.writing', 'off', true)", &[]);
            return;
        }
    };
    if !plan.remove.is_empty() {
        let uuids: Vec<&str> = plan.remove.iter().map(|&index| stored[index].uuid.as_str()).collect();
        statement::run(remove_chunks, &[uuids.into()]);
    }
    let seq =
        |seq: usize| i32::try_from(seq).expect("a document has fewer chunks than bytes, of which it has below 2^30");
    let moved = plan
        .keep
        .iter()
        .map(|&(index, new)| (&stored[index], seq(new)))
        .filter(|(chunk, new)| chunk.seq != *new);
    let (uuids, seqs): (Vec<&str>, Vec<i32>) = moved.map(|(chunk, new)| (chunk.uuid.as_str(), new)).unzip();
    if !uuids.is_empty() {
        statement::run(move_chunks, &[uuids.clone().into(), seqs.into()]);
        statement::run(settle_chunks, &[uuids.into()]);
    }
    for (&index, vector) in plan.embed.iter().zip(vectors) {
        let text = texts[index].as_str();
        let arguments = [number.into(), seq(index).into(), text.into(), vector.as_slice().into()];
        statement::run(insert_chunk, &arguments);
    }
}
