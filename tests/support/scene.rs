//! What most tests start with: a cluster that finds an S3 and an embedding provider in its environment.

use provider::Provider;

use super::{Cluster, Options, S3};

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
