-- Whether code of its owner may run while rows are written to the table $1.
SELECT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = $1::regclass AND NOT t.tgisinternal)
    OR EXISTS (SELECT FROM pg_class c WHERE c.oid = $1::regclass AND (c.relhasrules OR c.relrowsecurity OR c.relkind <> 'r'))
    OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = $1::regclass AND k.contype IN ('c', 'x', 'f'))
    OR EXISTS (SELECT FROM pg_attrdef d WHERE d.adrelid = $1::regclass AND pg_get_expr(d.adbin, d.adrelid) <> 'gen_random_uuid()')
    OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = $1::regclass AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL))
    OR EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
               WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped AND t.typtype <> 'b')
