-- Whether the triggers with the stem $2 on the partitioned table $1 are enabled for replicas, too.
SELECT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = $1 AND t.tgname = $2 || '_truncate' AND t.tgenabled = 'A')
