//! Mallory, who wants more than she was given: her schema `m`, ann's schema `a`, and `m.strike`, which notes
//! as whom it runs and tries to make her a superuser.

use super::Scene;

/// What belongs to mallory before she has any vectorizer.
pub const LAIR: &str = "
    CREATE ROLE mallory LOGIN;
    CREATE ROLE ann LOGIN;
    CREATE ROLE victim;
    DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_extension WHERE extname = 'ai') THEN
            GRANT USAGE ON FOREIGN SERVER ai_openai, ai_s3, ai_http, ai_file TO mallory, ann;
        END IF;
    END $$;
    CREATE SCHEMA m AUTHORIZATION mallory;
    CREATE SCHEMA a AUTHORIZATION ann;
    SET SESSION AUTHORIZATION mallory;
    GRANT USAGE ON SCHEMA m TO PUBLIC;
    CREATE TABLE m.struck (who name, trap text);
    GRANT INSERT ON m.struck TO PUBLIC;
    CREATE FUNCTION m.strike(trap text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN true; END $$;
    -- Declared immutable, and not so.
    CREATE OR REPLACE FUNCTION m.strike(trap text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        PERFORM m.note(trap);
        RETURN true;
    END $$;
    CREATE FUNCTION m.note(trap text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        BEGIN
            ALTER ROLE mallory SUPERUSER;
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
        INSERT INTO m.struck VALUES (current_user, trap);
    END $$;
    CREATE FUNCTION m.spring() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM m.strike(TG_ARGV[0]);
        RETURN coalesce(NEW, OLD);
    END $$;
    RESET SESSION AUTHORIZATION";

/// Runs statements as a role that has logged in.
pub fn by(scene: &Scene, role: &str, sql: &str) {
    scene
        .cluster
        .execute(&format!("SET SESSION AUTHORIZATION {role}; {sql}"));
    scene.cluster.execute("RESET SESSION AUTHORIZATION");
}

/// A table with a vectorizer, and its numbers.
pub fn vectorize(scene: &Scene, role: &str, schema: &str, name: &str) {
    by(
        scene,
        role,
        &format!(
            "CREATE TABLE {schema}.{name} (id int PRIMARY KEY, body text);
             SELECT ai.create_vectorizer('{schema}.{name}', name => '{name}', loading => ai.loading_column('body'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 4))"
        ),
    );
}

pub fn lair() -> Scene {
    let scene = Scene::start();
    scene.cluster.execute(LAIR);
    scene
}

/// As whom the traps were sprung, but for mallory.
pub fn assert_only_mallory(scene: &Scene, trap: &str) {
    let struck = "SELECT DISTINCT who || ' by ' || trap FROM m.struck WHERE who <> 'mallory' ORDER BY 1";
    assert_eq!(scene.cluster.column(struck), [""; 0], "after {trap}");
    let superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'";
    assert_eq!(scene.cluster.value(superuser), "f", "after {trap}");
}
