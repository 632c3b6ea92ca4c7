//! The chunks of a document in its destination table: read, and replaced.

use ai_pipeline::plan::Plan;

use crate::catalog::Vectorizer;
use crate::statement;

/// A chunk as it is stored.
#[derive(Debug)]
pub struct StoredChunk {
    pub uuid: String,
    pub seq: i32,
    pub text: String,
}

/// The chunks of a document that is in the queue, in order.
pub fn chunks(vectorizer: &Vectorizer, number: i64) -> Vec<StoredChunk> {
    statement::rows(&vectorizer.statements.chunks, &[number.into()], |row| StoredChunk {
        uuid: row.must(1),
        seq: row.must(2),
        text: row.must(3),
    })
}

/// Removes all chunks of a document.
pub fn clear(vectorizer: &Vectorizer, number: i64) {
    statement::run(&vectorizer.statements.remove_all_chunks, &[number.into()]);
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
    let statements = &vectorizer.statements;
    if !plan.remove.is_empty() {
        let uuids: Vec<&str> = plan.remove.iter().map(|&index| stored[index].uuid.as_str()).collect();
        statement::run(&statements.remove_chunks, &[uuids.into()]);
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
        statement::run(&statements.move_chunks, &[uuids.clone().into(), seqs.into()]);
        statement::run(&statements.settle_chunks, &[uuids.into()]);
    }
    for (&index, vector) in plan.embed.iter().zip(vectors) {
        statement::run(
            &statements.insert_chunk,
            &[
                number.into(),
                seq(index).into(),
                texts[index].as_str().into(),
                vector.as_slice().into(),
            ],
        );
    }
}
