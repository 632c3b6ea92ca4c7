SELECT pg_has_role(c.relowner, 'USAGE') FROM ai._seen_vectorizer v JOIN pg_class c ON c.oid = v.source WHERE v.id = $1
