-- Keeps the vectors of a document that leaves the queue for the failed queue, under a number below zero made of its primary key
-- $3. Two keys of one number are no harm: a vector is that of its text, whosever it was. Only the number is written anew, and not
-- the vectors, which can be gigabytes.
WITH kept AS MATERIALIZED (
    SELECT hashtextextended($3, 0) | (1::bigint << 63) AS item
), gone AS (
    DELETE FROM ai._vectorizer_stash d USING kept a
    WHERE d.id = $1 AND d.item = $2
      AND EXISTS (SELECT FROM ai._vectorizer_stash k WHERE k.id = $1 AND k.item = a.item AND k.text_key = d.text_key)
)
UPDATE ai._vectorizer_stash d SET item = a.item
FROM kept a
WHERE d.id = $1 AND d.item = $2
  AND NOT EXISTS (SELECT FROM ai._vectorizer_stash k WHERE k.id = $1 AND k.item = a.item AND k.text_key = d.text_key)
