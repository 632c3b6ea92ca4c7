//! Documents that cannot be read, and settings that cannot work: each says why, harms no neighbour, and is
//! over when its cause is.

mod support;

use std::time::Duration;

use provider::Behaviour;
use support::scene::ErrorRow;
use support::{Answer, DEADLINE, Options, Scene, documents, s3, wait_until};

/// Workers come and go quickly, so that a wrong look at the queue shows soon.
fn restless(options: Options) -> Options {
    options.setting("ai.naptime", "1s").setting("ai.idle_timeout", "100ms")
}

fn start() -> Scene {
    Scene::start_with(restless)
}

/// A document, and how it fails: step, parts of the reason, parts of the hint.
struct Bad {
    uri: String,
    step: &'static str,
    reason: &'static [&'static str],
    hint: &'static [&'static str],
}

/// Good neighbours, by their names before and behind the bad.
fn neighbours(scene: &Scene) -> [String; 2] {
    ["0-first.txt", "z-last.txt"].map(|key| scene.s3.put(key, format!("The text of {key}.")))
}

fn assert_neighbours_are_embedded(scene: &Scene) {
    for key in ["0-first.txt", "z-last.txt"] {
        assert_eq!(scene.chunks(&scene.s3.uri(key)), [format!("The text of {key}.")]);
    }
}

/// Puts neighbours and bad documents in the table, and checks what becomes of them.
fn assert_given_up(scene: &Scene, bad: &[Bad]) {
    let [first, last] = neighbours(scene);
    let mut uris = vec![first.as_str()];
    uris.extend(bad.iter().map(|bad| bad.uri.as_str()));
    uris.push(&last);
    scene.create_documents(&uris);
    scene.cluster.wait_until_settled();
    assert_neighbours_are_embedded(scene);
    let errors = scene.errors();
    for bad in bad {
        let row = errors.iter().find(|row| row.uri.as_deref() == Some(&bad.uri));
        let row = row.unwrap_or_else(|| panic!("{} has an error row among {errors:#?}", bad.uri));
        assert_eq!(
            (row.step.as_str(), row.class.as_str()),
            (bad.step, "permanent"),
            "{row:#?}"
        );
        assert!(
            bad.reason.iter().all(|part| row.reason.contains(part)),
            "{:?}: {row:#?}",
            bad.reason
        );
        assert!(
            bad.hint.iter().all(|part| row.hint.contains(part)),
            "{:?}: {row:#?}",
            bad.hint
        );
        assert_eq!(scene.chunks(&bad.uri), Vec::<String>::new());
    }
    let mut expected: Vec<&str> = bad.iter().map(|bad| bad.uri.as_str()).collect();
    expected.sort_unstable();
    assert_eq!(scene.failed(), expected);
    assert_eq!(errors.len(), bad.len(), "{errors:#?}");
    scene.assert_quiet();
    assert_eq!(scene.errors(), errors);
}

/// Touches all rows and checks that everything is embedded and forgiven.
fn assert_mended(scene: &Scene) {
    scene
        .cluster
        .execute("UPDATE document SET updated_at = clock_timestamp()");
    scene.cluster.wait_until_settled();
    assert_eq!(scene.errors(), []);
    assert_eq!(scene.failed(), Vec::<String>::new());
    let missing = "SELECT uri FROM document EXCEPT SELECT uri FROM document_embeddings_store";
    assert_eq!(scene.cluster.column(missing), Vec::<String>::new());
}

#[test]
fn objects_that_are_not_there_say_which_and_where() {
    let scene = start();
    let no_bucket = "s3://no-such-bucket/a.txt".to_owned();
    let bad = [
        Bad {
            uri: scene.s3.uri("missing.txt"),
            step: "loading",
            reason: &["key: 'missing.txt'", "NoSuchKey", "access key ...TKEY"],
            hint: &["the key is everything after"],
        },
        Bad {
            uri: no_bucket.clone(),
            step: "loading",
            reason: &["bucket: 'no-such-bucket'", "NoSuchBucket"],
            hint: &["check the name of the bucket"],
        },
        Bad {
            uri: "gopher://host/a.txt".to_owned(),
            step: "loading",
            reason: &["gopher"],
            hint: &["s3://"],
        },
        Bad {
            uri: "no uri at all".to_owned(),
            step: "loading",
            reason: &[],
            hint: &["s3://"],
        },
    ];
    assert_given_up(&scene, &bad);

    scene.s3.put("missing.txt", "Here I am.");
    let there = scene.s3.put("there.txt", "I was here all the time.");
    scene.cluster.execute("DELETE FROM document WHERE uri !~ '^s3:'");
    scene.cluster.execute(&format!(
        "UPDATE document SET uri = '{there}' WHERE uri = '{no_bucket}'"
    ));
    assert_mended(&scene);
    assert_eq!(scene.chunks(&there), ["I was here all the time."]);
}

#[test]
fn documents_that_cannot_be_parsed_say_what_they_are() {
    let scene = Scene::start_with(|options| restless(options).setting("ai.max_document_size", "64kB"));
    let pdf = documents::parser_test("reportlab.pdf");
    let rubbish: Vec<u8> = (0..5000u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let mut letter = documents::parser_test("pandoc.docx");
    let middle = letter.len() / 3..letter.len() - 2000;
    letter[middle].fill(0xFF);
    let bad = [
        Bad {
            uri: scene.s3.put("cut.docx", letter),
            step: "parsing",
            reason: &["Word document (DOCX)", "damaged"],
            hint: &["stored whole"],
        },
        Bad {
            uri: scene.s3.put("a-page-of-html.pdf", "<html><p>Sign in first."),
            step: "parsing",
            reason: &["called a PDF but is HTML"],
            hint: &["stored whole"],
        },
        Bad {
            uri: scene.s3.put("cut.pdf", &pdf[..pdf.len() / 3]),
            step: "parsing",
            reason: &["PDF", "damaged"],
            hint: &["stored whole"],
        },
        Bad {
            uri: scene
                .s3
                .put("locked.pdf", documents::parser_test("encrypted-secret.pdf")),
            step: "parsing",
            reason: &["encrypted"],
            hint: &["without a password"],
        },
        Bad {
            uri: scene.s3.put("scan.pdf", documents::parser_test("scan.pdf")),
            step: "parsing",
            reason: &["no text layer"],
            hint: &["OCR"],
        },
        Bad {
            uri: scene.s3.put("rubbish.txt", rubbish),
            step: "parsing",
            reason: &["binary data"],
            hint: &["can be read"],
        },
        Bad {
            uri: scene.s3.put("only-nuls.txt", vec![0; 100]),
            step: "parsing",
            reason: &["binary data"],
            hint: &["can be read"],
        },
        Bad {
            uri: scene.s3.put("large.txt", "x".repeat(64 * 1024 + 1)),
            step: "loading",
            reason: &["65536 bytes"],
            hint: &["ai.max_document_size"],
        },
    ];
    assert_given_up(&scene, &bad);

    for bad in &bad {
        let key = bad.uri.rsplit('/').next().unwrap();
        let whole = if key.ends_with(".pdf") {
            pdf.clone()
        } else {
            b"Mended text.".to_vec()
        };
        scene.s3.put(key, whole);
    }
    assert_mended(&scene);
    let expected = documents::chunks(&documents::text(&pdf));
    assert_eq!(scene.chunks(&scene.s3.uri("cut.pdf")), expected);
}

#[test]
fn documents_without_text_have_no_chunks_and_no_error() {
    let scene = start();
    let empty = scene.s3.put("empty.txt", "");
    let empty_pdf = scene.s3.put("empty.pdf", "");
    let blank = scene.s3.put("blank.md", " \n\n\t\n");
    let emptied = scene.s3.put("emptied.txt", "Not for long.");
    let [first, last] = neighbours(&scene);
    scene.create_documents(&[&first, &empty, &empty_pdf, &blank, &emptied, &last]);
    scene.cluster.wait_until_settled();
    assert_neighbours_are_embedded(&scene);
    assert_eq!(scene.chunks(&emptied), ["Not for long."]);
    scene.s3.put("emptied.txt", "");
    scene
        .cluster
        .execute("UPDATE document SET updated_at = clock_timestamp()");
    scene.cluster.wait_until_settled();
    for uri in [empty, empty_pdf, blank, emptied] {
        assert_eq!(scene.chunks(&uri), Vec::<String>::new(), "{uri}");
    }
    assert_eq!(scene.errors(), []);
    assert_eq!(scene.failed(), Vec::<String>::new());
    scene.assert_quiet();
}

/// Postgres cannot store U+0000, and an editor may well leave one in a text.
#[test]
fn texts_with_nul_bytes_and_in_other_charsets_are_embedded() {
    let scene = start();
    let utf_16: Vec<u8> = "\u{feff}Sixteen bits."
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let documents = [
        ("utf-16.txt", utf_16, "Sixteen bits."),
        ("latin-1.txt", b"na\xEFve caf\xE9".to_vec(), "naïve café"),
        ("bom.txt", "\u{feff}A mark in front.".into(), "A mark in front."),
        (
            "nul.txt",
            b"One NUL\0, as some editors leave it.".to_vec(),
            "One NUL, as some editors leave it.",
        ),
    ];
    let expected = documents.map(|(key, bytes, text)| (scene.s3.put(key, bytes), text));
    let uris: Vec<&str> = expected.iter().map(|(uri, _)| uri.as_str()).collect();
    scene.create_documents(&uris);
    scene.cluster.wait_until_settled();
    for (uri, text) in &expected {
        assert_eq!(scene.chunks(uri), [*text]);
    }
    assert_eq!(scene.errors(), []);
}

#[test]
fn an_input_that_the_provider_rejects_is_found_among_the_others() {
    let scene = start();
    scene.provider.behave(Behaviour::RejectInput("poison".to_owned()));
    let uri = scene.s3.put("bad.txt", "This is poison.");
    let bad = [Bad {
        uri: uri.clone(),
        step: "embedding",
        reason: &["Error code: 400"],
        hint: &[],
    }];
    assert_given_up(&scene, &bad);
    assert!(
        !scene.errors()[0].reason.contains("This is"),
        "the text is not repeated"
    );
    scene.s3.put("bad.txt", "This is harmless.");
    assert_mended(&scene);
}

#[test]
fn a_private_object_asked_for_by_nobody_says_so() {
    let mut scene = Scene::start_with(|options| {
        restless(options)
            .env("AWS_ACCESS_KEY_ID", "")
            .env("AWS_SECRET_ACCESS_KEY", "")
    });
    let private = scene.s3.put("private.txt", "Not for everybody.");
    let public = scene.s3.put_public("public.txt", "For everybody.");
    scene.create_documents(&[&private, &public]);
    scene.cluster.wait_until_settled();
    assert_eq!(scene.chunks(&public), ["For everybody."]);
    let errors = scene.errors();
    let [
        ErrorRow {
            uri,
            class,
            reason,
            hint,
            ..
        },
    ] = errors.as_slice()
    else {
        panic!("{errors:#?}")
    };
    assert_eq!((uri.as_ref(), class.as_str()), (Some(&private), "permanent"));
    assert!(
        reason.contains("no AWS credentials were found, so the request was not signed"),
        "{reason}"
    );
    assert!(hint.contains("AWS_ACCESS_KEY_ID"), "{hint}");
    assert_eq!(scene.failed(), [private.as_str()]);
    scene.assert_quiet();

    scene.cluster.restart_with(|options| {
        options
            .env("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", s3::SECRET_KEY)
    });
    assert_mended(&scene);
}

#[test]
fn a_hanging_object_is_given_time_and_then_tried_again() {
    let scene = Scene::start_with(|options| restless(options).setting("ai.loading_timeout", "500ms"));
    scene.s3.answer("hanging.txt", Answer::Hang);
    let hanging = scene.s3.put("hanging.txt", "It took a while.");
    let [first, last] = neighbours(&scene);
    scene.create_documents(&[&first, &hanging, &last]);
    let errors = wait_until(
        "the time-out is written down",
        DEADLINE,
        || scene.errors(),
        |rows| !rows.is_empty(),
    );
    let row = &errors[0];
    assert_eq!(
        (row.uri.as_ref(), row.step.as_str(), row.class.as_str()),
        (Some(&hanging), "loading", "transient")
    );
    assert!(
        row.reason.contains("did not arrive") && row.reason.contains("0.5 s"),
        "{row:#?}"
    );
    assert_neighbours_are_embedded(&scene);
    assert_eq!(scene.queued(), [hanging.as_str()]);
    // Nobody touches anything.
    scene.s3.heal();
    scene.cluster.wait_until_settled();
    assert_eq!(scene.chunks(&hanging), ["It took a while."]);
    assert_eq!(scene.errors(), []);
    assert_eq!(scene.failed(), Vec::<String>::new());
}

#[test]
fn an_object_that_never_answers_is_tried_as_often_as_the_user_says() {
    let scene = Scene::start_with(|options| restless(options).setting("ai.loading_timeout", "1s"));
    scene.s3.answer("hanging.txt", Answer::Hang);
    let hanging = scene.s3.put("hanging.txt", "It took a while.");
    scene.create_document_table();
    scene.insert_documents(&[&hanging]);
    scene.cluster.execute(
        "SELECT ai.create_vectorizer('document'::regclass, loading => ai.loading_uri('uri', retries => 1),
             embedding => ai.embedding_openai('text-embedding-3-small', 768),
             destination => ai.destination_table('document_embeddings'))",
    );
    scene.cluster.wait_until_settled();
    assert_eq!(scene.s3.gets("hanging.txt"), 2);
    assert_eq!(scene.failed(), [hanging.as_str()]);
    assert_eq!(
        scene.cluster.column("SELECT occurrences FROM ai.vectorizer_errors"),
        ["2"]
    );
    scene.assert_quiet();
    scene.s3.heal();
    assert_mended(&scene);
}

/// The notes about texts that were cut: class, message, chunks, and what is said of the model.
fn cuts(scene: &Scene) -> Vec<Vec<String>> {
    scene.cluster.rows(
        "SELECT failure_class, message, details ->> 'chunk_seq', details ->> 'model', details ->> 'limit', primary_key ->> 'id', occurrences
         FROM ai.vectorizer_errors ORDER BY primary_key ->> 'id'",
    )
}

/// A text that is longer than its model takes is embedded from its beginning, and the document says so as long as that
/// is so: not a failure, and nothing waits for it.
#[test]
fn a_text_that_was_cut_is_noted_as_long_as_it_is() {
    let scene = start();
    scene
        .cluster
        .execute("CREATE TABLE essay (id int PRIMARY KEY, body text)");
    scene.cluster.execute(
        "SELECT ai.create_vectorizer('essay', loading => ai.loading_column('body'),
             chunking => ai.chunking_character_text_splitter(40000, 0, '|'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    // 9,000 tokens, of which the model takes 8,191.
    let essay = |parts: &str| format!("SELECT replace('{parts}', 'LONG', trim(repeat('tea ', 9000)))");
    let write = |id: u32, parts: &str| {
        let body = essay(parts);
        let sql =
            format!("INSERT INTO essay VALUES ({id}, ({body})) ON CONFLICT (id) DO UPDATE SET body = excluded.body");
        scene.cluster.execute(&sql);
        scene.cluster.wait_until_settled();
    };
    let filler = "word ".repeat(7000);
    let note = |chunks: &str, times: &str| {
        [
            "cut",
            "text was cut",
            chunks,
            "text-embedding-3-small",
            "8191",
            "1",
            times,
        ]
        .map(str::to_owned)
    };
    write(2, "short");
    write(1, &format!("first {filler}|LONG"));
    assert_eq!(cuts(&scene), [note("[1]", "1")]);
    let sent = scene.provider.seen().into_iter().flat_map(|request| request.texts);
    assert_eq!(
        sent.filter(|text| text.starts_with("tea")).map(|text| text.len()).max(),
        Some(8191 * 4 - 1)
    );
    let stored = "SELECT max(length(chunk)) FROM essay_embedding_store";
    assert_eq!(scene.cluster.value(stored), (9000 * 4 - 1).to_string());

    // The chunk stays, and moves: nothing is embedded again, and the note follows.
    write(1, &format!("new {filler}|first {filler}|LONG"));
    assert_eq!(cuts(&scene), [note("[2]", "1")]);
    // Another failure does not make it forget.
    scene.provider.behave(Behaviour::RejectInput("poison".to_owned()));
    write(1, &format!("poison {filler}|first {filler}|LONG"));
    let class = "SELECT failure_class || ' ' || (details ->> 'chunk_seq') FROM ai.vectorizer_errors";
    assert_eq!(scene.cluster.column(class), ["permanent [2]"]);
    scene.provider.behave(Behaviour::Well);
    write(1, &format!("first {filler}|LONG"));
    assert_eq!(cuts(&scene), [note("[1]", "1")]);

    // It pauses nothing, is in no failed queue, and costs nothing.
    let state = "SELECT coalesce(string_agg(reason, ''), 'well') FROM ai.worker_status WHERE process = 'vectorizer'";
    assert_eq!(scene.cluster.value(state), "well");
    assert_eq!(
        scene.cluster.value("SELECT count(*) FROM ai._vectorizer_q_failed_1"),
        "0"
    );
    scene.assert_quiet();
    assert_eq!(cuts(&scene), [note("[1]", "1")]);

    // It goes with the text, and with the document.
    write(1, "short again");
    assert_eq!(cuts(&scene), Vec::<Vec<String>>::new());
    write(1, "LONG");
    assert_eq!(cuts(&scene), [note("[0]", "1")]);
    scene
        .cluster
        .execute("DELETE FROM essay WHERE id = 2; DELETE FROM essay WHERE id = 3");
    assert_eq!(cuts(&scene), [note("[0]", "1")]);
    scene.cluster.execute("DELETE FROM essay WHERE id = 1");
    assert_eq!(cuts(&scene), Vec::<Vec<String>>::new());
}

/// Where the provider cuts, its limit is not known here.
#[test]
fn a_text_that_the_provider_cut_is_noted_too() {
    let scene = Scene::start_with(restless);
    scene.provider.behave(Behaviour::TooLong(200));
    scene
        .cluster
        .execute("CREATE TABLE essay (id int PRIMARY KEY, body text)");
    let host = scene.provider.base_url();
    let host = host.trim_end_matches("/v1");
    scene.cluster.execute(&format!(
        "SELECT ai.create_vectorizer('essay', loading => ai.loading_column('body'), chunking => ai.chunking_none(),
             destination => ai.destination_column('vec'), embedding => ai.embedding_ollama('bge-m3', 1024, base_url => '{host}'))"
    ));
    scene
        .cluster
        .execute("INSERT INTO essay VALUES (1, repeat('word ', 100)), (2, 'short')");
    scene.cluster.wait_until_settled();
    assert_eq!(
        cuts(&scene),
        [["cut", "text was cut", "[0]", "bge-m3", "NULL", "1", "1"]]
    );
    assert_eq!(scene.cluster.value("SELECT count(vec) FROM essay"), "2");
    scene
        .cluster
        .execute("UPDATE essay SET body = 'short, too' WHERE id = 1");
    scene.cluster.wait_until_settled();
    assert_eq!(cuts(&scene), Vec::<Vec<String>>::new());
}

/// Checks a fault of the configuration: the vectorizer pauses with one error row and asks nobody, and no
/// document is lost or blamed. `heal` mends the cause; no row is touched.
fn assert_paused_until(scene: &mut Scene, reason: &[&str], hint: &[&str], heal: impl FnOnce(&mut Scene)) {
    let uris = neighbours(scene);
    scene.create_documents(&[&uris[0], &uris[1]]);
    let paused = "SELECT reason FROM ai.worker_status WHERE process = 'vectorizer' AND reason ~ '^paused until'";
    let status = || scene.cluster.column(paused);
    let said = wait_until("the vectorizer is paused", DEADLINE, status, |rows| rows.len() == 1);
    let errors = scene.errors();
    let [row] = errors.as_slice() else {
        panic!("{errors:#?}")
    };
    assert_eq!((&row.uri, row.class.as_str()), (&None, "configuration"), "{row:#?}");
    assert!(
        reason.iter().all(|part| row.reason.contains(part)),
        "{reason:?}: {row:#?}"
    );
    assert!(hint.iter().all(|part| row.hint.contains(part)), "{hint:?}: {row:#?}");
    assert!(said[0].contains(&row.reason), "{said:?}");
    let held = "SELECT count(*) FROM ai._vectorizer_q_1 WHERE lease IS NOT NULL";
    scene.cluster.wait_for("all documents are back in the queue", held, "0");
    assert_eq!(scene.queued(), [uris[0].as_str(), uris[1].as_str()]);
    assert_eq!(
        scene.cluster.column("SELECT DISTINCT attempts FROM ai._vectorizer_q_1"),
        ["0"]
    );
    assert_eq!(scene.failed(), Vec::<String>::new());
    scene.assert_quiet();

    heal(scene);
    scene.cluster.wait_until_settled();
    assert_neighbours_are_embedded(scene);
    assert_eq!(scene.errors(), []);
    assert_eq!(
        scene.cluster.column("SELECT reason FROM ai._vectorizer_state"),
        Vec::<String>::new()
    );
}

/// What S3 says in these cases.
fn refusal(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>4442587FB7D0A2F9</RequestId><HostId>host</HostId></Error>"
    )
}

#[test]
fn a_wrong_access_key_pauses_the_vectorizer() {
    let mut scene = start();
    let message = "The AWS Access Key Id you provided does not exist in our records.";
    scene.s3.answer(
        "/",
        Answer::Say("403 Forbidden", refusal("InvalidAccessKeyId", message)),
    );
    let reason = ["InvalidAccessKeyId", "access key ...TKEY"];
    assert_paused_until(&mut scene, &reason, &["AWS_ACCESS_KEY_ID"], |scene| {
        scene.s3.heal();
        scene.cluster.reload();
    });
}

#[test]
fn an_expired_token_pauses_the_vectorizer() {
    let mut scene = Scene::start_with(|options| restless(options).env("AWS_SESSION_TOKEN", "an-old-session"));
    let message = "The provided token has expired.";
    scene
        .s3
        .answer("/", Answer::Say("400 Bad Request", refusal("ExpiredToken", message)));
    assert_paused_until(
        &mut scene,
        &["ExpiredToken", message],
        &["AWS_SESSION_TOKEN"],
        |scene| {
            scene.s3.heal();
            scene
                .cluster
                .restart_with(|options| options.env("AWS_SESSION_TOKEN", "a-new-session"));
        },
    );
    let last = scene.s3.requests().pop().unwrap();
    assert_eq!(last.headers["x-amz-security-token"], "a-new-session");
}

#[test]
fn a_missing_api_key_is_found_out_before_a_document_is_fetched() {
    let mut scene = Scene::start_with(|options| restless(options).env("OPENAI_API_KEY", ""));
    let hint = ["Set OPENAI_API_KEY in the environment that starts Postgres"];
    assert_paused_until(&mut scene, &["no API key", "OPENAI_API_KEY"], &hint, |scene| {
        assert_eq!(scene.s3.requests().len(), 0);
        scene
            .cluster
            .restart_with(|options| options.env("OPENAI_API_KEY", support::scene::API_KEY));
    });
}

#[test]
fn a_wrong_api_key_pauses_the_vectorizer_and_is_not_shown() {
    let mut scene = start();
    scene.provider.require_key(Some("another-key"));
    assert_paused_until(&mut scene, &["Error code: 401"], &["OPENAI_API_KEY"], |scene| {
        let log = scene.cluster.log();
        assert!(
            !log.contains("canary") && !format!("{:?}", scene.errors()).contains("canary"),
            "{log}"
        );
        scene.provider.require_key(Some(support::scene::API_KEY));
        scene.cluster.reload();
    });
}

#[test]
fn wrong_dimensions_pause_the_vectorizer() {
    let mut scene = start();
    scene.provider.behave(Behaviour::WrongSize);
    let reason = ["the model returned 769 dimensions, expected 768"];
    assert_paused_until(
        &mut scene,
        &reason,
        &["dimensions => 769", "text-embedding-3-small"],
        |scene| {
            scene.provider.behave(Behaviour::Well);
            scene.cluster.reload();
        },
    );
}

#[test]
fn an_unknown_model_pauses_the_vectorizer() {
    let mut scene = start();
    scene.provider.behave(Behaviour::NotFound);
    assert_paused_until(&mut scene, &["Error code: 404"], &["model"], |scene| {
        scene.provider.behave(Behaviour::Well);
        scene.cluster.reload();
    });
}

/// A provider that failed for a moment is asked again by itself, and nobody has to touch a row.
#[test]
fn a_provider_that_fails_for_a_moment_is_asked_again() {
    let scene = start();
    scene.provider.behave_times(1, Behaviour::ServerError);
    scene.provider.behave_times(1, Behaviour::Cut);
    scene.provider.behave_times(
        1,
        Behaviour::TooManyRequests {
            retry_after: Some(Duration::from_millis(200)),
        },
    );
    let uris = neighbours(&scene);
    scene.create_documents(&[&uris[0], &uris[1]]);
    scene.cluster.wait_until_settled();
    assert_neighbours_are_embedded(&scene);
    assert_eq!(scene.errors(), []);
    assert_eq!(scene.provider.counts().inputs, 2, "nothing is paid for twice");
}
