//! Secrets are looked for wherever somebody could find them: the log at its most talkative, activity, statistics of
//! statements, a dump, every catalogue and view that a role can read, the settings of the server.
//!
//! Canaries are a key of a provider and a secret of AWS in the environment of the server, a key in a file, a
//! signature and a password in addresses that rows name, and the text of a document. The statements of this
//! test never spell the last three: what a user writes into a statement, Postgres logs.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use provider::Behaviour;
use support::{Answer, Cluster, DEADLINE, Scene, wait_until};

/// Of the provider. Without a prefix by which anybody would know it for a key.
const KEY: &str = "9fQzW7vKx3LmT2bR8nYcPd5H";
/// Of AWS.
const SECRET: &str = "wJ4tUnFM7xK0MDnGbPxRfiCYh3zQpLs8vTaE6yZk";
/// Of a foreign server, in a file.
const FILE_KEY: &str = "Zt5BrEw8pQd1MvXa7KcLu2Jh";
/// In the query of an address.
const SIGNATURE: &str = "c3b0a9f27d5e48168fa4d61c";
/// In an address, before its host.
const PASSWORD: &str = "Hq8ZrT6wXm2Vb9Ns";
/// Of a document.
const TEXT: &str = "Mittwochs tanzt Oktavia heimlich am Hafen";

/// Whoever shows so many characters of a canary in a row has shown too much.
const PART: usize = 6;

/// Every relation that a role may read.
const RELATIONS: &str = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'
      AND has_table_privilege('{role}', c.oid, 'SELECT') ORDER BY 1";

/// Which of the canaries are in a text, in whole or in part.
fn seen(text: &str, canaries: &[&'static str]) -> Vec<&'static str> {
    let mut parts = Vec::new();
    for canary in canaries {
        // Words of a text occur elsewhere.
        let length = if canary.contains(' ') { 2 * PART } else { PART };
        parts.extend(canary.as_bytes().windows(length).map(|part| (part, *canary)));
    }
    // The log is long, and few places of it begin as a part does.
    let mut begins = [false; 1 << 16];
    let two = |bytes: &[u8]| usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
    parts.iter().for_each(|(part, _)| begins[two(part)] = true);
    let text = text.as_bytes();
    let mut found = Vec::new();
    for (place, bytes) in text.windows(2).enumerate() {
        if begins[two(bytes)] {
            let here = parts.iter().filter(|(part, _)| text[place..].starts_with(part));
            found.extend(here.map(|(_, canary)| *canary));
        }
    }
    canaries
        .iter()
        .copied()
        .filter(|canary| found.contains(canary))
        .collect()
}

/// What one reader finds in all that it can read: the names of places, with the canaries that are there.
struct Search {
    found: Vec<String>,
    places: usize,
}

impl Search {
    fn look(&mut self, place: &str, text: &str, canaries: &[&'static str]) {
        self.places += 1;
        for canary in seen(text, canaries) {
            self.found.push(format!("{place} shows {canary}"));
        }
    }

    fn relations(&mut self, cluster: &Cluster, role: &str, canaries: &[&'static str], but: &[&str]) {
        for relation in cluster.column(&RELATIONS.replace("{role}", role)) {
            if but.iter().any(|part| relation.contains(part)) {
                continue;
            }
            let sql = format!("SET ROLE {role}; SELECT r::text FROM {relation} r; RESET ROLE");
            if let Ok(rows) = cluster.try_rows(&sql) {
                let text: String = rows.into_iter().flatten().flatten().collect();
                self.look(&format!("{relation} as {role}"), &text, canaries);
            }
        }
    }

    /// Everywhere.
    fn all(cluster: &Cluster) -> Search {
        let mut search = Search {
            found: Vec::new(),
            places: 0,
        };
        let everything = [KEY, SECRET, FILE_KEY, SIGNATURE, PASSWORD, TEXT];
        search.look("the log", &cluster.log(), &everything);
        search.relations(cluster, "nobody", &everything, &[]);
        search.relations(cluster, "watcher", &everything, &[]);
        // Rows and what is made of them are there for their owner.
        let data = [
            "public.doc",
            "public.filed",
            "_vectorizer_q_",
            "_vectorizer_errors",
            "vectorizer_errors",
            "vectorizer_failed",
        ];
        search.relations(cluster, "postgres", &[KEY, SECRET, FILE_KEY], &[]);
        let statistics = [&data[..], &["pg_stats", "pg_statistic"]].concat();
        search.relations(cluster, "postgres", &everything, &statistics);
        let errors = "SELECT message, details - 'primary_key' FROM ai._vectorizer_errors";
        for row in cluster.rows(errors) {
            search.look("an error row", &row.join(" "), &everything);
        }
        for queue in cluster.column("SELECT queue_failed_table FROM ai.vectorizer WHERE queue_failed_table IS NOT NULL")
        {
            let sql = format!("SELECT coalesce(string_agg(failure_class || reason, ' '), '') FROM ai.{queue}");
            search.look("a failed queue", &cluster.value(&sql), &everything);
        }
        for arguments in [&["-d", "postgres"][..], &["-d", "postgres", "--inserts", "-a"]] {
            let mut dump = cluster.client_program("pg_dump");
            let dump = dump.args(["-U", "postgres"]).args(arguments).output();
            let dump = dump.expect("pg_dump starts");
            assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
            search.look(
                "a dump",
                &String::from_utf8_lossy(&dump.stdout),
                &[KEY, SECRET, FILE_KEY],
            );
        }
        search
    }
}

/// A server that says all it can.
fn talkative() -> Scene {
    let scene = Scene::start_with(|options| {
        options
            .env("OPENAI_API_KEY", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .setting("shared_preload_libraries", libraries())
            .setting("log_min_error_statement", "debug5")
            .setting("log_error_verbosity", "verbose")
            .setting("log_statement", "all")
            .setting("log_duration", "on")
            .setting("log_parameter_max_length_on_error", "-1")
            .setting("ai.allow_http", "on")
            .setting("ai.allow_private_addresses", "on")
    });
    if libraries().contains("pg_stat_statements") {
        scene.cluster.execute("CREATE EXTENSION pg_stat_statements");
    }
    scene
        .cluster
        .execute("CREATE ROLE nobody; CREATE ROLE watcher IN ROLE pg_monitor");
    // Not from the start: from DEBUG3 on, Postgres itself writes its whole environment into the log as it starts.
    scene.cluster.execute("ALTER SYSTEM SET log_min_messages = debug5");
    scene.cluster.reload();
    let talks = || scene.cluster.log().contains("DEBUG:");
    wait_until("the log is talkative", DEADLINE, talks, |talks| *talks);
    scene
}

/// A Postgres without contrib has no statistics of statements.
fn libraries() -> &'static str {
    let folder = std::env::var("AI_TEST_PG_BINDIR").map(|folder| format!("{folder}/../lib/pg_stat_statements.so"));
    match folder {
        Ok(file) if std::path::Path::new(&file).exists() => "ai,pg_stat_statements",
        _ => {
            println!("not looked at: pg_stat_statements, which this Postgres has not");
            "ai"
        }
    }
}

/// A text as SQL that does not spell it.
fn unspelled(text: &str) -> String {
    let backwards: String = text.chars().rev().collect();
    format!("reverse('{backwards}')")
}

/// A vectorizer whose foreign servers name a key in a file and a role: all goes wrong with them that can.
fn ask_by_server(scene: &Scene) {
    let cluster = &scene.cluster;
    let key = cluster.write_secret("key", FILE_KEY);
    let directory = key.parent().expect("it is in a folder").display();
    cluster.execute(&format!("ALTER SYSTEM SET ai.secret_directory = '{directory}'"));
    cluster.reload();
    let role = "arn:aws:iam::123456789012:role/reader";
    cluster.execute(&format!(
        "CREATE SERVER filed TYPE 'openai' FOREIGN DATA WRAPPER ai_provider
             OPTIONS (base_url '{provider}', api_key 'file:{file}');
         CREATE SERVER tenant TYPE 's3' FOREIGN DATA WRAPPER ai_source
             OPTIONS (role_arn '{role}', external_id 'file:{file}', allowed_urls '{bucket}');
         CREATE USER MAPPING FOR PUBLIC SERVER filed OPTIONS (api_key 'file:{file}');
         GRANT USAGE ON FOREIGN SERVER filed, tenant TO nobody;
         CREATE TABLE filed (uri text PRIMARY KEY);
         SELECT ai.create_vectorizer('filed', name => 'filed', loading => ai.loading_uri('uri', server => 'tenant'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8, server => 'filed'))",
        provider = scene.provider.base_url(),
        file = key.display(),
        bucket = scene.s3.uri(""),
    ));
    let uri = scene.s3.put("filed.txt", TEXT);
    let insert = |uri: &str| cluster.execute(&format!("INSERT INTO filed VALUES ({})", unspelled(uri)));
    // A key that was echoed: the vectorizer pauses, and goes on with the next word of its servers.
    scene.provider.behave(Behaviour::Unauthorized);
    insert(&uri);
    met(scene, "Error code: 401");
    let count = "SELECT count(*) FROM filed_embedding_store";
    cluster.wait_for("it is embedded with the key of the file", count, "1");
    let used = scene.provider.seen();
    assert!(used.iter().any(|request| request.api_key.as_deref() == Some(FILE_KEY)));
    // The role is refused, and the answer says with which external id.
    let refused = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
         <Message>not with the external id {FILE_KEY}</Message></Error></ErrorResponse>"
    );
    scene.s3.answer("/", Answer::Say("403 Forbidden", refused));
    cluster.execute("ALTER SERVER tenant OPTIONS (SET role_arn 'arn:aws:iam::123456789012:role/other')");
    insert(&scene.s3.put("denied.txt", TEXT));
    met(scene, "AccessDenied");
    // Files that are no keys any more.
    let unfit = [
        (0o644, FILE_KEY.to_owned(), "is open to others"),
        (0o600, format!("{FILE_KEY}\n{FILE_KEY}"), "cannot be sent"),
        (0o600, FILE_KEY.repeat(4096), "larger than 64 KiB"),
    ];
    for (number, (mode, content, reason)) in unfit.into_iter().enumerate() {
        cluster.write_secret("key", &content);
        fs::set_permissions(&key, Permissions::from_mode(mode)).expect("a file of the test");
        insert(&scene.s3.put(&format!("unfit-{number}.txt"), format!("{TEXT} {reason}")));
        written_down(scene, reason);
        cluster.write_secret("key", FILE_KEY);
        met(scene, reason);
    }
}

fn row(scene: &Scene, uri: &str) {
    let sql = format!("INSERT INTO doc VALUES ({})", unspelled(uri));
    scene.cluster.execute(&sql);
}

/// Waits until a reason has been written down.
fn written_down(scene: &Scene, part: &str) {
    let reasons = "SELECT coalesce(string_agg(details ->> 'error_reason', E'\\n'), '') FROM ai._vectorizer_errors";
    wait_until(
        "the failure is written down",
        DEADLINE,
        || scene.cluster.value(reasons),
        |seen| seen.contains(part),
    );
}

/// Waits until a reason has been written down. Then all is in order again.
fn met(scene: &Scene, part: &str) {
    written_down(scene, part);
    scene.provider.behave(Behaviour::Well);
    scene.s3.heal();
    scene
        .cluster
        .execute("SELECT ai.retry_vectorizer(id) FROM ai.vectorizer");
    scene.cluster.wait_until_settled();
    // Let the vectorizer forget its pause, too.
    scene.cluster.reload();
}

/// Every function is called with nothing, which most of them refuse.
const CALL_ALL: &str = "
    DO $$
    DECLARE
        called record;
    BEGIN
        FOR called IN
            SELECT format('SELECT ai.%I(%s)', p.proname, (
                SELECT coalesce(string_agg('NULL::' || format_type(t.type, NULL), ', ' ORDER BY t.place), '')
                FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS t (type, place))) AS sql
            FROM pg_proc p
            WHERE p.pronamespace = 'ai'::regnamespace AND p.prokind = 'f'
              AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
        LOOP
            BEGIN
                EXECUTE called.sql;
            EXCEPTION WHEN OTHERS THEN
                RAISE LOG '% says %', called.sql, SQLERRM;
            END;
        END LOOP;
    END
    $$";

#[test]
fn no_secret_is_found_anywhere() {
    let scene = talkative();
    let cluster = &scene.cluster;
    let good = scene.s3.put("good.txt", TEXT);
    cluster.execute(
        "CREATE TABLE doc (uri text PRIMARY KEY);
         SELECT ai.create_vectorizer('doc', name => 'docs', loading => ai.loading_uri('uri', retries => 0),
             embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_table('doc_emb'))",
    );

    // The provider repeats parts of the key, and the document.
    scene.provider.behave(Behaviour::Unauthorized);
    row(&scene, &good);
    met(&scene, "Error code: 401");
    for (number, (behaviour, said)) in [
        (Behaviour::RejectInput(TEXT.to_owned()), "Error code: 400"),
        (
            Behaviour::Answer {
                status: 403,
                headers: Vec::new(),
                body: format!(
                    "{{\"error\": {{\"message\": \"the key {KEY} may not embed: {TEXT}\", \"code\": \"{KEY}\"}}}}"
                ),
            },
            "Error code: 403",
        ),
        (Behaviour::Rubbish, "it is not JSON"),
    ]
    .into_iter()
    .enumerate()
    {
        scene.provider.behave(behaviour);
        let uri = scene.s3.put(&format!("{number}.txt"), format!("{TEXT} {number}"));
        row(&scene, &uri);
        met(&scene, said);
    }

    // S3 says no, and says much.
    row(&scene, &scene.s3.uri("no/such.txt"));
    met(&scene, "NoSuchKey");
    let refused = format!(
        "<Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match.</Message>\
         <StringToSign>AWS4 {SECRET}</StringToSign><SecretKey>{SECRET}</SecretKey></Error>"
    );
    scene.s3.answer("/refused.txt", Answer::Say("403 Forbidden", refused));
    row(&scene, &scene.s3.put("refused.txt", TEXT));
    met(&scene, "SignatureDoesNotMatch");

    // Addresses with secrets of their own.
    let web = scene.s3.url();
    scene
        .s3
        .answer("/gone.txt", Answer::Say("404 Not Found", TEXT.to_owned()));
    row(&scene, &format!("{web}/gone.txt?X-Amz-Signature={SIGNATURE}"));
    met(&scene, "was answered with 404");
    let moved = format!("{web}/%zz?X-Amz-Signature={SIGNATURE}");
    row(
        &scene,
        &format!("http://127.0.0.1:1/unreachable.txt?X-Amz-Signature={SIGNATURE}"),
    );
    met(&scene, "cannot be reached");
    row(&scene, &moved);
    row(&scene, &format!("https://ann:{PASSWORD}@example.com/a.txt"));
    met(&scene, "user name or a password");
    row(&scene, &format!("s3://AKIAIOSFODNN7:{PASSWORD}@bucket/a.txt"));
    met(&scene, "the bucket name of the S3 URI");
    row(&scene, &format!("ftp://ann:{PASSWORD}@example.com/a.txt"));
    met(&scene, "scheme `ftp`");

    // The database refuses, and triggers quote.
    cluster.execute(
        "CREATE FUNCTION quote() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'will not store %', NEW.chunk USING ERRCODE = TG_ARGV[0]; END $$",
    );
    for code in ["P0001", "42501", "23514", "57014"] {
        cluster.execute(&format!(
            "CREATE TRIGGER quote BEFORE INSERT ON doc_emb_store FOR EACH ROW EXECUTE FUNCTION quote('{code}')"
        ));
        let uri = scene.s3.put(&format!("{code}.txt"), format!("{TEXT} {code}"));
        row(&scene, &uri);
        let reason = format!(
            "SELECT count(*) > 0 FROM ai._vectorizer_errors WHERE details ->> 'error_reason' LIKE '%SQLSTATE {code}%'"
        );
        cluster.wait_for("the trigger refuses", &reason, "t");
        cluster.execute("DROP TRIGGER quote ON doc_emb_store");
        cluster.execute("SELECT ai.retry_vectorizer('docs')");
        cluster.wait_until_settled();
    }
    cluster.execute("ALTER TABLE doc_emb_store ADD CONSTRAINT short CHECK (length(chunk) < 5) NOT VALID");
    row(&scene, &scene.s3.put("long.txt", format!("{TEXT} long")));
    met(&scene, "SQLSTATE 23514");

    ask_by_server(&scene);

    // And what sessions ask for.
    cluster.execute(CALL_ALL);
    let text = unspelled(TEXT);
    for behaviour in [
        Behaviour::Unauthorized,
        Behaviour::ServerError,
        Behaviour::Rubbish,
        Behaviour::RejectInput(TEXT.to_owned()),
        Behaviour::Close,
    ] {
        scene.provider.behave(behaviour);
        for call in [
            format!("ai.openai_embed('text-embedding-3-small', {text})"),
            format!("ai.vectorizer_embed('docs', {text})"),
            format!("ai.vectorizer_embed('filed', {text})"),
            format!("ai.vectorizer_embed(ai.embedding_openai('text-embedding-3-small', 8), {text})"),
        ] {
            let (_, said) = cluster.refusal(&format!("SELECT {call}"));
            assert_eq!(seen(&said, &[KEY, SECRET, FILE_KEY, TEXT]), [""; 0], "{call}: {said}");
        }
    }
    scene.provider.behave(Behaviour::Well);
    cluster.execute("SELECT * FROM ai.verify_vectorizer('docs', repair => true)");

    let search = Search::all(cluster);
    assert!(search.places > 300, "only {} places were looked at", search.places);
    assert_eq!(search.found, [""; 0]);
}

/// The search can fail.
#[test]
fn a_planted_secret_is_found() {
    let scene = talkative();
    let cluster = &scene.cluster;
    cluster.execute(
        "CREATE TABLE doc (uri text PRIMARY KEY);
         SELECT ai.create_vectorizer('doc', name => 'docs', loading => ai.loading_uri('uri'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_table('doc_emb'))",
    );
    assert_eq!(Search::all(cluster).found, [""; 0]);
    let middle = &KEY[4..12];
    cluster.execute(&format!("COMMENT ON TABLE doc IS '{middle}'"));
    cluster.execute(&format!(
        "INSERT INTO ai._vectorizer_errors (id, message, details, step, failure_class)
         SELECT id, 'failed', jsonb_build_object('error_reason', {}), 'loading', 'permanent' FROM ai.vectorizer",
        unspelled(SIGNATURE)
    ));
    cluster.execute(&format!("SELECT pg_sleep(0) /* {SECRET} */"));
    let found = Search::all(cluster).found;
    for place in [
        format!("the log shows {KEY}"),
        format!("the log shows {SECRET}"),
        format!("pg_catalog.pg_description as nobody shows {KEY}"),
        format!("ai.vectorizer_errors as watcher shows {SIGNATURE}"),
        format!("an error row shows {SIGNATURE}"),
        format!("a dump shows {KEY}"),
    ] {
        assert!(found.contains(&place), "{place} is not in {found:#?}");
    }
}
