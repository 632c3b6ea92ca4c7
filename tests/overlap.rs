//! What goes on at the same time: some documents are downloaded while others are embedded, nothing is held
//! meanwhile, and readers see a document as it was or as it is.

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use notes::Notes;
use provider::Behaviour;
use provider::vectors::Vocabulary;
use support::{Answer, DEADLINE, Database, Scene, wait_until};

/// Each step has several documents at a time, and none waits for the other.
#[test]
fn documents_are_downloaded_while_others_are_embedded() {
    let notes = Notes(Scene::start());
    let put = |name: &str| notes.s3.put(name, format!("text of {name}"));
    let (first, second) = (put("first.txt"), put("second.txt"));
    let late = ["late-1.txt", "late-2.txt", "late-3.txt"].map(put);
    // One after the other: together they would share a request.
    notes.provider.behave(Behaviour::Hang);
    notes.create_documents(&[&first]);
    notes.wait_for_requests_in_flight(1);
    notes.insert_documents(&[&second]);
    notes.wait_for_requests_in_flight(2);

    notes.s3.answer("late", Answer::Hang);
    notes.insert_documents(&late.each_ref().map(String::as_str));
    let downloads = || -> HashSet<String> {
        let requests = notes.s3.requests().into_iter();
        let late = requests.filter(|request| request.answer.is_empty() && request.target.contains("late"));
        late.map(|request| request.target).collect()
    };
    wait_until("three downloads are under way", DEADLINE, downloads, |downloads| {
        downloads.len() == 3
    });
    assert_eq!(notes.provider.counts().in_flight, 2);

    // They overtake those that the provider does not answer.
    notes.provider.behave(Behaviour::Well);
    notes.s3.heal();
    let embedded = || {
        notes
            .cluster
            .column("SELECT DISTINCT uri FROM document_embeddings ORDER BY uri")
    };
    wait_until("what came late is embedded", DEADLINE, embedded, |seen| seen == &late);
    assert_eq!(notes.provider.counts().in_flight, 2);
}

/// Waits until the worker is in no transaction, which is so between any two of its steps.
#[track_caller]
fn assert_nothing_is_held(database: &Database) {
    let worker = database.wait_for_worker();
    let holds = format!(
        "SELECT backend_xmin IS NULL, backend_xid IS NULL, state, (SELECT count(*) FROM pg_locks l WHERE l.pid = {worker})
         FROM pg_stat_activity a WHERE a.pid = {worker}"
    );
    let look = || database.rows(&holds);
    wait_until("nothing is held", DEADLINE, look, |seen| {
        *seen == [["t", "t", "idle", "0"]]
    });
}

#[test]
fn waiting_for_s3_holds_nothing() {
    let scene = Scene::start();
    scene.s3.answer("slow.txt", Answer::Hang);
    let uri = scene.s3.put("slow.txt", "text");
    scene.create_documents(&[&uri]);
    wait_until("S3 is asked", DEADLINE, || scene.s3.gets("slow.txt"), |gets| *gets > 0);
    assert_nothing_is_held(&scene.cluster);
    assert_eq!(scene.queued(), [uri]);
    assert_eq!(scene.s3.gets("slow.txt"), 1, "it was still being waited for");
}

#[test]
fn waiting_for_a_parser_holds_nothing() {
    let scene = Scene::start();
    // Says that it has begun, and ends with the worker.
    let parser = scene.cluster.data().join("parser");
    std::fs::write(
        &parser,
        "#!/bin/sh\ntouch \"$0.begun\"\nexec /usr/bin/tail --pid=$PPID -f /dev/null\n",
    )
    .unwrap();
    std::fs::set_permissions(&parser, std::fs::Permissions::from_mode(0o755)).unwrap();
    scene
        .cluster
        .execute(&format!("ALTER SYSTEM SET ai.parser_path = '{}'", parser.display()));
    scene.cluster.reload();
    let uri = scene.s3.put("slow.pdf", "%PDF-1.7");
    scene.create_documents(&[&uri]);
    let begun = || scene.cluster.data().join("parser.begun").exists();
    wait_until("the parser has begun", DEADLINE, begun, |begun| *begun);
    assert_nothing_is_held(&scene.cluster);
    assert_eq!((scene.queued(), scene.errors()), (vec![uri], vec![]));
}

/// The first document has all the memory that there is, and the second waits for it.
#[test]
fn waiting_for_memory_holds_nothing() {
    let notes = Notes(Scene::start_with(|options| options.setting("ai.max_memory", "16MB")));
    notes
        .cluster
        .execute("CREATE TABLE note (id int PRIMARY KEY, body text)");
    notes.cluster.execute(
        "SELECT ai.create_vectorizer('note'::regclass, loading => ai.loading_column('body'),
             chunking => ai.chunking_character_text_splitter(1000, 0, E'\\n'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    notes.provider.behave(Behaviour::Hang);
    notes.cluster.execute(
        "INSERT INTO note SELECT i, (SELECT string_agg(i || ': ' || repeat('x', 900) || l, E'\\n') FROM generate_series(1, 4000) l)
         FROM generate_series(1, 2) i",
    );
    notes.wait_for_requests_in_flight(1);
    let taken = "SELECT count(*) FROM ai._vectorizer_q_1 WHERE lease IS NOT NULL";
    notes.cluster.wait_for("both are taken", taken, "2");
    assert_nothing_is_held(&notes.cluster);
    let texts = notes.provider.seen().into_iter().flat_map(|request| request.texts);
    let documents: HashSet<String> = texts.filter_map(|text| text.get(..1).map(str::to_owned)).collect();
    assert_eq!(documents.len(), 1, "one was still waiting");
}

/// Versions of a document, with chunks that come, go, stay and move.
fn version(number: usize) -> Vec<String> {
    let mut paragraphs: Vec<String> = (0..1 + number % 4)
        .map(|part| format!("Part {part} of the version {number:02} of this note."))
        .collect();
    paragraphs.insert(
        number % 3 % paragraphs.len(),
        "What all of the versions have in common.".to_owned(),
    );
    paragraphs
}

#[test]
fn readers_see_a_document_as_it_was_or_as_it_is() {
    const VERSIONS: usize = 20;
    let scene = Scene::start();
    scene
        .cluster
        .execute("CREATE TABLE note (id int PRIMARY KEY, body text)");
    scene.cluster.execute(
        "SELECT ai.create_vectorizer('note'::regclass, loading => ai.loading_column('body'),
             chunking => ai.chunking_character_text_splitter(60, 0, E'\\n\\n', false),
             formatting => ai.formatting_python_template('$chunk'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    let body = |number: usize| version(number).join("\n\n");
    scene
        .cluster
        .execute(&format!("INSERT INTO note VALUES (1, '{}')", body(0)));
    scene.cluster.wait_until_settled();
    let newest = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut client = scene.cluster.connect().unwrap();
            let (started, vocabulary) = (Instant::now(), Vocabulary::default());
            let stored = "SELECT chunk, embedding::text FROM note_embedding_store ORDER BY chunk_seq";
            while newest.load(Ordering::Relaxed) < VERSIONS && started.elapsed() < DEADLINE {
                let (mut chunks, mut vectors): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
                for row in client.query(stored, &[]).unwrap() {
                    chunks.push(row.get(0));
                    vectors.push(row.get(1));
                }
                // The one before may be there, or the next already.
                let known = newest.load(Ordering::Relaxed);
                let seen = (known..=known + 1).find(|number| version(*number) == chunks);
                newest.store(
                    seen.unwrap_or_else(|| panic!("after version {known}: {chunks:#?}")),
                    Ordering::Relaxed,
                );
                for (chunk, vector) in chunks.iter().zip(&vectors) {
                    let vector: Vec<f32> = serde_json::from_str(vector).unwrap();
                    assert_eq!(vector, vocabulary.embed(chunk, 8), "{chunk}");
                }
            }
        });
        // Each is seen before the next is written.
        for number in 1..=VERSIONS {
            scene
                .cluster
                .execute(&format!("UPDATE note SET body = '{}' WHERE id = 1", body(number)));
            let seen = || (newest.load(Ordering::Relaxed), reader.is_finished());
            wait_until("the reader sees the version", DEADLINE, seen, |(seen, ended)| {
                *seen == number || *ended
            });
        }
    });
    assert_eq!(newest.into_inner(), VERSIONS);
}
