-- The vectors of the texts $3 of a document, as they were put aside.
SELECT d.text_key, d.vector FROM ai._vectorizer_stash d WHERE d.id = $1 AND d.item = $2 AND d.text_key = ANY ($3)
