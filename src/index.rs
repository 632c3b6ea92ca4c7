//! The vector index of a destination: whether it is due, and the statements that build it.

use std::time::Duration;

use ai_pipeline::config::{Config, Destination, Indexing};
use ai_pipeline::error::{Class, Failure, Step};
use pgrx::pg_sys::Oid;

use crate::catalog::{self, Vectorizer};
use crate::statement::{self, fill, identifier};

/// The index that a vectorizer was told to build.
#[derive(Debug)]
pub struct VectorIndex {
    destination: Oid,
    column: String,
    method: &'static str,
    /// By its name we know our own: nobody else's is ever dropped.
    name: String,
    min_rows: i64,
    when_queue_is_empty: bool,
    queue_is_empty: String,
    count_vectors: String,
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

/// What there is to do about an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is there.
    Ready,
    /// Somebody is building one.
    UnderWay,
    /// Documents wait, which comes first.
    QueueFirst,
    /// The destination is too small for it.
    TooFew,
    /// A build has failed: not before this has passed.
    After(Duration),
    /// It is to be built. `left_behind`: what is left of an earlier build has to go first.
    Build { left_behind: bool },
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
                let opclass = identifier(opclass.as_deref().unwrap_or("vector_cosine_ops"));
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
            queue_is_empty: fill(include_str!("../sql/query/queue_is_empty.sql"), &values),
            count_vectors: fill(include_str!("../sql/query/count_vectors.sql"), &values),
            create: fill(include_str!("../sql/query/create_index.sql"), &values),
            drop: fill(include_str!("../sql/query/drop_index.sql"), &values),
            column: column.to_owned(),
            name,
        })
    }
}

/// The name of the index of a vectorizer, in the schema of its table.
pub fn name(id: i32) -> String {
    format!("_vectorizer_idx_{id}")
}

/// Looks whether the index of a vectorizer is to be built now: pgai's rule. Nobody of ours may be building one.
pub fn look(vectorizer: &Vectorizer, index: &VectorIndex) -> Verdict {
    note_lost_build(vectorizer);
    let arguments = [
        index.destination.into(),
        index.column.as_str().into(),
        index.method.into(),
        index.name.as_str().into(),
    ];
    let sql = include_str!("../sql/query/vector_index.sql");
    let found = statement::row(sql, &arguments, |row| (row.must(1), row.must(2), row.must(3)));
    let left_behind = match found {
        Some((true, _, _)) => {
            // Whoever built it: what was noted about our failures is of no interest any more.
            if vectorizer.has_notes {
                finish(vectorizer.id);
            }
            return Verdict::Ready;
        }
        Some((_, true, _)) => return Verdict::UnderWay,
        Some((_, _, left_behind)) => left_behind,
        None => false,
    };
    let wait: Option<f64> = statement::row(
        include_str!("../sql/query/index_wait.sql"),
        &[vectorizer.id.into()],
        |row| row.get(1),
    )
    .flatten();
    if let Some(wait) = wait.filter(|seconds| *seconds > 0.0) {
        return Verdict::After(Duration::from_secs_f64(wait.min(3_600.0)));
    }
    vectorizer.act(|| {
        let empty = || statement::row(&index.queue_is_empty, &[], |row| row.must::<bool>(1)) == Some(true);
        if index.when_queue_is_empty && !empty() {
            return Verdict::QueueFirst;
        }
        let count = || statement::row(&index.count_vectors, &[index.min_rows.into()], |row| row.must::<i64>(1));
        if index.min_rows > 0 && count().unwrap_or(0) < index.min_rows {
            return Verdict::TooFew;
        }
        Verdict::Build { left_behind }
    })
}

/// A build whose process was killed has told nobody.
fn note_lost_build(vectorizer: &Vectorizer) {
    let sql = include_str!("../sql/query/lost_index.sql");
    let lost = statement::row(sql, &[vectorizer.id.into()], |_| ()).is_some();
    if lost {
        let failure = Failure {
            step: Step::Indexing,
            class: Class::Transient,
            reason: "the process that built the index was ended before it was done".to_owned(),
            hint: Some("The server log tells how the process ended.".to_owned()),
        };
        catalog::record_error(vectorizer.id, None, None, &failure);
    }
}

/// Counts the attempt, before it is made.
pub fn begin(id: i32) {
    statement::run(include_str!("../sql/query/begin_index.sql"), &[id.into()]);
}

/// The build has failed; why is for the views.
pub fn fail(id: i32, failure: &Failure) {
    statement::run(include_str!("../sql/query/fail_index.sql"), &[id.into()]);
    catalog::record_error(id, None, None, failure);
}

/// The index is there.
pub fn finish(id: i32) {
    statement::run(include_str!("../sql/query/finish_index.sql"), &[id.into()]);
}
