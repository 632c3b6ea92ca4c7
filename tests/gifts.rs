//! A source changes hands, with what its owner of before has put on it: nothing of that runs as the new one before that
//! one has looked.

mod support;

use support::lair::{assert_only_mallory, by, lair};
use support::{DEADLINE, Scene, wait_until};

/// A table of mallory with a vectorizer and with documents that wait: what is on it, and how its vectorizer
/// is to name that.
struct Gift {
    burden: &'static str,
    named: &'static str,
}

const TABLE: &str = "CREATE TABLE {t} (id int PRIMARY KEY, body text)";
const PARTS: &str = "CREATE TABLE {t} (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
                     CREATE TABLE {t}_part PARTITION OF {t} FOR VALUES FROM (0) TO (9)";

/// A vectorizer that stands still, and writes into a column: the worker reads the source, and writes to it.
fn vectorize(scene: &Scene, table: &str, definition: &str) {
    let make = "SELECT ai.create_vectorizer('{t}', name => '{n}', loading => ai.loading_column('body'),
                    embedding => ai.embedding_openai('text-embedding-3-small', 4), destination => ai.destination_column('embedding'),
                    chunking => ai.chunking_none());
                SELECT ai.disable_vectorizer_schedule('{n}'); INSERT INTO {t} (id, body) VALUES (1, 'one'), (2, 'two')";
    let name = table.trim_start_matches("m.");
    let sql = format!("{definition}; {make}")
        .replace("{t}", table)
        .replace("{n}", name);
    by(scene, "mallory", &sql);
}

/// The hand-over of a DBA, after which the vectorizer would work.
fn give(scene: &Scene, table: &str) {
    scene.cluster.execute(&format!("ALTER TABLE {table} OWNER TO postgres"));
    let name = table.trim_start_matches("m.");
    scene.cluster.execute(&format!(
        "UPDATE ai._vectorizer SET disabled = false WHERE name = '{name}'"
    ));
}

fn reason(scene: &Scene, name: &str) -> String {
    let sql = "SELECT coalesce(string_agg(reason, ','), '') FROM ai.worker_status WHERE vectorizer = ";
    scene.cluster.value(&format!("{sql}'{name}'"))
}

fn wait_until_named(scene: &Scene, name: &str, named: &str) {
    wait_until(
        &format!("vectorizer {name} names {named}"),
        DEADLINE,
        || reason(scene, name),
        |reason| reason.contains("its source belongs to postgres now") && reason.contains(named),
    );
}

#[test]
fn what_the_old_owner_has_put_on_a_source_does_not_run_as_the_new_one() {
    let scene = lair();
    by(
        &scene,
        "mallory",
        "CREATE FUNCTION m.text_of(v text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
             $$ BEGIN PERFORM m.strike('text_of'); RETURN v; END $$;
         CREATE DOMAIN m.checked AS text CHECK (m.strike('domain'));
         CREATE TYPE m.mood AS ENUM ('one', 'two');
         CREATE FUNCTION m.mood_text(m.mood) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
             $$ BEGIN PERFORM m.strike('cast'); RETURN 'x'; END $$;
         CREATE CAST (m.mood AS text) WITH FUNCTION m.mood_text AS IMPLICIT",
    );
    let gifts = [
        (
            "CREATE TRIGGER trap BEFORE UPDATE ON {t} FOR EACH ROW EXECUTE FUNCTION m.spring('trigger')",
            "the trigger trap",
        ),
        (
            "CREATE RULE trap AS ON UPDATE TO {t} DO ALSO SELECT m.strike('rule')",
            "the rule trap",
        ),
        (
            "ALTER TABLE {t} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
             CREATE POLICY trap ON {t} USING (m.strike('policy'))",
            "the policy trap",
        ),
        (
            "CREATE INDEX trap{n} ON {t} (id) WHERE m.strike('predicate')",
            "the index m.trap",
        ),
        ("CREATE INDEX trap{n} ON {t} (m.text_of(body))", "the index m.trap"),
        (
            "ALTER TABLE {t} ADD made text GENERATED ALWAYS AS (m.text_of(body)) STORED",
            "the expression of column made",
        ),
        (
            "ALTER TABLE {t} ADD made text DEFAULT m.text_of('default')",
            "the expression of column made",
        ),
        (
            "ALTER TABLE {t} ADD CONSTRAINT trap CHECK (m.strike('check'))",
            "the constraint trap",
        ),
        // Functions of Postgres that run statements are none that only compute.
        (
            "ALTER TABLE {t} ADD CONSTRAINT trap CHECK (query_to_xml('select m.strike(''xml'')', true, true, '') IS NOT NULL)",
            "the constraint trap",
        ),
        (
            "CREATE STATISTICS m.trap{n} ON (m.text_of(body)), id FROM {t}",
            "the statistics trap",
        ),
        (
            "ALTER TABLE {t} ALTER body TYPE m.checked",
            "the type m.checked of column body",
        ),
        (
            "ALTER TABLE {t} ADD more m.checked[]",
            "the type m.checked[] of column more",
        ),
        ("ALTER TABLE {t} ADD feels m.mood", "the type m.mood of column feels"),
        // It has nothing yet: its owner may give it a cast at any time.
        (
            "CREATE TYPE m.later AS ENUM ('a'); ALTER TABLE {t} ADD later m.later",
            "the type m.later of column later",
        ),
        (
            "CREATE TYPE m.pair AS (a m.checked); ALTER TABLE {t} ADD pair m.pair",
            "the type m.pair of column pair",
        ),
        (
            "ALTER TABLE {t} ADD UNIQUE (embedding);
             CREATE TABLE m.ref{n} (e vector(4) REFERENCES {t} (embedding) ON UPDATE CASCADE)",
            "the foreign key ref",
        ),
        (
            "ALTER TABLE {t} ALTER id SET DEFAULT txid_current()::int",
            "the expression of column id",
        ),
        (
            "GRANT TRIGGER ON {t} TO PUBLIC",
            "the privilege TRIGGER granted to others",
        ),
        // Of the vectorizer by its name and its function only.
        (
            "DROP TRIGGER _vectorizer_src_trg_{n} ON {t};
             CREATE TRIGGER _vectorizer_src_trg_{n} AFTER INSERT OR UPDATE ON {t} FOR EACH ROW WHEN (m.strike('when'))
                 EXECUTE FUNCTION ai._append_change({n})",
            "the trigger _vectorizer_src_trg_",
        ),
    ];
    let gifts = gifts.map(|(burden, named)| Gift { burden, named });
    for (number, gift) in gifts.iter().enumerate() {
        let n = number + 1;
        let table = format!("m.gift{n}");
        vectorize(&scene, &table, TABLE);
        by(
            &scene,
            "mallory",
            &gift.burden.replace("{t}", &table).replace("{n}", &n.to_string()),
        );
    }
    for n in 1..=gifts.len() {
        give(&scene, &format!("m.gift{n}"));
    }
    for (number, gift) in gifts.iter().enumerate() {
        wait_until_named(&scene, &format!("gift{}", number + 1), gift.named);
    }
    assert_only_mallory(&scene, "the tables were given away");
    // Whatever would act as the owner says what is there, too.
    let (code, said) = scene.cluster.refusal("SELECT ai.execute_vectorizer('gift1')");
    assert_eq!(code, "55000", "{said}");
    assert!(said.contains("the trigger trap"), "{said}");
    // What was taken away needs a word of the new owner, and no more.
    scene.cluster.execute("DROP TRIGGER trap ON m.gift1");
    wait_until_named(&scene, "gift1", "postgres");
    scene.cluster.execute("SELECT ai.enable_vectorizer_schedule('gift1')");
    let embedded = "SELECT count(embedding) FROM m.gift1";
    scene.cluster.wait_for("it works for its new owner", embedded, "2");
    assert_only_mallory(&scene, "the new owner has looked");
}

/// A statement on the whole does not give the parts away.
#[test]
fn what_is_on_a_partition_does_not_run_as_the_new_owner_of_the_whole() {
    let scene = lair();
    for table in ["m.whole", "m.trapped"] {
        vectorize(&scene, table, PARTS);
    }
    by(
        &scene,
        "mallory",
        "CREATE TRIGGER trap BEFORE UPDATE ON m.trapped_part FOR EACH ROW EXECUTE FUNCTION m.spring('part')",
    );
    scene.cluster.execute("ALTER TABLE m.trapped_part OWNER TO postgres");
    give(&scene, "m.trapped");
    give(&scene, "m.whole");
    wait_until_named(&scene, "trapped", "the trigger trap of m.trapped_part");
    wait_until_named(&scene, "whole", "the partition m.whole_part of mallory");
    assert_only_mallory(&scene, "partitioned tables were given away");
}

/// What only computes, and only with what Postgres and its extensions bring, goes along.
#[test]
fn what_runs_no_code_keeps_no_vectorizer_from_its_new_owner() {
    let scene = lair();
    by(&scene, "mallory", "CREATE TABLE m.writer (id int PRIMARY KEY)");
    scene.cluster.execute(
        "CREATE TYPE m.kind AS ENUM ('a', 'b'); CREATE TYPE m.pair AS (a int, b text); CREATE DOMAIN m.line AS text NOT NULL",
    );
    let definition = "CREATE TABLE {t} (id serial PRIMARY KEY, body text CHECK (length(body) > 1), kind m.kind DEFAULT 'a', line m.line[],
             made timestamptz NOT NULL DEFAULT now(), tag uuid DEFAULT gen_random_uuid(), pair m.pair, price numeric(9, 2) CHECK (price >= 0),
             words tsvector GENERATED ALWAYS AS (to_tsvector('english'::regconfig, body)) STORED,
             writer int REFERENCES m.writer);
         CREATE INDEX ON {t} (lower(body)); CREATE INDEX ON {t} (id) WHERE price IS NOT NULL AND kind = 'a';
         CREATE STATISTICS m.lengths ON (length(body)), id FROM {t};
         CREATE INDEX ON {t} USING gin (words); GRANT SELECT, UPDATE ON {t} TO ann";
    vectorize(&scene, "m.plain", definition);
    give(&scene, "m.plain");
    let embedded = "SELECT count(embedding) FROM m.plain";
    scene.cluster.wait_for("it works at once", embedded, "2");
    assert_eq!(scene.cluster.value("SELECT owner FROM ai._vectorizer"), "postgres");
}

/// It comes back, with what a role has put on it that has never been served.
#[test]
fn a_source_that_comes_back_brings_its_parts_and_nothing_that_runs() {
    let scene = lair();
    scene.cluster.execute("CREATE ROLE heir; GRANT ALL ON SCHEMA m TO heir");
    for table in ["m.back", "m.clean"] {
        vectorize(&scene, table, TABLE);
        by(
            &scene,
            "mallory",
            &format!(
                "CREATE TRIGGER trap BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION m.spring('of mallory')"
            ),
        );
        scene.cluster.execute(&format!("ALTER TABLE {table} OWNER TO heir"));
    }
    by(
        &scene,
        "heir",
        "DROP TRIGGER trap ON m.clean; DROP TRIGGER trap ON m.back",
    );
    by(
        &scene,
        "heir",
        "CREATE FUNCTION m.springs() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO m.struck VALUES (current_user, 'of heir'); RETURN NEW; END $$;
         CREATE TRIGGER hers BEFORE UPDATE ON m.back FOR EACH ROW EXECUTE FUNCTION m.springs()",
    );
    for table in ["back", "clean"] {
        scene
            .cluster
            .execute(&format!("ALTER TABLE m.{table} OWNER TO mallory"));
        scene.cluster.execute(&format!(
            "UPDATE ai._vectorizer SET disabled = false WHERE name = '{table}'"
        ));
    }
    scene
        .cluster
        .wait_for("it works again", "SELECT count(embedding) FROM m.clean", "2");
    wait_until(
        "it stands still",
        DEADLINE,
        || reason(&scene, "back"),
        |reason| reason.contains("its source belongs to mallory now") && reason.contains("the trigger hers"),
    );
    assert_eq!(
        scene
            .cluster
            .value("SELECT count(*) FROM m.struck WHERE trap = 'of heir'"),
        "0"
    );
    let owners = "SELECT string_agg(DISTINCT pg_get_userbyid(c.relowner), ',') FROM ai._vectorizer v
                  JOIN pg_class c ON c.oid IN (v.source, v.queue, v.queue_failed, v.intake)";
    assert_eq!(scene.cluster.value(owners), "mallory");
}
