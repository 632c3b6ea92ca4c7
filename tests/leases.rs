//! Whose a document is that was taken.

mod support;

#[path = "support/notes.rs"]
mod notes;

use notes::{Notes, embedded};
use support::{DEADLINE, wait_until};

/// The first lease of the worker of this number in a life of this number.
fn lease(worker: i64, life: i64) -> i64 {
    worker << 56 | life << 32 | 1
}

#[test]
fn what_another_worker_has_taken_is_its_own_until_the_lease_runs_out() {
    let mut notes = Notes::start();
    notes.cluster.execute("SELECT ai.disable_vectorizer_schedule(1)");
    notes.cluster.execute(
        "INSERT INTO note VALUES (1, 'of an earlier life'), (2, 'of another worker'), (3, 'of another one'), (4, 'free');
         SELECT ai._take_in(1)",
    );
    let (mine, second, last) = (lease(0, 77), lease(1, 77), lease(127, (1 << 24) - 1));
    for (id, lease) in [(1, mine), (2, second), (3, last)] {
        notes.cluster.execute(&format!(
            "UPDATE ai._vectorizer_q_1 SET lease = {lease}, lease_taken_at = now(), attempts = 1,
                 lease_expires_at = now() + interval '1 hour' WHERE id = {id}"
        ));
    }
    notes.0.cluster.restart();
    notes.cluster.execute("SELECT ai.enable_vectorizer_schedule(1)");
    let (earlier, free) = ("1:of an earlier life", "4:free");
    let expected = [earlier, free];
    wait_until(
        "what is free, or its own, is embedded",
        DEADLINE,
        || embedded(&notes.cluster),
        |seen| seen == &expected,
    );
    // Whatever the worker does from here on, it leaves them alone: two more documents come and go.
    for id in [5, 6] {
        notes
            .cluster
            .execute(&format!("INSERT INTO note VALUES ({id}, 'more')"));
        let more = format!("{id}:more");
        wait_until(
            "it goes on",
            DEADLINE,
            || embedded(&notes.cluster),
            |seen| seen.contains(&more),
        );
    }
    let held = "SELECT id || ' ' || lease || ' ' || attempts FROM ai._vectorizer_q_1 ORDER BY id";
    assert_eq!(
        notes.cluster.column(held),
        [format!("2 {second} 1"), format!("3 {last} 1")]
    );
    // The second worker writes one, as a worker does; the other one's lease runs out.
    notes.cluster.execute(&format!(
        "WITH done AS (DELETE FROM ai._vectorizer_q_1 WHERE id = 2 AND lease = {second} RETURNING id)
         INSERT INTO note_embedding_store (id, chunk_seq, chunk, embedding)
         SELECT id, 0, 'by the second', array_fill(1, ARRAY[vector_dims(embedding)])::vector
         FROM done, (SELECT embedding FROM note_embedding_store LIMIT 1) AS like_others;
         UPDATE ai._vectorizer_q_1 SET lease_expires_at = now() WHERE id = 3;
         INSERT INTO note VALUES (7, 'wakes the worker')"
    ));
    wait_until(
        "the last is taken over",
        DEADLINE,
        || embedded(&notes.cluster),
        |seen| seen.len() == 7,
    );
    assert_eq!(
        embedded(&notes.cluster),
        [
            earlier,
            "2:by the second",
            "3:of another one",
            free,
            "5:more",
            "6:more",
            "7:wakes the worker"
        ]
    );
}
