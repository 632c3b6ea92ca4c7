-- Moves what changed to the queue, of the first $1 changes of the intake and for up to $2 keys: a key that is new there becomes a
-- document, one that is there has changed. A document whose row in the queue is locked stays behind for the next time: a
-- user's transaction that is about to delete it may take long. How many changes there were, and how many of them were
-- moved. (`item` is where the changes of a key stand: no column of a key is called so here.)
WITH change AS MATERIALIZED (
    SELECT i.ctid AS item, {intake_pk} FROM {intake} i LIMIT $1 FOR UPDATE SKIP LOCKED
), changed AS MATERIALIZED (
    SELECT array_agg(k.item) AS item, {key_pk} FROM change k GROUP BY {key_pk}
), known AS MATERIALIZED (
    SELECT q.item, k.item AS places FROM changed k JOIN {queue} q ON {key_is_item} LIMIT $2 FOR UPDATE OF q SKIP LOCKED
), unknown AS MATERIALIZED (
    -- In the order in which they came.
    SELECT k.item, {key_pk} FROM changed k
    WHERE NOT EXISTS (SELECT FROM {queue} q WHERE {key_is_item})
    ORDER BY k.item LIMIT $2
), again AS (
    UPDATE {queue} q SET {changed} FROM known n WHERE q.item = n.item
), fresh AS (
    INSERT INTO {queue} AS q ({pk})
    SELECT {key_pk} FROM unknown k
    ORDER BY k.item
    -- Somebody may fill the queue by hand.
    ON CONFLICT ({pk}) DO UPDATE SET {changed}
), taken AS (
    DELETE FROM {intake} i
    USING (SELECT unnest(n.places) AS item FROM known n UNION ALL SELECT unnest(k.item) FROM unknown k) AS n
    WHERE i.ctid = n.item
    RETURNING true
)
SELECT (SELECT count(*) FROM change), (SELECT count(*) FROM taken)
