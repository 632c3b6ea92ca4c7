-- Tables that cannot be a source, and why.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE FUNCTION pg_temp.from_source(source text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format(
        'SELECT ai.create_vectorizer(%s, loading => ai.loading_column(''body''), embedding => ai.embedding_openai(''m'', 3))', source))
$$;
CREATE TABLE keyed (id int PRIMARY KEY, body text);
CREATE TABLE no_key (id int UNIQUE NOT NULL, body text);
CREATE VIEW a_view AS SELECT * FROM keyed;
CREATE MATERIALIZED VIEW a_materialized_view AS SELECT * FROM keyed;
CREATE TABLE partitioned (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
CREATE TABLE a_partition PARTITION OF partitioned DEFAULT;
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (no_key);
CREATE TABLE mother (id int PRIMARY KEY, body text);
CREATE TABLE daughter () INHERITS (mother);
CREATE TEMP TABLE passing (id int PRIMARY KEY, body text);
SELECT pg_temp.from_source($$'keyed'$$);
SELECT pg_temp.from_source('NULL');
SELECT pg_temp.from_source($$'nothing'$$);
SELECT pg_temp.from_source('99999999');
SELECT pg_temp.from_source($$'no_key'$$);
SELECT pg_temp.from_source($$'a_view'$$);
SELECT pg_temp.from_source($$'a_materialized_view'$$);
SELECT pg_temp.from_source($$'keyed_pkey'$$);
-- Statements on the whole do not fire the triggers of its parts, nor the other way round.
SELECT pg_temp.from_source($$'partitioned'$$);
SELECT pg_temp.from_source($$'a_partition'$$);
SELECT pg_temp.from_source($$'child'$$);
SELECT pg_temp.from_source($$'mother'$$);
SELECT pg_temp.from_source($$'passing'$$);

-- Columns that the destination needs for itself.
CREATE TABLE clash (id int PRIMARY KEY, body text, chunk_seq int);
SELECT pg_temp.from_source($$'clash'$$);
ALTER TABLE clash RENAME chunk_seq TO embedding;
SELECT pg_temp.from_source($$'clash'$$);
ALTER TABLE clash RENAME embedding TO embedding_uuid;
SELECT pg_temp.from_source($$'clash'$$);
ALTER TABLE clash RENAME embedding_uuid TO chunk;
SELECT pg_temp.from_source($$'clash'$$);
ALTER TABLE clash RENAME chunk TO "Chunk";
SELECT pg_temp.from_source($$'clash'$$);
ROLLBACK;
