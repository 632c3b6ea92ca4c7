-- The vectors $2 of the documents $1, in a column of their rows; NULL where the text is empty. For each row that was
-- written whether its vector reached it: not where it has none, or the one that it had, though another was sent. A
-- trigger may change a vector on purpose. And a fingerprint of what the document was embedded from, as in origins.sql.
UPDATE {source} s SET {embedding} = n.embedding
FROM unnest($1::bigint[], $2::{vector}[]) AS n (item, embedding)
JOIN {queue} q ON q.item = n.item
JOIN {source} o ON {other_is_item}
WHERE {source_is_item}
RETURNING q.item, {other_origin} AS origin,
          CASE WHEN n.embedding IS NULL OR s.{embedding} IS NULL THEN n.embedding IS NULL AND s.{embedding} IS NULL
               WHEN NOT record_image_eq(ROW(s.{embedding}), ROW(o.{embedding})) THEN true
               ELSE s.{embedding}::text = n.embedding::{embedding_type}::text END AS reached
