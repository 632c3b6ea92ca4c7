-- Every function that users call: names, order and defaults of the parameters are those that migrations were written for.
\set ECHO none
\getenv inputs PG_ABS_SRCDIR
\i :inputs/setup.psql
\set ECHO all
\pset format unaligned
SELECT format('%s(%s) %s, %s', p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
              CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END) AS functions
FROM pg_proc p
WHERE p.pronamespace = 'ai'::regnamespace AND p.proname !~ '^(_|create_vectorizer$)'
ORDER BY p.proname, pg_get_function_arguments(p.oid) COLLATE "C";
\pset format aligned

-- The sixteen parameters of ai.create_vectorizer, one a line.
SELECT number, name, format_type(type, NULL) AS type,
       CASE WHEN number > p.pronargs - p.pronargdefaults THEN pg_get_function_arg_default(p.oid, number::int) ELSE 'required' END AS "default"
FROM pg_proc p, unnest(p.proargnames, p.proargtypes::oid[]) WITH ORDINALITY AS a (name, type, number)
WHERE p.oid::regproc = 'ai.create_vectorizer'::regproc
ORDER BY number;
