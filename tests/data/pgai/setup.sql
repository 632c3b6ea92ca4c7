-- What somebody made with pgai 0.12.1; what its worker wrote for it is in written.sql.
CREATE ROLE reader;
CREATE ROLE page_owner;
CREATE SCHEMA site AUTHORIZATION page_owner;
CREATE SCHEMA work_queues AUTHORIZATION page_owner;

CREATE TABLE note (id int PRIMARY KEY, body text, title text, seen int DEFAULT 0);
INSERT INTO note
SELECT n,
       -- An empty document has no chunks.
       CASE WHEN n <> 5 THEN string_agg(format('Sentence %s of note %s tells of the river and the stone.', w, n), ' ') ELSE '' END,
       'Title ' || n
FROM generate_series(1, 5) n, generate_series(1, 24) w
GROUP BY n;

CREATE TABLE site."Page" (
    site text, number int, "Text" text, published timestamptz DEFAULT '2024-01-06 12:30+00', price numeric DEFAULT 1.50,
    visible bool DEFAULT true, PRIMARY KEY (number, site));
ALTER TABLE site."Page" OWNER TO page_owner;
INSERT INTO site."Page" SELECT 'a' || n % 2, n, format(E'Page %s begins.\n\nPage %s ends.', n, n) FROM generate_series(1, 4) n;

CREATE TABLE word (word text PRIMARY KEY, hits int DEFAULT 0);
INSERT INTO word VALUES ('harbour'), ('lantern'), ('winter');

CREATE TABLE draft (id bigint PRIMARY KEY, body text);
INSERT INTO draft VALUES (1, 'The first draft.'), (2, 'The second draft.');

SELECT ai.create_vectorizer(
    'note', loading => ai.loading_column('body'), embedding => ai.embedding_openai('text-embedding-3-small', 8),
    grant_to => ai.grant_to('reader'));
SELECT ai.create_vectorizer(
    'site."Page"', name => 'pages', loading => ai.loading_column('Text'),
    embedding => ai.embedding_openai('text-embedding-3-small', 8),
    formatting => ai.formatting_python_template('$site/$number, $published, $price, $visible: $chunk'),
    chunking => ai.chunking_character_text_splitter(20, 0),
    destination => ai.destination_table(
        target_schema => 'work_queues', target_table => 'Page_chunks', view_name => 'page_search'),
    queue_schema => 'work_queues', queue_table => 'Pages waiting', grant_to => ai.grant_to('reader'));
SELECT ai.create_vectorizer(
    'word', loading => ai.loading_column('word'), embedding => ai.embedding_openai('text-embedding-3-small', 8),
    chunking => ai.chunking_none(), destination => ai.destination_column('meaning'));
SELECT ai.create_vectorizer(
    'note', name => 'titles', loading => ai.loading_column('title'),
    embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_table('note_titles'));
SELECT ai.create_vectorizer(
    'draft', loading => ai.loading_column('body'), embedding => ai.embedding_openai('text-embedding-3-small', 8));
