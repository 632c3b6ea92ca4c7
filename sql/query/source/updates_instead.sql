-- Whether rules do something else in place of updates of the table $1.
SELECT EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = $1 AND r.is_instead AND r.ev_type = '2')
