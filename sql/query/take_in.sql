-- Moves up to $1 changes from the intake to the queue: a key that is new there becomes a document, one that is there has
-- changed. A document whose row in the queue is locked stays behind for the next time: a user's transaction that is about
-- to delete it may take long. How many changes there were, and how many of them stayed behind. (`item` is where a change
-- stands: no column of a key is called so here.)
WITH change AS MATERIALIZED (
    SELECT i.ctid AS item, {intake_pk} FROM {intake} i LIMIT $1 FOR UPDATE SKIP LOCKED
), changed AS MATERIALIZED (
    -- In the order in which they came.
    SELECT min(k.item) AS item, {key_pk} FROM change k GROUP BY {key_pk}
), known AS MATERIALIZED (
    SELECT q.item FROM changed k JOIN {queue} q ON {key_is_item} FOR UPDATE OF q SKIP LOCKED
), busy AS MATERIALIZED (
    -- By a hash, also where plans are made to follow indexes.
    SELECT {key_pk} FROM changed k JOIN {queue} q ON {key_is_item} WHERE q.item NOT IN (SELECT n.item FROM known n)
), again AS (
    UPDATE {queue} q SET {changed} FROM known n WHERE q.item = n.item
), fresh AS (
    INSERT INTO {queue} AS q ({pk})
    SELECT {key_pk} FROM changed k
    WHERE NOT EXISTS (SELECT FROM {queue} q WHERE {key_is_item})
    ORDER BY k.item
    -- Somebody may fill the queue by hand.
    ON CONFLICT ({pk}) DO UPDATE SET {changed}
), taken AS (
    DELETE FROM {intake} i USING change k
    WHERE i.ctid = k.item AND NOT EXISTS (SELECT FROM busy b WHERE {key_is_busy})
    RETURNING true
)
SELECT (SELECT count(*) FROM change), (SELECT count(*) FROM change) - (SELECT count(*) FROM taken)
