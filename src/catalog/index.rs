//! The vector index that a vectorizer was told to build, and the statements that build it.

use ai_pipeline::config::{Config, Destination, Indexing};
use ai_pipeline::vector_type::VectorType;
use pgrx::pg_sys::Oid;

use crate::postgres::statement::{self, fill, identifier};

/// The index that a vectorizer was told to build.
#[derive(Debug, PartialEq, Eq)]
pub struct VectorIndex {
    pub destination: Oid,
    pub column: String,
    pub method: &'static str,
    /// By its name we know our own: nobody else's is ever dropped.
    pub name: String,
    pub min_rows: i64,
    pub when_queue_is_empty: bool,
    pub queue_is_empty: String,
    pub count_vectors: String,
    /// Both are to be run at top level, as the owner.
    pub create: String,
    pub drop: String,
}

/// The table with the vectors; names are quoted.
pub struct DestinationNames<'a> {
    pub oid: Oid,
    /// With its schema.
    pub name: &'a str,
    pub schema: &'a str,
}

impl VectorIndex {
    /// `None` when no index is wanted. `queue` and `intake` are quoted and with their schemas.
    pub fn new(
        id: i32,
        config: &Config,
        destination: &DestinationNames,
        (queue, intake): (&str, &str),
        vector_schema: &str,
    ) -> Option<VectorIndex> {
        let (method, opclass, min_rows, when_empty, options) = match &config.indexing {
            Indexing::None | Indexing::Default => return None,
            Indexing::Hnsw {
                min_rows,
                opclass,
                m,
                ef_construction,
                create_when_queue_empty,
            } => {
                let opclass = identifier(
                    opclass
                        .as_deref()
                        .unwrap_or(VectorType::Vector.default_operator_class()),
                );
                let options = [
                    ("m", m.map(|m| m.to_string())),
                    ("ef_construction", ef_construction.map(|ef| ef.to_string())),
                ];
                let opclass = format!(" {vector_schema}.{opclass}");
                ("hnsw", opclass, min_rows, create_when_queue_empty, options.to_vec())
            }
            Indexing::Diskann {
                min_rows,
                storage_layout,
                num_neighbors,
                search_list_size,
                max_alpha,
                num_dimensions,
                num_bits_per_dimension,
                create_when_queue_empty,
            } => {
                let number = |value: &Option<i32>| value.map(|value| value.to_string());
                let options = [
                    ("storage_layout", storage_layout.clone()),
                    ("num_neighbors", number(num_neighbors)),
                    ("search_list_size", number(search_list_size)),
                    ("max_alpha", max_alpha.map(|alpha| alpha.to_string())),
                    ("num_dimensions", number(num_dimensions)),
                    ("num_bits_per_dimension", number(num_bits_per_dimension)),
                ];
                let options = options.to_vec();
                ("diskann", String::new(), min_rows, create_when_queue_empty, options)
            }
        };
        let options: Vec<String> = options
            .into_iter()
            .filter_map(|(key, value)| Some(format!("{key} = {}", statement::literal(&value?))))
            .collect();
        let options = if options.is_empty() {
            String::new()
        } else {
            format!(" WITH ({})", options.join(", "))
        };
        let column = match &config.destination {
            Destination::Table { .. } => "embedding",
            Destination::Column { embedding_column } => embedding_column,
        };
        let name = name(id);
        let values = [
            ("destination", destination.name),
            ("schema", destination.schema),
            ("queue", queue),
            ("intake", intake),
            ("index", &name),
            ("method", method),
            ("column", &identifier(column)),
            ("opclass", &opclass),
            ("options", &options),
        ];
        Some(VectorIndex {
            destination: destination.oid,
            method,
            min_rows: min_rows.unwrap_or(0),
            when_queue_is_empty: when_empty.unwrap_or(true),
            queue_is_empty: fill(include_str!("../../sql/query/queue/queue_is_empty.sql"), &values),
            count_vectors: fill(include_str!("../../sql/query/destination/count_vectors.sql"), &values),
            create: fill(include_str!("../../sql/query/index/create_index.sql"), &values),
            drop: fill(include_str!("../../sql/query/index/drop_index.sql"), &values),
            column: column.to_owned(),
            name,
        })
    }
}

/// The name of the index of a vectorizer, in the schema of its table.
pub fn name(id: i32) -> String {
    format!("_vectorizer_idx_{id}")
}
