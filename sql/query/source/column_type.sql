SELECT format('%I.%I', n.nspname, t.typname)
       || coalesce(substring(format_type(a.atttypid, a.atttypmod) from '\(\d+\)$'), '')
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE a.attrelid = $1 AND a.attname = $2::name AND NOT a.attisdropped
