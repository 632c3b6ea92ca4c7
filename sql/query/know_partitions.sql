UPDATE ai._vectorizer v
SET partitions = ARRAY(SELECT ai._partitions(v.source))
WHERE v.id = $1
