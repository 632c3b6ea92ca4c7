-- Not where nothing has come or gone: tables of one vectorizer may be altered at the same time.
UPDATE ai._vectorizer v
SET partitions = ARRAY(SELECT ai._partitions(v.source))
WHERE v.id = $1 AND v.partitions <> ARRAY(SELECT ai._partitions(v.source))
