-- ai.chunk_text and ai.chunk_text_recursively: what LangChain's splitters make of the same texts.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
\pset format unaligned
-- The examples of pgai's manual.
SELECT * FROM ai.chunk_text(
    $$if two witches watch two watches, which witch watches which watch?$$, separator => ' ', chunk_size => 10, chunk_overlap => 0);
SELECT * FROM ai.chunk_text_recursively(
    $$if two witches watch two watches, which witch watches which watch?$$, separators => ARRAY[' ', '.', '?'], chunk_size => 2,
    chunk_overlap => 0);
SELECT * FROM ai.chunk_text_recursively(
    'Hello there. How are you? I am fine! Thanks a lot, indeed.', 20, 8, ARRAY[E'\n\n', E'\n', '.', '?', '!', ' ', '']);
SELECT d.id, c.seq, c.chunk
FROM (VALUES (1, E'one\n\ntwo'), (2, 'three'), (3, ''), (4, NULL)) AS d (id, body) CROSS JOIN LATERAL ai.chunk_text(d.body, 4, 0) AS c
ORDER BY d.id, c.seq;

-- NULL stands for LangChain's defaults: 4000 and 200 characters, paragraphs first.
SELECT seq, length(chunk), left(chunk, 2) FROM ai.chunk_text(repeat(repeat('é', 998) || E'\n\n', 9));
SELECT array_agg(length(chunk) ORDER BY seq) FROM ai.chunk_text(repeat(repeat('x', 98) || E'\n\n', 90), NULL, NULL, NULL, NULL);
SELECT array_agg(length(chunk) ORDER BY seq) FROM ai.chunk_text_recursively(repeat('y', 9000));
SELECT array_agg(length(chunk) ORDER BY seq)
FROM ai.chunk_text_recursively(repeat('word ', 1000) || E'\n' || repeat('z', 3999), NULL, NULL, NULL, NULL);
SELECT array_agg(chunk ORDER BY seq) FROM ai.chunk_text_recursively('a.b.c', 1, 0, '{.}');
SELECT array_agg(chunk ORDER BY seq) FROM ai.chunk_text('one1two22three', 5, 0, '[0-9]+', true);
SELECT array_agg(chunk ORDER BY seq) FROM ai.chunk_text('one1two22three', 5, 0, '[0-9]+');
SELECT array_agg(chunk ORDER BY seq) FROM ai.chunk_text('abc', 1, 0, '');
-- LangChain takes an overlap of the whole size; a vectorizer does not.
SELECT array_agg(chunk ORDER BY seq) FROM ai.chunk_text('a b c', 3, 3, ' ');
\pset format aligned

SELECT pg_temp.error_of('SELECT * FROM ai.chunk_text(''x'', 10, 11)');
SELECT pg_temp.error_of('SELECT * FROM ai.chunk_text(''x'', 100)');
SELECT pg_temp.error_of('SELECT * FROM ai.chunk_text(''x'', 0, 0)');
SELECT pg_temp.error_of('SELECT * FROM ai.chunk_text(''x'', 10, -1)');
SELECT pg_temp.error_of('SELECT * FROM ai.chunk_text(''x'', 10, 0, ''('', true)');
SELECT pg_temp.error_of('SELECT * FROM ai.chunk_text_recursively(''x'', 10, 0, ARRAY[''a'', NULL])');
SELECT pg_temp.error_of('SELECT * FROM ai.chunk_text(repeat(''a'', 60), 10, 0, ''(?:(?:a|aa)+)+(?<!a)'', true)');
