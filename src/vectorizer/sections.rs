//! The sections of a configuration together: checked in pgai's order, and put together for the
//! catalogue.

use ai_pipeline::config::document::{DestinationChoice, Unfit};
use ai_pipeline::config::{
    Chunking, Destination, Embedding, Formatting, Indexing, Loading, Parsing, Processing, Scheduling, section,
};
use serde_json::{Value, json};

use super::given::Given;
use super::source::{SourceColumn, SourceTable};
use super::{indexing, validate};

/// The sections of a configuration as they were given.
pub struct Documents {
    pub destination: Option<Value>,
    pub loading: Option<Value>,
    pub parsing: Option<Value>,
    pub embedding: Option<Value>,
    pub chunking: Option<Value>,
    pub indexing: Option<Value>,
    pub formatting: Option<Value>,
    pub scheduling: Option<Value>,
    pub processing: Option<Value>,
}

/// The sections of a configuration, checked.
pub struct Sections {
    pub loading: Given<Loading>,
    parsing: Given<Parsing>,
    pub embedding: Given<Embedding>,
    chunking: Given<Chunking>,
    indexing: Given<Indexing>,
    formatting: Given<Formatting>,
    pub scheduling: Given<Scheduling>,
    processing: Given<Processing>,
    /// pgai refuses what is no destination only when all else is right.
    pub destination: Result<DestinationChoice, Unfit>,
}

impl Sections {
    /// In pgai's order.
    pub fn check(documents: Documents, columns: &[SourceColumn], dimensions: i64) -> Sections {
        let loading = validate::loading(documents.loading, columns);
        let parsing = validate::parsing(documents.parsing, &loading.value, columns);
        let destination = validate::destination(documents.destination.as_ref(), documents.chunking.as_ref());
        let embedding = Given::read(documents.embedding);
        validate::check_embedding(&embedding.value);
        let chunking = validate::chunking(documents.chunking);
        let indexing = indexing::validate(documents.indexing, dimensions);
        let formatting = validate::formatting(documents.formatting, columns);
        let scheduling = validate::scheduling(documents.scheduling);
        let processing = Given::read(documents.processing);
        Sections {
            loading,
            parsing,
            embedding,
            chunking,
            indexing,
            formatting,
            scheduling,
            processing,
            destination,
        }
    }

    /// What one section does not permit in another.
    pub fn must_go_together(&self, source: &SourceTable) {
        indexing::needs_scheduling(Some(&self.indexing.value), Some(&self.scheduling.value));
        if source.partitioned && matches!(self.destination, Ok(DestinationChoice::Column { .. })) {
            indexing::refuse_partitioned(Some(&self.indexing.value), &source.name);
        }
    }

    /// The whole, as the catalogue keeps it.
    pub fn configuration(&self, destination: &Destination) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "loading": self.loading.document,
            "parsing": self.parsing.document,
            "embedding": self.embedding.document,
            "chunking": self.chunking.document,
            "indexing": self.indexing.document,
            "formatting": self.formatting.document,
            "scheduling": self.scheduling.document,
            "processing": self.processing.document,
            "destination": section("destination", destination),
        })
    }
}
