INSERT INTO ai._vectorizer_run AS r (id, next_run) VALUES ($1, now())
ON CONFLICT (id) DO UPDATE SET next_run = least(r.next_run, excluded.next_run)
