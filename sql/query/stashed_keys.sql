-- The keys of the texts of a document that have been embedded already.
SELECT d.text_key FROM ai._vectorizer_stash d WHERE d.id = $1 AND d.item = $2
