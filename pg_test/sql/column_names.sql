-- Names of columns that clients can use: psycopg's namedtuple_row, a dataclass or an ORM makes identifiers of them.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
BEGIN;
CREATE SCHEMA shop;
CREATE TABLE shop.doc (id int PRIMARY KEY, body text);
CREATE TABLE shop.note (id int PRIMARY KEY, body text);
DO $$
BEGIN
    PERFORM ai.create_vectorizer('shop.doc', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2),
                                 queue_schema => 'shop');
    PERFORM ai.create_vectorizer('shop.note', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 2),
                                 destination => ai.destination_column('vec'), chunking => ai.chunking_none(), queue_schema => 'shop');
END
$$;
CREATE TEMP VIEW named AS
SELECT a.attrelid::regclass::text AS thing, a.attnum::int AS number, a.attname::text AS name
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace IN ('ai'::regnamespace, 'shop'::regnamespace) AND c.relkind IN ('r', 'v') AND a.attnum > 0
  AND NOT a.attisdropped
UNION ALL
-- What a function returns has the names of its parameters that go out, or its own.
SELECT p.oid::regprocedure::text, coalesce(o.number, 1)::int, coalesce(o.name, p.proname)
FROM pg_proc p
LEFT JOIN LATERAL unnest(p.proargnames, p.proargmodes) WITH ORDINALITY AS o (name, mode, number) ON o.mode IN ('o', 'b', 't')
WHERE p.pronamespace = 'ai'::regnamespace AND p.proname !~ '^_' OR p.proname = '_failed_documents';
SELECT count(DISTINCT thing) > 60 AS many FROM named;
-- keyword.kwlist and keyword.softkwlist of Python, what namedtuple refuses, and what would have to be quoted in SQL.
SELECT n.thing, n.name FROM named n
WHERE n.name = ANY ('{False,None,True,and,as,assert,async,await,break,class,continue,def,del,elif,else,except,finally,for,from,global,
                      if,import,in,is,lambda,nonlocal,not,or,pass,raise,return,try,while,with,yield,_,case,match,type}')
   OR n.name !~ '^[a-z][a-z0-9_]*$'
   OR n.name IN (SELECT k.word FROM pg_get_keywords() k WHERE k.catcode IN ('R', 'T'))
ORDER BY 1, 2;
-- Twice in one thing.
SELECT n.thing, n.name FROM named n GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 1, 2;
ROLLBACK;
