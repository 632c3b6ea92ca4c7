//! The border of the configuration: how a document of JSON is read as the type of its section, and
//! in which words one is refused. Behind it there are types, and no document is asked for its
//! `implementation` again.
//!
//! The words are pgai's where pgai has such a check, and stand in the order of pgai's checks:
//! programs that were written for pgai look for them.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Chunking, Embedding, Formatting, Indexing, Loading, Parsing, Processing, Scheduling};
use crate::error::Cause;
use crate::server::is_role;
use crate::vector_type::VectorType;

/// Why a document is not a section of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Unfit {
    /// What is wrong, with the value.
    pub text: String,
    /// pgai refuses it in these words, too.
    pub is_pgais: bool,
    /// What the reader of JSON said.
    #[source]
    cause: Option<Cause>,
}

/// A section of the configuration, which is read from a document.
pub trait Section: DeserializeOwned {
    /// Its `config_type`.
    const KIND: &'static str;
    /// What the document must say, in the order in which it is checked.
    const RULES: &'static [Rule];
    /// What stands before the reason where the rules let a document pass that is not of the type.
    const UNREADABLE: &'static str = "the configuration cannot be read";
}

/// What a document says under a key, and the words for one that does not.
pub struct Rule {
    /// The implementations that it is about; empty for all.
    of: &'static [&'static str],
    key: &'static str,
    must: Must,
    /// `{}` stands for the value.
    text: &'static str,
    is_pgais: bool,
}

/// What a value must be. `Given…` lets the key be absent.
enum Must {
    BeAbsent,
    BeText,
    /// One of these texts.
    BeOneOf(&'static [&'static str]),
    /// No negative integer.
    BeCount,
    GivenOneOf(&'static [&'static str]),
    GivenInteger,
    /// An integer of this range: least and greatest.
    GivenWithin(i64, i64),
    GivenNumber,
    GivenFlag,
    /// The ARN of an IAM role, where it is a text.
    GivenRole,
}

impl Must {
    fn is_met(&self, value: Option<&Value>) -> bool {
        let text = value.and_then(Value::as_str);
        let integer = value.and_then(Value::as_i64);
        match self {
            Must::BeAbsent => value.is_none(),
            Must::BeText => text.is_some(),
            Must::BeOneOf(known) => text.is_some_and(|text| known.contains(&text)),
            Must::BeCount => integer.is_some_and(|integer| integer >= 0),
            Must::GivenOneOf(known) => value.is_none() || text.is_some_and(|text| known.contains(&text)),
            Must::GivenInteger => value.is_none() || integer.is_some(),
            Must::GivenWithin(least, most) => {
                value.is_none() || integer.is_some_and(|integer| (*least..=*most).contains(&integer))
            }
            Must::GivenNumber => value.is_none_or(Value::is_number),
            Must::GivenFlag => value.is_none_or(Value::is_boolean),
            Must::GivenRole => text.is_none_or(is_role),
        }
    }
}

impl Rule {
    fn refuses(&self, document: &Value) -> Option<Unfit> {
        let implementation = document.get("implementation").and_then(Value::as_str);
        let value = document.get(self.key);
        let is_of_it = self.of.is_empty() || implementation.is_some_and(|known| self.of.contains(&known));
        if !is_of_it || self.must.is_met(value) {
            return None;
        }
        let shown = value.map_or_else(String::new, |value| {
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        });
        Some(Unfit {
            text: self.text.replace("{}", &shown),
            is_pgais: self.is_pgais,
            cause: None,
        })
    }
}

/// The document of a section, of which only the kind is known so far.
///
/// # Errors
/// There is none, it is no object, or it is one of another section.
pub fn of_kind<T: Section>(document: Option<&Value>) -> Result<&Value, Unfit> {
    let kind = T::KIND;
    let refuse = |text: String| {
        let (is_pgais, cause) = (true, None);
        Err(Unfit { text, is_pgais, cause })
    };
    match document {
        Some(document) if !document.is_object() => refuse(format!("{kind} config is not a jsonb object")),
        Some(document) if document["config_type"] == kind => Ok(document),
        _ => refuse(format!("invalid config_type for {kind} config")),
    }
}

/// Reads a section.
///
/// # Errors
/// What the document lacks, in pgai's words where pgai would find it, too.
pub fn read<T: Section>(document: Option<&Value>) -> Result<T, Unfit> {
    let document = of_kind::<T>(document)?;
    let section = T::deserialize(document);
    if let Some(unfit) = T::RULES.iter().find_map(|rule| rule.refuses(document)) {
        return Err(unfit);
    }
    section.map_err(|error| Unfit {
        text: format!("{}: {error}", T::UNREADABLE),
        is_pgais: false,
        cause: Some(Cause::new(error)),
    })
}

/// Where the vectors are to go, as far as it was said; names that were not are derived from those
/// that are there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "implementation", rename_all = "snake_case")]
pub enum DestinationChoice {
    /// A table of chunks and a view that joins it with the source.
    Table {
        /// Stem of the names that are not given.
        destination: Option<String>,
        /// Schema of the table.
        target_schema: Option<String>,
        /// The table.
        target_table: Option<String>,
        /// Schema of the view.
        view_schema: Option<String>,
        /// The view.
        view_name: Option<String>,
    },
    /// A column of the source, one vector per row.
    Column {
        /// Name of the column.
        embedding_column: String,
    },
}

const fn pgai(key: &'static str, must: Must, text: &'static str) -> Rule {
    let of = &[];
    Rule {
        of,
        key,
        must,
        text,
        is_pgais: true,
    }
}

const fn ours(key: &'static str, must: Must, text: &'static str) -> Rule {
    let of = &[];
    Rule {
        of,
        key,
        must,
        text,
        is_pgais: false,
    }
}

impl Rule {
    const fn of(mut self, implementations: &'static [&'static str]) -> Rule {
        self.of = implementations;
        self
    }
}

const IMPLEMENTATION: &str = "implementation";

impl Section for Loading {
    const KIND: &'static str = "loading";
    const RULES: &'static [Rule] = &[
        pgai(
            IMPLEMENTATION,
            Must::BeOneOf(&["column", "uri"]),
            "invalid loading config implementation",
        ),
        pgai(
            "column_name",
            Must::BeText,
            "invalid loading config, missing column_name",
        ),
        pgai(
            "retries",
            Must::BeCount,
            "invalid loading config, retries must be a non-negative integer",
        ),
        pgai(
            "aws_role_arn",
            Must::GivenRole,
            "invalid loading config, aws_role_arn must match arn:aws:iam::*:role/*",
        ),
        ours(
            "server",
            Must::BeAbsent,
            "invalid loading config, a column is read from no server: server is for loading_uri",
        )
        .of(&["column"]),
    ];
}

impl Section for Parsing {
    const KIND: &'static str = "parsing";
    const RULES: &'static [Rule] = &[pgai(
        IMPLEMENTATION,
        Must::BeOneOf(&["auto", "none", "pymupdf", "docling"]),
        "invalid parsing config implementation",
    )];
}

impl Section for DestinationChoice {
    const KIND: &'static str = "destination";
    const RULES: &'static [Rule] = &[
        pgai(
            IMPLEMENTATION,
            Must::BeOneOf(&["table", "column"]),
            "invalid implementation for destination config",
        ),
        ours(
            "embedding_column",
            Must::BeText,
            "invalid destination config, missing embedding_column",
        )
        .of(&["column"]),
    ];
}

impl Section for Embedding {
    const KIND: &'static str = "embedding";
    const RULES: &'static [Rule] = &[
        pgai(IMPLEMENTATION, Must::BeText, "embedding implementation not specified"),
        pgai(
            IMPLEMENTATION,
            Must::BeOneOf(&["openai", "ollama", "voyageai", "litellm"]),
            "invalid embedding implementation: \"{}\"",
        ),
    ];
}

impl Section for Chunking {
    const KIND: &'static str = "chunking";
    const RULES: &'static [Rule] = &[pgai(
        IMPLEMENTATION,
        Must::BeOneOf(&[
            "character_text_splitter",
            "recursive_character_text_splitter",
            "text_splitter",
            "none",
        ]),
        "invalid chunking config implementation",
    )];
    const UNREADABLE: &'static str = "invalid chunking config";
}

impl Section for Indexing {
    const KIND: &'static str = "indexing";
    const RULES: &'static [Rule] = &[
        pgai(IMPLEMENTATION, Must::BeText, "indexing implementation not specified"),
        pgai(
            IMPLEMENTATION,
            Must::BeOneOf(&["none", "default", "hnsw", "diskann"]),
            "invalid indexing implementation: \"{}\"",
        ),
        pgai(
            "opclass",
            Must::GivenOneOf(VectorType::Vector.operator_classes()),
            "invalid opclass",
        )
        .of(&["hnsw"]),
        ours("m", Must::GivenInteger, "m must be a number").of(&["hnsw"]),
        ours("m", Must::GivenWithin(2, 100), "m must be between 2 and 100: {}").of(&["hnsw"]),
        ours(
            "ef_construction",
            Must::GivenInteger,
            "ef_construction must be a number",
        )
        .of(&["hnsw"]),
        ours(
            "ef_construction",
            Must::GivenWithin(4, 1_000),
            "ef_construction must be between 4 and 1000: {}",
        )
        .of(&["hnsw"]),
        pgai(
            "storage_layout",
            Must::GivenOneOf(&["memory_optimized", "plain"]),
            "invalid storage_layout",
        )
        .of(&["diskann"]),
        ours("num_neighbors", Must::GivenInteger, "num_neighbors must be a number").of(&["diskann"]),
        ours(
            "num_neighbors",
            Must::GivenWithin(0, INTEGER),
            "num_neighbors must be between 0 and 2147483647: {}",
        )
        .of(&["diskann"]),
        ours(
            "search_list_size",
            Must::GivenInteger,
            "search_list_size must be a number",
        )
        .of(&["diskann"]),
        ours(
            "search_list_size",
            Must::GivenWithin(0, INTEGER),
            "search_list_size must be between 0 and 2147483647: {}",
        )
        .of(&["diskann"]),
        ours("num_dimensions", Must::GivenInteger, "num_dimensions must be a number").of(&["diskann"]),
        ours(
            "num_dimensions",
            Must::GivenWithin(0, INTEGER),
            "num_dimensions must be between 0 and 2147483647: {}",
        )
        .of(&["diskann"]),
        ours(
            "num_bits_per_dimension",
            Must::GivenInteger,
            "num_bits_per_dimension must be a number",
        )
        .of(&["diskann"]),
        ours(
            "num_bits_per_dimension",
            Must::GivenWithin(0, INTEGER),
            "num_bits_per_dimension must be between 0 and 2147483647: {}",
        )
        .of(&["diskann"]),
        ours("max_alpha", Must::GivenNumber, "max_alpha must be a number").of(&["diskann"]),
        ours("min_rows", Must::GivenInteger, "min_rows must be a number").of(&["hnsw", "diskann"]),
        ours(
            "create_when_queue_empty",
            Must::GivenFlag,
            "create_when_queue_empty must be true or false",
        )
        .of(&["hnsw", "diskann"]),
    ];
}

/// The greatest `integer` of Postgres, which is what pgvectorscale reads its parameters as.
const INTEGER: i64 = i32::MAX as i64;

impl Section for Formatting {
    const KIND: &'static str = "formatting";
    const RULES: &'static [Rule] = &[
        pgai(
            IMPLEMENTATION,
            Must::BeOneOf(&["python_template"]),
            "unrecognized formatting implementation",
        ),
        pgai("template", Must::BeText, "template must contain $chunk placeholder"),
    ];
}

impl Section for Scheduling {
    const KIND: &'static str = "scheduling";
    const RULES: &'static [Rule] = &[
        pgai(IMPLEMENTATION, Must::BeText, "scheduling implementation not specified"),
        pgai(
            IMPLEMENTATION,
            Must::BeOneOf(&["none", "default", "timescaledb"]),
            "unrecognized scheduling implementation: \"{}\"",
        ),
        ours(
            "schedule_interval",
            Must::BeText,
            "scheduling config lacks schedule_interval",
        )
        .of(&["timescaledb"]),
    ];
    const UNREADABLE: &'static str = "invalid scheduling config";
}

impl Section for Processing {
    const KIND: &'static str = "processing";
    const RULES: &'static [Rule] = &[
        pgai(IMPLEMENTATION, Must::BeText, "processing implementation not specified"),
        pgai(
            IMPLEMENTATION,
            Must::BeOneOf(&["default"]),
            "unrecognized processing implementation: \"{}\"",
        ),
        pgai("batch_size", Must::GivenInteger, "batch_size must be a number"),
        pgai(
            "batch_size",
            Must::GivenWithin(i64::MIN, 2048),
            "batch_size must be less than or equal to 2048",
        ),
        pgai(
            "batch_size",
            Must::GivenWithin(1, i64::MAX),
            "batch_size must be greater than 0",
        ),
        pgai("concurrency", Must::GivenInteger, "concurrency must be a number"),
        pgai(
            "concurrency",
            Must::GivenWithin(i64::MIN, 50),
            "concurrency must be less than or equal to 50",
        ),
        pgai(
            "concurrency",
            Must::GivenWithin(1, i64::MAX),
            "concurrency must be greater than 0",
        ),
    ];
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Why a document is refused: the text, and whether it is pgai's.
    fn refused<T: Section>(mut document: Value) -> (String, bool) {
        if let Some(keys) = document.as_object_mut() {
            keys.entry("config_type").or_insert(T::KIND.into());
        }
        let Err(unfit) = read::<T>(Some(&document)) else {
            panic!("{document} is read");
        };
        (unfit.text, unfit.is_pgais)
    }

    fn pgais<T: Section>(document: Value, text: &str) {
        assert_eq!(refused::<T>(document), (text.to_owned(), true));
    }

    fn own<T: Section>(document: Value, text: &str) {
        assert_eq!(refused::<T>(document), (text.to_owned(), false));
    }

    #[test]
    fn a_document_of_another_section_is_refused_before_it_is_read() {
        pgais::<Parsing>(json!(1), "parsing config is not a jsonb object");
        pgais::<Parsing>(
            json!({"config_type": "loading"}),
            "invalid config_type for parsing config",
        );
        let absent = read::<Parsing>(None).unwrap_err();
        assert_eq!(absent.text, "invalid config_type for parsing config");
    }

    #[test]
    fn the_first_fault_in_pgais_order_is_told() {
        pgais::<Loading>(json!({"implementation": "?"}), "invalid loading config implementation");
        pgais::<Loading>(
            json!({"implementation": "uri"}),
            "invalid loading config, missing column_name",
        );
        let retries = "invalid loading config, retries must be a non-negative integer";
        for wrong in [json!(-1), json!("6"), json!(1.5), Value::Null] {
            pgais::<Loading>(
                json!({"implementation": "uri", "column_name": "c", "retries": wrong}),
                retries,
            );
        }
        pgais::<Loading>(
            json!({"implementation": "uri", "column_name": "c", "retries": 1, "aws_role_arn": "admin"}),
            "invalid loading config, aws_role_arn must match arn:aws:iam::*:role/*",
        );
        let server = "invalid loading config, a column is read from no server: server is for loading_uri";
        own::<Loading>(
            json!({"implementation": "column", "column_name": "c", "retries": 1, "server": "s"}),
            server,
        );
        pgais::<Embedding>(json!({}), "embedding implementation not specified");
        pgais::<Embedding>(
            json!({"implementation": "x"}),
            "invalid embedding implementation: \"x\"",
        );
        pgais::<Processing>(
            json!({"implementation": "default", "batch_size": null}),
            "batch_size must be a number",
        );
        let most = "batch_size must be less than or equal to 2048";
        pgais::<Processing>(
            json!({"implementation": "default", "batch_size": 5_000_000_000_i64}),
            most,
        );
        let least = "concurrency must be greater than 0";
        pgais::<Processing>(json!({"implementation": "default", "concurrency": 0}), least);
        pgais::<Scheduling>(
            json!({"implementation": "cron"}),
            "unrecognized scheduling implementation: \"cron\"",
        );
        own::<Scheduling>(
            json!({"implementation": "timescaledb"}),
            "scheduling config lacks schedule_interval",
        );
        pgais::<Formatting>(
            json!({"implementation": "python_template"}),
            "template must contain $chunk placeholder",
        );
        pgais::<DestinationChoice>(
            json!({"implementation": "x"}),
            "invalid implementation for destination config",
        );
        let column = "invalid destination config, missing embedding_column";
        own::<DestinationChoice>(json!({"implementation": "column"}), column);
    }

    #[test]
    fn the_rules_of_one_implementation_are_not_those_of_another() {
        pgais::<Indexing>(json!({"implementation": "hnsw", "opclass": "o"}), "invalid opclass");
        own::<Indexing>(
            json!({"implementation": "hnsw", "m": 1}),
            "m must be between 2 and 100: 1",
        );
        own::<Indexing>(json!({"implementation": "hnsw", "m": "1"}), "m must be a number");
        pgais::<Indexing>(
            json!({"implementation": "diskann", "storage_layout": null}),
            "invalid storage_layout",
        );
        let alpha = "max_alpha must be a number";
        own::<Indexing>(json!({"implementation": "diskann", "max_alpha": "1"}), alpha);
        let flag = "create_when_queue_empty must be true or false";
        own::<Indexing>(json!({"implementation": "hnsw", "create_when_queue_empty": 1}), flag);
        let other = json!({"config_type": "indexing", "implementation": "none", "m": 1, "min_rows": "x"});
        assert_eq!(read::<Indexing>(Some(&other)), Ok(Indexing::None));
    }

    #[test]
    fn what_the_rules_let_pass_is_read_or_refused_with_the_reason() {
        let unreadable = json!({"config_type": "chunking", "implementation": "text_splitter", "capacity": "x"});
        let unfit = read::<Chunking>(Some(&unreadable)).unwrap_err();
        let cause = std::error::Error::source(&unfit).and_then(std::error::Error::source);
        assert!(cause.is_some_and(|cause| cause.is::<serde_json::Error>()));
        let (text, is_pgais) = refused::<Chunking>(json!({"implementation": "text_splitter", "capacity": "x"}));
        assert!(text.starts_with("invalid chunking config: ") && !is_pgais, "{text}");
        let (text, _) = refused::<Embedding>(json!({"implementation": "openai", "dimensions": 1}));
        assert!(
            text.starts_with("the configuration cannot be read: missing field"),
            "{text}"
        );
        let many = json!({"implementation": "column", "column_name": "c", "retries": 5_000_000_000_i64});
        assert!(
            refused::<Loading>(many)
                .0
                .starts_with("the configuration cannot be read: ")
        );
        let more = json!({"config_type": "parsing", "implementation": "auto", "job_id": 1});
        assert_eq!(read::<Parsing>(Some(&more)), Ok(Parsing::Auto));
    }
}
