//! One vectorizer's value does not fail or delay what is done for all: the culprit stands still and says why, by name.

mod support;

use support::{Cluster, Scene};

/// `note`, whose values are about to become strange, and `witness`, both embedded.
fn scene() -> Scene {
    let scene = Scene::start_with(|options| options.setting("ai.idle_timeout", "100ms"));
    for table in ["note", "witness"] {
        scene
            .cluster
            .execute(&format!("CREATE TABLE {table} (id int PRIMARY KEY, body text)"));
        scene.cluster.execute(&create(table, "ai.scheduling_default()"));
        scene.cluster.execute(&format!("INSERT INTO {table} VALUES (1, 'one')"));
        let embedded = format!("SELECT count(*) FROM {table}_embedding_store");
        scene.cluster.wait_for("embedded", &embedded, "1");
    }
    scene
}

fn create(table: &str, scheduling: &str) -> String {
    format!(
        "SELECT ai.create_vectorizer('{table}', name => '{table}', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8), scheduling => {scheduling})"
    )
}

/// The witness is served, by a worker that has begun anew, too, and the views answer.
#[track_caller]
fn assert_served(cluster: &Cluster, what: &str) {
    for fresh in [false, true] {
        if fresh {
            cluster.wait_for(
                "the worker leaves",
                "SELECT count(*) FROM ai.worker_status WHERE process = 'worker'",
                "0",
            );
        }
        cluster.execute("INSERT INTO witness SELECT max(id) + 1, 'more' FROM witness");
        let embedded = "SELECT (SELECT count(*) FROM witness) = (SELECT count(*) FROM witness_embedding_store)";
        cluster.wait_for(what, embedded, "t");
    }
    for view in [
        "ai.vectorizer",
        "ai.vectorizer_status",
        "ai.worker_status",
        "ai.vectorizer_errors",
        "ai.vectorizer_failed",
    ] {
        cluster.rows(&format!("SELECT count(*) FROM (SELECT * FROM {view} OFFSET 0) AS v"));
    }
}

#[test]
fn schedules_that_lead_nowhere_are_refused() {
    let scene = scene();
    let cluster = &scene.cluster;
    cluster.execute("CREATE TABLE third (id int PRIMARY KEY, body text)");
    for (scheduling, why) in [
        (
            "ai.scheduling_timescaledb(initial_start => 'infinity')",
            "initial_start must be a time between",
        ),
        (
            "ai.scheduling_timescaledb(initial_start => '-infinity')",
            "initial_start must be a time between",
        ),
        (
            "ai.scheduling_timescaledb(initial_start => '4000-01-01 BC')",
            "initial_start must be a time between",
        ),
        (
            "ai.scheduling_timescaledb(initial_start => '200000-01-01')",
            "initial_start must be a time between",
        ),
        (
            "ai.scheduling_timescaledb('1 mon -29 days -23:59:59.999999')",
            "schedule_interval must not have negative parts",
        ),
        (
            "ai.scheduling_timescaledb('-1 mon 60 days')",
            "schedule_interval must not have negative parts",
        ),
        (
            "ai.scheduling_timescaledb('1 mon -31 days')",
            "schedule_interval must be greater than zero",
        ),
        (
            "ai.scheduling_timescaledb('00:00:00.000001')",
            "schedule_interval must not be shorter than 100 milliseconds",
        ),
        (
            "ai.scheduling_timescaledb('178000000 years')",
            "schedule_interval must not be longer than 100 years",
        ),
        (
            "'{\"config_type\": \"scheduling\", \"implementation\": \"timescaledb\", \"schedule_interval\": 5}'::jsonb",
            "scheduling config lacks",
        ),
        (
            "ai.scheduling_timescaledb() || '{\"fixed_schedule\": \"maybe\"}'",
            "invalid scheduling config",
        ),
        (
            "ai.scheduling_timescaledb() || jsonb_build_object('note', repeat('x', 1000000))",
            "the configuration is too large",
        ),
        (
            "ai.scheduling_none() || ('{\"deep\": ' || repeat('[', 126) || repeat(']', 126) || '}')::jsonb",
            "the configuration cannot be read: recursion limit",
        ),
    ] {
        let made = cluster.refusal(&create("third", scheduling));
        assert!(made.1.contains(why), "{scheduling}: {made:?}");
        let set = cluster.refusal(&format!("SELECT ai.set_scheduling(1, {scheduling})"));
        // What is one level too deep for a whole configuration is not for a section.
        assert!(set.1.contains(why), "{scheduling}: {set:?}");
        // A configuration that is too long is above a limit, and nonsense in no other way.
        let code = if why == "the configuration is too large" {
            "54000"
        } else {
            "22023"
        };
        assert_eq!(made.0, code, "{made:?}");
        assert_eq!(set.0, code, "{set:?}");
    }
    assert_served(cluster, "after what was refused");
}

/// Written under version 0.1.0, restored from a dump, or forged: not refused when it was made.
#[test]
fn stored_values_stop_their_vectorizer_only() {
    let scene = scene();
    let cluster = &scene.cluster;
    let set = |path: &str, value: &str| {
        format!("UPDATE ai._vectorizer SET config = jsonb_set(config, '{path}', '{value}', true) WHERE id = 1")
    };
    let schedule = |fields: &str| {
        set(
            "{scheduling}",
            &format!(r#"{{"config_type": "scheduling", "implementation": "timescaledb", {fields}}}"#),
        )
    };
    let due = "INSERT INTO ai._vectorizer_run VALUES (1, now()) ON CONFLICT (id) DO UPDATE SET next_run = now()";
    let hour = schedule(r#""schedule_interval": "01:00:00""#);
    for (forge, why) in [
        (
            format!(
                "{}; {due}",
                schedule(r#""schedule_interval": "1 mon -29 days -23:59:59.999999", "fixed_schedule": true"#)
            ),
            "its schedule cannot be followed: schedule_interval must not have negative parts",
        ),
        (
            format!(
                "{}; {due}",
                schedule(r#""schedule_interval": "5 min", "initial_start": "-infinity", "fixed_schedule": true"#)
            ),
            "its schedule cannot be followed: initial_start must be a time between the years 1 and 9999",
        ),
        (
            format!("{}; {due}", schedule(r#""schedule_interval": "soon""#)),
            "its schedule cannot be followed: invalid input syntax for type interval",
        ),
        (
            format!(
                "{}; {due}",
                schedule(r#""schedule_interval": "1 day", "timezone": "Mars/Olympus""#)
            ),
            "its schedule cannot be followed: time zone",
        ),
        (
            format!(
                "{hour}; INSERT INTO ai._vectorizer_run VALUES (1, 'infinity') ON CONFLICT (id) DO UPDATE SET next_run = 'infinity'"
            ),
            "its next run is planned for a time that never comes",
        ),
        (
            set("{chunking,chunk_size}", &format!("1{}", "0".repeat(400))),
            "its configuration cannot be read: ",
        ),
        (
            set("{embedding,extra}", &format!("{}{}", "[".repeat(300), "]".repeat(300))),
            "its configuration cannot be read: recursion limit",
        ),
        (
            "UPDATE ai._vectorizer SET source_pk = '{}' WHERE id = 1".to_owned(),
            "its source table has lost the primary key that it had",
        ),
        (
            "UPDATE ai._vectorizer SET config = (SELECT config || jsonb_build_object('more', jsonb_agg(md5(n::text)))
                 FROM generate_series(1, 60000) AS n) WHERE id = 1"
                .to_owned(),
            "its configuration is too large",
        ),
    ] {
        cluster.execute("CREATE TEMP TABLE before AS TABLE ai._vectorizer");
        cluster.execute(&forge);
        let paused = format!(
            "SELECT count(*) FROM ai.vectorizer_errors WHERE id = 1 AND position('{why}' IN details ->> 'error_reason') > 0"
        );
        cluster.wait_for(&forge[..forge.len().min(200)], &paused, "1");
        assert_served(cluster, why);
        // What is mended goes on.
        cluster.execute(
            "UPDATE ai._vectorizer v SET config = b.config, source_pk = b.source_pk FROM before b WHERE b.id = v.id AND v.id = 1;
             DROP TABLE before; DELETE FROM ai._vectorizer_run",
        );
        cluster.execute("SELECT ai.set_scheduling(1, ai.scheduling_default()); SELECT ai.retry_vectorizer(1)");
        cluster.execute("INSERT INTO note SELECT max(id) + 1, 'more' FROM note");
        let embedded = "SELECT (SELECT count(*) FROM note) = (SELECT count(*) FROM note_embedding_store)";
        cluster.wait_for("it goes on", embedded, "t");
    }
}

/// Times in queues and notes, which their owners may write.
#[test]
fn infinite_times_of_a_queue_harm_their_owner_only() {
    let scene = scene();
    let cluster = &scene.cluster;
    for time in ["infinity", "-infinity"] {
        cluster.execute(&format!(
            "INSERT INTO ai._vectorizer_q_1 (id, loading_retry_after, lease, lease_taken_at, lease_expires_at)
             VALUES (101, '{time}', NULL, NULL, NULL), (102, NULL, 7, '{time}', '{time}'), (103, '{time}', 7, '{time}', '{time}')
             ON CONFLICT DO NOTHING;
             INSERT INTO ai._vectorizer_state (id, paused_at, retry_at, reason) VALUES (1, '{time}', '{time}', 'forged')
             ON CONFLICT (id) DO UPDATE SET paused_at = excluded.paused_at, retry_at = excluded.retry_at;
             UPDATE ai._vectorizer SET disabled = false"
        ));
        assert_served(cluster, time);
        cluster.execute("DELETE FROM ai._vectorizer_q_1; DELETE FROM ai._vectorizer_state; UPDATE ai._vectorizer SET disabled = false");
        cluster.execute("INSERT INTO note SELECT max(id) + 1, 'more' FROM note");
        let embedded = "SELECT (SELECT count(*) FROM note) = (SELECT count(*) FROM note_embedding_store)";
        cluster.wait_for("it goes on", embedded, "t");
    }
}
