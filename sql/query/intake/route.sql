-- Where the trigger of the vectorizer $1 on the table $2 appends the keys of rows that have changed: nowhere, unless that
-- table is its source.
SELECT v.intake::oid AS intake, v.source_pk, v.trigger_name::text AS trigger_name, v.stranger IS NOT NULL AS is_strange
FROM ai._seen_vectorizer v
WHERE v.id = $1 AND v.source = $2 AND v.intake IS NOT NULL
