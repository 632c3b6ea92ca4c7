CREATE EXTENSION ai CASCADE;

CREATE TABLE document (
    uri        text PRIMARY KEY,
    updated_at timestamptz DEFAULT current_timestamp
);

INSERT INTO document (uri) VALUES
    ('s3://library/alice-in-wonderland.txt'),
    ('s3://library/as-you-like-it.txt'),
    ('s3://library/declaration-of-independence.txt'),
    ('s3://library/devils-dictionary.txt'),
    ('s3://library/pgvector.md'),
    ('s3://library/postgresql-backup.md'),
    ('s3://library/postgresql-concurrency.pdf'),
    ('s3://library/postgresql-full-text-search.md'),
    ('s3://library/postgresql-maintenance.md'),
    ('s3://library/rust-ownership.md'),
    ('s3://library/sqlite-atomic-commit.pdf'),
    ('s3://library/sqlite-corruption.md'),
    ('s3://library/sqlite-write-ahead-log.md'),
    ('s3://library/us-constitution.pdf');

SELECT ai.create_vectorizer(
    'document'::regclass,
    loading     => ai.loading_uri(column_name => 'uri'),
    embedding   => ai.embedding_openai('text-embedding-3-small', 768),
    destination => ai.destination_table('document_embeddings')
);
