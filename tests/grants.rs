//! What changes on foreign servers concerns the vectorizers that use them, and no others.

mod support;

use provider::Provider;
use support::{DEADLINE, Scene, wait_until};

/// Vectorizers `first` and `second`, each with a server of its own that refuses its key: both are paused.
fn paused() -> (Scene, [Provider; 2]) {
    let providers = [Provider::start(), Provider::start()];
    let scene = Scene::start();
    scene.cluster.execute("CREATE ROLE mallory; CREATE ROLE app");
    for (name, provider) in ["first", "second"].iter().zip(&providers) {
        provider.require_key(Some("another key"));
        scene.cluster.execute(&format!(
            "CREATE SERVER {name} TYPE 'openai' FOREIGN DATA WRAPPER ai_provider OPTIONS (base_url '{}');
             GRANT USAGE ON FOREIGN SERVER {name} TO mallory;
             CREATE TABLE {name}_doc (id int PRIMARY KEY, body text); INSERT INTO {name}_doc VALUES (1, 'one');
             SELECT ai.create_vectorizer('{name}_doc', name => '{name}', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8, server => '{name}'))",
            provider.base_url()
        ));
    }
    // A third, which shows that the worker has heard of what was before.
    scene.cluster.execute(
        "CREATE TABLE doc (id int PRIMARY KEY, body text);
         SELECT ai.create_vectorizer('doc', name => 'third', loading => ai.loading_column('body'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    scene
        .cluster
        .wait_for("both are paused", "SELECT count(*) FROM ai._vectorizer_state", "2");
    scene.cluster.wait_for(
        "none is tried",
        "SELECT count(*) FROM ai._vectorizer_state WHERE retry_at < now()",
        "0",
    );
    (scene, providers)
}

/// How often each provider was asked, after the worker has done something else.
fn asked(scene: &Scene, providers: &[Provider; 2], id: u32) -> [u64; 2] {
    scene.cluster.execute(&format!("INSERT INTO doc VALUES ({id}, 'text')"));
    let embedded = format!("SELECT count(*) FROM doc_embedding_store WHERE id = {id}");
    scene.cluster.wait_for("the third goes on", &embedded, "1");
    [&providers[0], &providers[1]].map(|provider| provider.counts().requests)
}

#[test]
fn what_concerns_no_server_of_a_vectorizer_ends_no_pause() {
    let (scene, providers) = paused();
    let before = asked(&scene, &providers, 1);
    let retry = "SELECT string_agg(retry_at::text, ' ' ORDER BY id) FROM ai._vectorizer_state";
    let until = scene.cluster.value(retry);
    let statements = [
        // Only a warning, as mallory may not.
        "SET SESSION AUTHORIZATION mallory; GRANT USAGE ON FOREIGN SERVER first TO mallory; RESET SESSION AUTHORIZATION",
        "SET SESSION AUTHORIZATION mallory; REVOKE USAGE ON FOREIGN SERVER first FROM app; RESET SESSION AUTHORIZATION",
        // Of other tables, wrappers and roles.
        "GRANT SELECT ON first_doc TO mallory",
        "CREATE EXTENSION postgres_fdw; CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw; GRANT USAGE ON FOREIGN SERVER other TO mallory",
        "ALTER SERVER other OPTIONS (ADD host 'nowhere')",
        "CREATE USER MAPPING FOR mallory SERVER other; ALTER USER MAPPING FOR mallory SERVER other OPTIONS (ADD user 'x')",
        "DROP USER MAPPING FOR mallory SERVER other",
        "REVOKE USAGE ON FOREIGN SERVER other FROM mallory",
        "CREATE SERVER unused TYPE 'openai' FOREIGN DATA WRAPPER ai_provider; GRANT USAGE ON FOREIGN SERVER unused TO mallory",
        "GRANT USAGE ON FOREIGN SERVER unused TO mallory",
        "GRANT app TO mallory",
    ];
    for (number, sql) in statements.iter().enumerate() {
        scene.cluster.execute(sql);
        assert_eq!(asked(&scene, &providers, 10 + number as u32), before, "{sql}");
        assert_eq!(scene.cluster.value(retry), until, "{sql}");
    }
}

#[test]
fn what_concerns_a_server_ends_the_pauses_of_its_vectorizers() {
    let (scene, providers) = paused();
    let mut before = asked(&scene, &providers, 1);
    let statements = [
        "GRANT USAGE ON FOREIGN SERVER first TO app",
        "REVOKE USAGE ON FOREIGN SERVER first FROM app",
        "ALTER SERVER first OPTIONS (ADD api_key 'env:PATH')",
        "CREATE USER MAPPING FOR postgres SERVER first OPTIONS (api_key 'env:HOME')",
        "ALTER USER MAPPING FOR postgres SERVER first OPTIONS (SET api_key 'env:PATH')",
        "DROP USER MAPPING FOR postgres SERVER first",
        "GRANT USAGE ON FOREIGN SERVER first TO PUBLIC",
    ];
    for (number, sql) in statements.iter().enumerate() {
        scene.cluster.execute(sql);
        let look = || providers[0].counts().requests;
        let seen = wait_until(sql, DEADLINE, look, |requests| *requests > before[0]);
        let now = asked(&scene, &providers, 10 + number as u32);
        assert!(now[0] >= seen, "{sql}");
        assert_eq!(now[1], before[1], "{sql}: the other is asked");
        let waits = "SELECT count(*) FROM ai._vectorizer_state WHERE retry_at > now()";
        scene.cluster.wait_for("both are paused", waits, "2");
        before = asked(&scene, &providers, 100 + number as u32);
    }
    // One that comes to be called as a vectorizer calls it.
    scene.cluster.execute("ALTER SERVER first RENAME TO gone");
    let reason = "SELECT coalesce(string_agg(reason, ' '), '') FROM ai._vectorizer_state WHERE id = 1";
    wait_until(
        "it is missed",
        DEADLINE,
        || scene.cluster.value(reason),
        |reason| reason.contains("does not exist"),
    );
    providers[0].require_key(None);
    scene
        .cluster
        .execute("ALTER SERVER gone RENAME TO first; ALTER SERVER first OPTIONS (DROP api_key)");
    scene
        .cluster
        .wait_for("it works", "SELECT count(*) FROM first_doc_embedding_store", "1");
}
