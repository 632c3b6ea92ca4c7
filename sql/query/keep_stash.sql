-- Keeps the vectors of a document that leaves the queue for the failed queue, under a number below zero made of its primary key
-- $3. Two keys of one number are no harm: a vector is that of its text, whosever it was. Only the number is written anew, and not
-- the vectors, which can be gigabytes.
WITH known AS MATERIALIZED (
    SELECT d.text_key FROM ai._vectorizer_stash d
    WHERE d.id = $1 AND d.item = hashtextextended($3, 0) | (1::bigint << 63)
), gone AS (
    DELETE FROM ai._vectorizer_stash d
    WHERE d.id = $1 AND d.item = $2 AND d.text_key IN (SELECT k.text_key FROM known k)
)
UPDATE ai._vectorizer_stash d
SET item = hashtextextended($3, 0) | (1::bigint << 63)
WHERE d.id = $1 AND d.item = $2 AND NOT EXISTS (SELECT FROM known k WHERE k.text_key = d.text_key)
