//! What a vectorizer was told to do: one type for the SQL builders that make it and the worker that reads it.
//!
//! The JSON is pgai's: each section carries `config_type` and `implementation`. [`section`] writes it;
//! reading is serde's, which ignores keys it does not know, behind the checks of [`document`].

mod api;
pub mod document;
mod embedding;
mod litellm;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use api::Api;
pub use api::InvalidConfig;
pub use embedding::Embedding;
pub(crate) use embedding::Resolved;

/// Where the text or the bytes of a row come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "implementation", rename_all = "snake_case")]
pub enum Loading {
    /// The column itself holds the text or the bytes.
    Column {
        /// Name of the column when the vectorizer was made.
        column_name: String,
        /// Tries after the first, for transient failures.
        retries: u32,
    },
    /// The column holds a URI of the document.
    Uri {
        /// Name of the column when the vectorizer was made.
        column_name: String,
        /// Tries after the first, for transient failures.
        retries: u32,
        /// IAM role assumed for `s3://` documents.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        aws_role_arn: Option<String>,
        /// The foreign server that documents come from; the default ones without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<String>,
    },
}

impl Loading {
    /// The source column that is read.
    pub fn column_name(&self) -> &str {
        match self {
            Loading::Column { column_name, .. } | Loading::Uri { column_name, .. } => column_name,
        }
    }

    /// How often a transient failure is tried again.
    pub fn retries(&self) -> u32 {
        match self {
            Loading::Column { retries, .. } | Loading::Uri { retries, .. } => *retries,
        }
    }
}

/// How bytes become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "implementation", rename_all = "snake_case")]
pub enum Parsing {
    /// By the type of the document.
    Auto,
    /// Not at all: the bytes are text already.
    None,
    /// pgai's name for a structure-keeping parser; here the same as `auto`.
    Pymupdf,
    /// pgai's name for a structure-keeping parser; here the same as `auto`.
    Docling,
}

/// The unit in which `chunking_text_splitter` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Unicode code points.
    Chars,
    /// Tokens of OpenAI's cl100k vocabulary.
    Tokens,
}

/// The structure that `chunking_text_splitter` respects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextFormat {
    /// Plain text: sentences, words, graphemes.
    Text,
    /// Markdown: headings, blocks, then as for text.
    Markdown,
}

/// How text is cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "implementation", rename_all = "snake_case")]
pub enum Chunking {
    /// LangChain's `CharacterTextSplitter`.
    CharacterTextSplitter {
        /// Greatest length of a chunk, in code points.
        chunk_size: i32,
        /// Code points that neighbours share.
        chunk_overlap: i32,
        /// Where to cut.
        separator: String,
        /// `separator` is a regular expression.
        is_separator_regex: bool,
    },
    /// LangChain's `RecursiveCharacterTextSplitter`.
    RecursiveCharacterTextSplitter {
        /// Greatest length of a chunk, in code points.
        chunk_size: i32,
        /// Code points that neighbours share.
        chunk_overlap: i32,
        /// Where to cut, in order of preference.
        separators: Vec<String>,
        /// `separators` are regular expressions.
        is_separator_regex: bool,
    },
    /// The crate text-splitter: semantic boundaries, sizes in characters or tokens.
    TextSplitter {
        /// Greatest length of a chunk, in `unit`s.
        capacity: i32,
        /// What neighbours share at most, in `unit`s.
        overlap: i32,
        /// What is counted.
        unit: Unit,
        /// What is respected.
        format: TextFormat,
    },
    /// One chunk, the whole text.
    None,
}

/// What is embedded for a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "implementation", rename_all = "snake_case")]
pub enum Formatting {
    /// A Python `string.Template` over `$chunk` and the columns of the row.
    PythonTemplate {
        /// The template.
        template: String,
    },
}

/// When the queue is worked on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "implementation", rename_all = "snake_case")]
pub enum Scheduling {
    /// Only when asked for.
    None,
    /// By the background worker, at once.
    Default,
    /// By the background worker, at intervals. The name is pgai's, whose jobs were TimescaleDB's.
    Timescaledb {
        /// Between two runs, as Postgres writes an interval.
        schedule_interval: String,
        /// The first run; without it, at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        initial_start: Option<String>,
        /// Runs keep to multiples of the interval, rather than follow the end of the one before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fixed_schedule: Option<bool>,
        /// Where days and months begin and end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timezone: Option<String>,
    },
}

/// Which vector index is built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "implementation", rename_all = "snake_case")]
pub enum Indexing {
    /// None.
    None,
    /// What `ai.indexing_default` says; resolved when the vectorizer is made.
    Default,
    /// pgvector's HNSW.
    Hnsw {
        /// Rows of the destination from which on there is an index; without it, from none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min_rows: Option<i64>,
        /// Operator class; without it, that of the cosine distance.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opclass: Option<String>,
        /// Connections per layer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        m: Option<i32>,
        /// Candidates that are looked at for each row.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ef_construction: Option<i32>,
        /// Only once the queue is empty, which is also what its absence means.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        create_when_queue_empty: Option<bool>,
    },
    /// pgvectorscale's StreamingDiskANN. What is not given here is left to its defaults.
    Diskann {
        /// Rows of the destination from which on there is an index; without it, from none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min_rows: Option<i64>,
        /// `memory_optimized` or `plain`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        storage_layout: Option<String>,
        /// Neighbours of a node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        num_neighbors: Option<i32>,
        /// Candidates of the greedy search while it is built.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        search_list_size: Option<i32>,
        /// Alpha of the algorithm.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_alpha: Option<f64>,
        /// Dimensions that are indexed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        num_dimensions: Option<i32>,
        /// Bits that each dimension is compressed to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        num_bits_per_dimension: Option<i32>,
        /// Only once the queue is empty, which is also what its absence means.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        create_when_queue_empty: Option<bool>,
    },
}

/// How much is worked on at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "implementation", rename_all = "snake_case")]
pub enum Processing {
    /// Bounds on rows per claim and claims in flight.
    Default {
        /// Rows claimed at a time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batch_size: Option<i32>,
        /// Batches in flight.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        concurrency: Option<i32>,
    },
}

/// Where the vectors go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "implementation", rename_all = "snake_case")]
pub enum Destination {
    /// A table of chunks and a view that joins it with the source.
    Table {
        /// Schema of the table.
        target_schema: String,
        /// The table.
        target_table: String,
        /// Schema of the view.
        view_schema: String,
        /// The view.
        view_name: String,
    },
    /// A column of the source, one vector per row.
    Column {
        /// Name of the column.
        embedding_column: String,
    },
}

/// The whole of `ai.vectorizer.config`, as the worker reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Version of the library that made it.
    pub version: String,
    /// Source of the text.
    pub loading: Loading,
    /// Bytes to text.
    pub parsing: Parsing,
    /// Text to vectors.
    pub embedding: Embedding,
    /// Text to chunks.
    pub chunking: Chunking,
    /// Index on the vectors.
    pub indexing: Indexing,
    /// Chunks to embedded text.
    pub formatting: Formatting,
    /// When.
    pub scheduling: Scheduling,
    /// How much at a time.
    pub processing: Processing,
    /// Where to.
    pub destination: Destination,
}

/// One section as pgai's JSON: the value's own keys and `config_type`.
///
/// ```
/// use ai_pipeline::config::{section, Parsing};
/// use serde_json::json;
/// assert_eq!(
///     section("parsing", &Parsing::Auto),
///     json!({ "config_type": "parsing", "implementation": "auto" })
/// );
/// ```
pub fn section<T: Serialize>(config_type: &str, value: &T) -> Value {
    let mut json = serde_json::to_value(value).expect("configuration types hold only strings, numbers and flags");
    if let Value::Object(keys) = &mut json {
        keys.insert("config_type".to_owned(), Value::from(config_type));
    }
    json
}
