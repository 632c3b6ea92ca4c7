-- The next number of a vectorizer, and whether it is free.
SELECT n.id, NOT EXISTS (SELECT FROM ai._vectorizer v WHERE v.id = n.id)
FROM (SELECT nextval('ai.vectorizer_id_seq')::int4 OFFSET 0) AS n (id)
