-- Keeps the vectors of a document that leaves the queue for the failed queue, under a number below zero made of its primary key
-- $3. Two keys of one number are no harm: a vector is that of its text, whosever it was.
WITH gone AS (
    DELETE FROM ai._vectorizer_stash d WHERE d.id = $1 AND d.item = $2 RETURNING d.text_key, d.vector
)
INSERT INTO ai._vectorizer_stash (id, item, text_key, vector)
SELECT $1, hashtextextended($3, 0) | (1::bigint << 63), g.text_key, g.vector FROM gone g
ON CONFLICT DO NOTHING
