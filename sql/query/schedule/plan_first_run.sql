INSERT INTO ai._vectorizer_run (id, next_run) VALUES ($1, coalesce($2::timestamptz, now()))
