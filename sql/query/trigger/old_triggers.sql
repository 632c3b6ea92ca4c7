-- The triggers by statement for INSERT and for UPDATE that version 0.1.0 put on the table $1 for the vectorizer $2, and whether
-- they are disabled.
SELECT quote_ident(t.tgname), t.tgenabled = 'D'
FROM ai._vectorizer v
JOIN pg_trigger t ON t.tgrelid = v.source AND t.tgfoid = ai._trigger_function(v.trigger_function)
WHERE v.source = $1 AND v.id = $2
  AND t.tgname IN (v.trigger_name, v.trigger_name || '_insert')
  AND t.tgtype::int & 1 = 0 AND t.tgnewtable IS NOT NULL
