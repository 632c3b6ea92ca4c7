-- The documents among $2 that have vectors put aside, and the keys of their texts.
SELECT d.item, d.text_key FROM ai._vectorizer_stash d WHERE d.id = $1 AND d.item = ANY ($2)
