//! Embeddings that stay true, inside Postgres.
pgrx::pg_module_magic!();
