-- ai.loading_*: the JSON that they build, and what ai.create_vectorizer says of columns it cannot load from.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
SELECT ai.loading_column('body');
SELECT ai.loading_column('Body Text', 0);
SELECT ai.loading_column(NULL, NULL);
SELECT ai.loading_uri('uri');
SELECT ai.loading_uri(column_name => 'uri', retries => 2, aws_role_arn => 'arn:aws:iam::123456789012:role/reader');
SELECT ai.loading_uri(NULL, NULL);

BEGIN;
CREATE EXTENSION citext;
CREATE DOMAIN prose AS text;
CREATE DOMAIN short AS varchar(20);
CREATE DOMAIN essay AS short CHECK (VALUE <> '');
CREATE DOMAIN bytes AS bytea;
CREATE DOMAIN scan AS bytes;
CREATE DOMAIN numeral AS int;
CREATE DOMAIN list AS text[];
CREATE TABLE doc (
    id int PRIMARY KEY, body text, short varchar(20), fixed char(20), bytes bytea, number int, json jsonb, words text[],
    domain prose, gone text, title name, mark "char", insensitive citext, essay essay, scan scan, numeral numeral, list list);
ALTER TABLE doc DROP COLUMN gone;
CREATE FUNCTION pg_temp.with_loading(loading jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.error_of(format(
        'SELECT ai.create_vectorizer(''doc'', loading => %L, embedding => ai.embedding_openai(''m'', 3))', loading))
$$;
SELECT pg_temp.with_loading('"uri"');
SELECT pg_temp.with_loading('null');
SELECT pg_temp.with_loading('{}');
SELECT pg_temp.with_loading(ai.chunking_none());
SELECT pg_temp.with_loading('{"config_type": "loading"}');
SELECT pg_temp.with_loading('{"config_type": "loading", "implementation": "carrier pigeon"}');
SELECT pg_temp.with_loading('{"config_type": "loading", "implementation": "uri"}');
SELECT pg_temp.with_loading('{"config_type": "loading", "implementation": "uri", "column_name": "body"}');
SELECT pg_temp.with_loading(ai.loading_column(NULL));
SELECT pg_temp.with_loading(ai.loading_column('body', NULL));
SELECT pg_temp.with_loading(ai.loading_column('body', -1));
SELECT pg_temp.with_loading(ai.loading_column('body', 0));
SELECT pg_temp.with_loading(ai.loading_uri('body', aws_role_arn => 'reader'));
SELECT pg_temp.with_loading(ai.loading_uri('body', aws_role_arn => 'arn:aws:iam::123456789012:user/reader'));
SELECT pg_temp.with_loading(ai.loading_uri('body', aws_role_arn => 'arn:aws:iam::123456789012:role/reader'));
-- Roles of the other partitions of AWS, which pgai refused.
SELECT pg_temp.with_loading(ai.loading_uri('body', aws_role_arn => 'arn:aws-cn:iam::123456789012:role/reader'));
SELECT pg_temp.with_loading(ai.loading_uri('body', aws_role_arn => 'arn:aws-us-gov:iam::123456789012:role/a/b'));
SELECT pg_temp.with_loading(ai.loading_column('nothing'));
SELECT pg_temp.with_loading(ai.loading_column('gone'));
SELECT pg_temp.with_loading(ai.loading_column('BODY'));
SELECT pg_temp.with_loading(ai.loading_column('ctid'));
SELECT pg_temp.with_loading(ai.loading_column('number'));
SELECT pg_temp.with_loading(ai.loading_column('json'));
SELECT pg_temp.with_loading(ai.loading_column('words'));
SELECT pg_temp.with_loading(ai.loading_column('numeral'));
SELECT pg_temp.with_loading(ai.loading_column('list'));
SELECT pg_temp.with_loading(ai.loading_uri('bytes'));
SELECT pg_temp.with_loading(ai.loading_uri('scan'));
SELECT pg_temp.with_loading(ai.loading_uri('number'));
-- What can be loaded from.
SELECT l, pg_temp.with_loading(l) FROM unnest(ARRAY[
    ai.loading_column('body'), ai.loading_column('short'), ai.loading_column('fixed'), ai.loading_column('bytes'),
    ai.loading_uri('body'), ai.loading_uri('short'), ai.loading_uri('fixed')]) AS l;
-- Domains are what lies below them; what else is a text is read as one.
SELECT l, pg_temp.with_loading(l) FROM unnest(ARRAY[
    ai.loading_column('domain'), ai.loading_column('essay'), ai.loading_column('scan'), ai.loading_column('title'),
    ai.loading_column('mark'), ai.loading_column('insensitive'), ai.loading_uri('essay'),
    ai.loading_uri('insensitive')]) AS l;
ROLLBACK;
