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
        let Wanted {
            method,
            operator_class,
            options,
            min_rows,
            when_empty,
        } = Wanted::of(&config.indexing, vector_schema)?;
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
            ("opclass", &operator_class),
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

/// What a configuration says about an index, as SQL has it.
struct Wanted {
    method: &'static str,
    operator_class: String,
    options: String,
    min_rows: Option<i64>,
    when_empty: Option<bool>,
}

impl Wanted {
    fn of(indexing: &Indexing, vector_schema: &str) -> Option<Wanted> {
        let number = |value: &Option<i32>| value.map(|value| value.to_string());
        Some(match indexing {
            Indexing::None | Indexing::Default => return None,
            Indexing::Hnsw {
                min_rows,
                opclass,
                m,
                ef_construction,
                create_when_queue_empty,
            } => {
                let chosen = opclass.as_deref();
                let chosen = identifier(chosen.unwrap_or(VectorType::Vector.default_operator_class()));
                Wanted {
                    method: "hnsw",
                    operator_class: format!(" {vector_schema}.{chosen}"),
                    options: with(&[("m", number(m)), ("ef_construction", number(ef_construction))]),
                    min_rows: *min_rows,
                    when_empty: *create_when_queue_empty,
                }
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
            } => Wanted {
                method: "diskann",
                operator_class: String::new(),
                options: with(&[
                    ("storage_layout", storage_layout.clone()),
                    ("num_neighbors", number(num_neighbors)),
                    ("search_list_size", number(search_list_size)),
                    ("max_alpha", max_alpha.map(|alpha| alpha.to_string())),
                    ("num_dimensions", number(num_dimensions)),
                    ("num_bits_per_dimension", number(num_bits_per_dimension)),
                ]),
                min_rows: *min_rows,
                when_empty: *create_when_queue_empty,
            },
        })
    }
}

/// The storage parameters of an index, those that were given.
fn with(options: &[(&str, Option<String>)]) -> String {
    let given = options
        .iter()
        .filter_map(|(key, value)| Some(format!("{key} = {}", statement::literal(value.as_ref()?))));
    let given: Vec<String> = given.collect();
    if given.is_empty() {
        String::new()
    } else {
        format!(" WITH ({})", given.join(", "))
    }
}

/// The name of the index of a vectorizer, in the schema of its table.
pub fn name(id: i32) -> String {
    format!("_vectorizer_idx_{id}")
}
