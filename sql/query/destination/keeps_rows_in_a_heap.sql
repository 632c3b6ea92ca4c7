-- Whether a table that is made now is kept by Postgres' own access method, whose storage parameters we know.
SELECT current_setting('default_table_access_method') = 'heap'
