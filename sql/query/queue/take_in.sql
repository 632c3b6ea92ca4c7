-- Moves what changed to the queue, of the first $1 changes of the intake and for up to $2 keys: a key that is new
-- there becomes a document, one that is there has changed. A document whose row in the queue is locked stays behind
-- for the next time: a user's transaction that is about to delete it may take long. Keys may be long: those of $3
-- bytes, and one more, are moved. A key that the queue swallows stays in the intake, and so do the changes at the
-- places $5, which it has refused. How many changes there were, how many of them were to be moved, how many were,
-- whether there are more that were left for their length, and the first $4 keys that were swallowed. (`item` is where
-- the changes of a key stand: no column of a key is called so here. They are compared with all that were written only
-- where some are missing.)
WITH change AS MATERIALIZED (
    SELECT i.ctid AS item, {intake_pk} FROM {intake} i WHERE i.ctid <> ALL ($5::tid[]) LIMIT $1 FOR UPDATE SKIP LOCKED
), portion AS MATERIALIZED (
    SELECT max(b.item) AS last
    FROM (SELECT k.item, sum({bytes_of_key}) OVER (ORDER BY k.item ROWS UNBOUNDED PRECEDING) - {bytes_of_key} AS before
          FROM change k) AS b
    WHERE b.before < $3
), changed AS MATERIALIZED (
    SELECT array_agg(k.item) AS item, {key_pk} FROM change k WHERE {key_in_portion} GROUP BY {key_pk}
), known AS MATERIALIZED (
    SELECT q.item, q.version, k.item AS places
    FROM changed k JOIN {queue} q ON {key_is_item} LIMIT $2 FOR UPDATE OF q SKIP LOCKED
), unknown AS MATERIALIZED (
    -- In the order in which they came.
    SELECT k.item, {key_pk} FROM changed k
    WHERE NOT EXISTS (SELECT FROM {queue} q WHERE {key_is_item})
    ORDER BY k.item LIMIT $2
), again AS (
    UPDATE {queue} q SET {changed} FROM known n WHERE q.item = n.item RETURNING q.item, q.version <> n.version AS is_noted
), fresh AS (
    INSERT INTO {queue} AS q ({pk})
    SELECT {key_pk} FROM unknown k
    ORDER BY k.item
    -- The queue may be filled by hand.
    ON CONFLICT ({pk}) DO UPDATE SET {changed}
    RETURNING {queue_pk}
), arrived AS MATERIALIZED (
    SELECT n.places FROM known n
    WHERE (SELECT count(*) FROM again a WHERE a.is_noted) = (SELECT count(*) FROM known)
       OR EXISTS (SELECT FROM again a WHERE a.item = n.item AND a.is_noted)
    UNION ALL
    SELECT k.item FROM unknown k
    WHERE (SELECT count(*) FROM fresh) = (SELECT count(*) FROM unknown) OR EXISTS (SELECT FROM fresh q WHERE {key_is_item})
), place AS MATERIALIZED (
    SELECT unnest(a.places) AS item FROM arrived a
), taken AS (
    DELETE FROM {intake} i USING place n WHERE i.ctid = n.item RETURNING true
), lost AS (
    SELECT {queue_pk}
    FROM known n JOIN {queue} q ON q.item = n.item
    WHERE (SELECT count(*) FROM again a WHERE a.is_noted) <> (SELECT count(*) FROM known)
      AND NOT EXISTS (SELECT FROM again a WHERE a.item = n.item AND a.is_noted)
    UNION ALL
    SELECT {key_pk} FROM unknown k
    WHERE (SELECT count(*) FROM fresh) <> (SELECT count(*) FROM unknown)
      AND NOT EXISTS (SELECT FROM fresh q WHERE {key_is_item})
)
SELECT (SELECT count(*) FROM change k WHERE {key_in_portion}) AS changes, (SELECT count(*) FROM place) AS to_move,
       (SELECT count(*) FROM taken) AS moved, EXISTS (SELECT FROM change k WHERE NOT ({key_in_portion})) AS is_cut,
       ARRAY(SELECT ({primary_key})::text FROM lost q LIMIT $4) AS swallowed
