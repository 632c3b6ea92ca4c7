//! What most tests start with: a cluster that finds an S3 and an embedding provider in its environment.

use std::collections::HashSet;

use provider::Provider;

use super::{Cluster, DEADLINE, Options, S3, wait_until};

/// The key that the server sends to the provider.
pub const API_KEY: &str = "canary-openai-key-0123456789";

/// A cluster with the extension in it, a bucket and a provider.
pub struct Scene {
    /// Dropped first: a test that failed asks it for its state.
    pub cluster: Cluster,
    /// S3 and STS.
    pub s3: S3,
    /// OpenAI.
    pub provider: Provider,
}

impl Scene {
    /// With the environment of a server that has everything.
    pub fn start() -> Scene {
        Scene::start_with(|options| options)
    }

    /// With what `change` makes of that environment and of the settings.
    pub fn start_with(change: impl FnOnce(Options) -> Options) -> Scene {
        let (s3, provider) = (S3::start(), Provider::start());
        let options = s3
            .environment(Options::default())
            .env("OPENAI_API_KEY", API_KEY)
            .env("OPENAI_BASE_URL", provider.base_url());
        let cluster = Cluster::start(change(options));
        cluster.execute("CREATE EXTENSION ai CASCADE");
        Scene { cluster, s3, provider }
    }

    /// The table of the README.
    pub fn create_document_table(&self) {
        self.cluster
            .execute("CREATE TABLE document (uri text PRIMARY KEY, updated_at timestamptz DEFAULT current_timestamp)");
    }

    /// The vectorizer of the README, to the letter.
    pub fn create_document_vectorizer(&self) {
        self.cluster.execute(
            "SELECT ai.create_vectorizer(
                 'document'::regclass,
                 loading => ai.loading_uri(column_name => 'uri'),
                 embedding => ai.embedding_openai('text-embedding-3-small', 768),
                 destination => ai.destination_table('document_embeddings')
             )",
        );
    }

    /// Table and vectorizer of the README over these addresses.
    pub fn create_documents(&self, uris: &[&str]) {
        self.create_document_table();
        self.insert_documents(uris);
        self.create_document_vectorizer();
    }

    /// Rows of the table of the README.
    pub fn insert_documents(&self, uris: &[&str]) {
        for uri in uris {
            self.cluster.execute(&format!(
                "INSERT INTO document (uri) VALUES ('{}')",
                uri.replace('\'', "''")
            ));
        }
    }

    /// The chunks of a document, in order, as the view shows them.
    pub fn chunks(&self, uri: &str) -> Vec<String> {
        let uri = uri.replace('\'', "''");
        self.cluster.column(&format!(
            "SELECT chunk FROM document_embeddings WHERE uri = '{uri}' ORDER BY chunk_seq"
        ))
    }
}

/// A row of `ai.vectorizer_errors`.
#[derive(Debug, PartialEq)]
pub struct ErrorRow {
    /// The address of the document; `None` for what concerns the whole vectorizer.
    pub uri: Option<String>,
    /// Where it happened.
    pub step: String,
    /// What follows from it.
    pub class: String,
    /// What happened.
    pub reason: String,
    /// What to do.
    pub hint: String,
}

impl Scene {
    /// The error rows, those of the vectorizer first, then by document.
    pub fn errors(&self) -> Vec<ErrorRow> {
        let rows = self.cluster.try_rows(
            "SELECT primary_key ->> 'uri', step, failure_class, details ->> 'error_reason', coalesce(details ->> 'hint', '')
             FROM ai.vectorizer_errors ORDER BY primary_key NULLS FIRST, step",
        );
        let rows = rows.expect("the view can be read").into_iter().map(|mut row| {
            let mut text = |column: usize| row[column].take();
            ErrorRow {
                uri: text(0),
                step: text(1).unwrap_or_default(),
                class: text(2).unwrap_or_default(),
                reason: text(3).unwrap_or_default(),
                hint: text(4).unwrap_or_default(),
            }
        });
        rows.collect()
    }

    /// The documents that wait or are worked on.
    pub fn queued(&self) -> Vec<String> {
        self.cluster.column("SELECT uri FROM ai._vectorizer_q_1 ORDER BY uri")
    }

    /// The documents that were given up.
    pub fn failed(&self) -> Vec<String> {
        self.cluster
            .column("SELECT uri FROM ai._vectorizer_q_failed_1 ORDER BY uri")
    }

    /// Checks that nothing is asked of anybody while workers come and go: two of them at least, which look at the queue
    /// as their slow poll has them do. Needs a short `ai.naptime` and a short `ai.idle_timeout`.
    pub fn assert_quiet(&self) {
        let asked = || (self.s3.requests().len(), self.provider.counts().requests);
        let before = asked();
        let mut workers = HashSet::new();
        let sql = "SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'ai worker'";
        let look = || {
            workers.extend(self.cluster.column(sql));
            workers.len()
        };
        // The first may have been there before.
        wait_until("two workers have come and one has gone", DEADLINE, look, |workers| {
            *workers >= 3
        });
        assert_eq!(asked(), before, "requests to S3 and to the provider");
    }
}
