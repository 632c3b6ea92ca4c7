-- The vectorizers in pgai's catalogue, read as its owner.
SELECT p.id::int4, p.name::text FROM pgai.vectorizer p ORDER BY 1
