CREATE INDEX CONCURRENTLY {index} ON {destination} USING {method} ({column}{opclass}){options}
