//! The statements of one vectorizer: the files of sql/query with the names of its tables in them.

use ai_pipeline::config::{Config, Destination};
use ai_pipeline::vector_type::VectorType;
use litemap::LiteMap;

use super::size;
use crate::postgres::key::{In, PrimaryKey};
use crate::postgres::statement::{self, fill, identifier};

/// What it writes to, quoted and with their schemas.
#[derive(Debug, PartialEq, Eq)]
pub struct Tables {
    pub queue: String,
    pub failed: String,
    pub intake: String,
    /// The table of chunks, or the source, where a column of it takes the vectors.
    pub destination: String,
}

/// The statements of sql/query for the tables of one vectorizer.
#[derive(Debug, PartialEq, Eq)]
pub struct Statements {
    pub take_in: String,
    pub first_change: String,
    pub forget_changes: String,
    pub lock_intake: String,
    pub intake: String,
    pub empty_intake: String,
    pub claim: String,
    pub taken: String,
    pub taken_blindly: String,
    pub untake: String,
    pub read: String,
    pub next_due: String,
    pub renew: String,
    pub rescue: String,
    pub quarantine: String,
    pub has_suspects: String,
    pub release: String,
    pub free_unlocked: String,
    pub give_up: String,
    pub start_over: String,
    pub finish: String,
    pub lock_source: String,
    pub lock_items: String,
    pub held_items: String,
    pub known_items: String,
    pub forget_failed: String,
    pub count_chunks: String,
    pub documents: String,
    pub strays: String,
    pub enqueue: String,
    pub destination: DestinationStatements,
}

/// The statements that write.
#[derive(Debug, PartialEq, Eq)]
pub enum DestinationStatements {
    /// Chunks in a table of their own.
    Table {
        chunks: String,
        count_stored: String,
        remove_chunks: String,
        remove_all_chunks: String,
        move_chunks: String,
        settle_chunks: String,
        insert_chunks: String,
        checks: Box<Checks>,
    },
    /// A vector in a column of the source.
    Column {
        set_embeddings: String,
        /// It says of each row whether its vector reached it.
        tells: bool,
        origins: String,
    },
}

/// The statements that look what others have written.
#[derive(Debug, PartialEq, Eq)]
pub struct Checks {
    pub written_chunks: String,
    pub left_chunks: String,
    pub unmoved_chunks: String,
    pub left_of_documents: String,
}

/// The columns that a template names as a JSON object of Postgres' own texts: what clients get, of which
/// Python makes its values. Not by casts: that of `character` to text loses blanks, and JSON the order of
/// keys. (A row of NULLs is no NULL.)
fn row(template_columns: &LiteMap<String, String>) -> String {
    let names: Vec<String> = template_columns.keys().map(|name| statement::literal(name)).collect();
    let texts = template_columns.keys().map(|name| {
        let value = format!("s.{}", identifier(name));
        format!("CASE WHEN {value} IS DISTINCT FROM NULL THEN format('%s', {value}) END")
    });
    let texts: Vec<String> = texts.collect();
    format!(
        "jsonb_object(ARRAY[{}]::text[], ARRAY[{}]::text[])",
        names.join(", "),
        texts.join(", ")
    )
}

/// The tables of a vectorizer, quoted and with their schemas.
pub(super) struct TableNames {
    pub(super) source: String,
    pub(super) queue: String,
    pub(super) failed: String,
    pub(super) intake: String,
    pub(super) target: Option<String>,
    pub(super) vector_schema: String,
}

/// A file of sql/query, with these values in it.
macro_rules! of {
    ($values:expr, $name:literal) => {
        fill(include_str!(concat!("../../sql/query/", $name, ".sql")), $values)
    };
}

/// What is filled into a statement, under a name.
type Filled = Vec<(&'static str, String)>;

impl Statements {
    pub(super) fn new(
        names: &TableNames,
        key: &PrimaryKey,
        config: &Config,
        (document, bytes): (&str, bool),
        template_columns: &LiteMap<String, String>,
        (embedding_type, has_rules): (&str, bool),
    ) -> Statements {
        let destination = &config.destination;
        let mut filled = of_tables(names, destination);
        filled.extend(of_key(key));
        filled.extend(of_row(config, (document, bytes), template_columns));
        filled.push(("embedding_type", embedding_type.to_owned()));
        let values: Vec<(&str, &str)> = filled.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Statements {
            take_in: of!(&values, "queue/take_in"),
            first_change: of!(&values, "intake/first_change"),
            forget_changes: of!(&values, "intake/forget_changes"),
            lock_intake: of!(&values, "intake/lock_intake"),
            intake: of!(&values, "intake/intake"),
            empty_intake: of!(&values, "intake/empty_intake"),
            claim: of!(&values, "queue/claim"),
            taken: of!(&values, "queue/taken"),
            taken_blindly: of!(&values, "queue/taken_blindly"),
            untake: of!(&values, "queue/untake"),
            read: of!(&values, "queue/read"),
            next_due: of!(&values, "queue/next_due"),
            renew: of!(&values, "queue/renew"),
            rescue: of!(&values, "queue/rescue"),
            quarantine: of!(&values, "queue/quarantine"),
            has_suspects: of!(&values, "queue/has_suspects"),
            release: of!(&values, "queue/release"),
            free_unlocked: of!(&values, "queue/free_unlocked"),
            give_up: of!(&values, "queue/give_up"),
            start_over: of!(&values, "queue/start_over"),
            finish: of!(&values, "queue/finish"),
            lock_source: match destination {
                Destination::Table { .. } => of!(&values, "source/lock_source"),
                Destination::Column { .. } => of!(&values, "source/lock_source_to_update"),
            },
            lock_items: of!(&values, "queue/lock_items"),
            held_items: of!(&values, "queue/held_items"),
            known_items: of!(&values, "queue/known_items"),
            forget_failed: of!(&values, "failed/forget_failed"),
            count_chunks: match destination {
                Destination::Table { .. } => of!(&values, "destination/count_chunks"),
                Destination::Column { .. } => of!(&values, "destination/count_embeddings"),
            },
            documents: match destination {
                Destination::Table { .. } => of!(&values, "source/documents"),
                Destination::Column { .. } => of!(&values, "source/column_documents"),
            },
            strays: match destination {
                Destination::Table { .. } => of!(&values, "source/strays"),
                Destination::Column { .. } => of!(&values, "source/column_strays"),
            },
            enqueue: of!(&values, "queue/enqueue"),
            destination: DestinationStatements::new(destination, &values, has_rules),
        }
    }
}

impl DestinationStatements {
    fn new(destination: &Destination, values: &[(&str, &str)], has_rules: bool) -> DestinationStatements {
        match destination {
            Destination::Table { .. } => DestinationStatements::Table {
                chunks: of!(values, "destination/chunks"),
                count_stored: of!(values, "destination/count_stored"),
                remove_chunks: of!(values, "destination/remove_chunks"),
                remove_all_chunks: of!(values, "destination/remove_all_chunks"),
                move_chunks: of!(values, "destination/move_chunks"),
                settle_chunks: of!(values, "destination/settle_chunks"),
                insert_chunks: of!(values, "destination/insert_chunks"),
                checks: Box::new(Checks {
                    written_chunks: of!(values, "destination/written_chunks"),
                    left_chunks: of!(values, "destination/left_chunks"),
                    unmoved_chunks: of!(values, "destination/unmoved_chunks"),
                    left_of_documents: of!(values, "destination/left_of_documents"),
                }),
            },
            Destination::Column { .. } if has_rules => DestinationStatements::Column {
                set_embeddings: of!(values, "destination/set_embeddings_by_rule"),
                tells: false,
                origins: of!(values, "destination/origins"),
            },
            Destination::Column { .. } => DestinationStatements::Column {
                set_embeddings: of!(values, "destination/set_embeddings"),
                tells: true,
                origins: of!(values, "destination/origins"),
            },
        }
    }
}

/// The names of the tables.
fn of_tables(names: &TableNames, destination: &Destination) -> Filled {
    // As lock_source.sql and lock_source_to_update.sql have it.
    let (embedding, row_lock) = match destination {
        Destination::Table { .. } => (String::new(), "KEY SHARE"),
        Destination::Column { embedding_column } => (identifier(embedding_column), "NO KEY UPDATE"),
    };
    vec![
        ("source", names.source.clone()),
        ("queue", names.queue.clone()),
        ("failed", names.failed.clone()),
        ("intake", names.intake.clone()),
        ("intake_literal", statement::literal(&names.intake)),
        ("target", names.target.clone().unwrap_or_default()),
        ("embedding", embedding),
        ("row_lock", row_lock.to_owned()),
        ("vector_schema", names.vector_schema.clone()),
        (
            "vector",
            format!("{}.{}", names.vector_schema, VectorType::Vector.name()),
        ),
    ]
}

/// The columns of the key, and what they are compared with.
fn of_key(key: &PrimaryKey) -> Filled {
    let item = ("q", In::Queue);
    let object = |pairs: &str| format!("jsonb_build_object({pairs})");
    let bytes_of_key = key.bytes(("k", In::Queue));
    let key_in_portion = if bytes_of_key == "0" {
        "true"
    } else {
        "k.item <= (SELECT p.last FROM portion p)"
    };
    let bytes_of_item = key.bytes(item);
    // A sum over those before costs as much to begin as all the rest of a claim.
    let bytes_before = if bytes_of_item == "0" {
        "0"
    } else {
        "sum(c.bytes) OVER (ORDER BY c.rank, c.item ROWS UNBOUNDED PRECEDING) - c.bytes"
    };
    vec![
        ("bytes_of_item", bytes_of_item),
        ("bytes_before", bytes_before.to_owned()),
        ("bytes_of_key", bytes_of_key),
        ("key_in_portion", key_in_portion.to_owned()),
        ("other_is_item", key.same(("o", In::Source), item)),
        ("source_is_item", key.same(("s", In::Source), item)),
        ("target_is_item", key.same(("t", In::Target), item)),
        ("failed_is_item", key.same(("f", In::Queue), item)),
        ("source_is_target", key.same(("s", In::Source), ("t", In::Target))),
        ("source_is_failed", key.same(("s", In::Source), ("f", In::Queue))),
        ("source_key", object(&key.labelled(("s", In::Source)))),
        ("target_key", object(&key.labelled(("t", In::Target)))),
        ("failed_key", object(&key.labelled(("f", In::Queue)))),
        ("each_target_pk", key.list("t.", In::Target)),
        ("key_pk", key.list("k.", In::Queue)),
        ("intake_pk", key.list("i.", In::Queue)),
        ("key_is_item", key.same(("k", In::Queue), item)),
        ("source_is_intake", key.same(("s", In::Source), ("i", In::Queue))),
        ("target_is_intake", key.same(("t", In::Target), ("i", In::Queue))),
        ("failed_is_intake", key.same(("f", In::Queue), ("i", In::Queue))),
        ("queued_from_named", key.renamed("named.k")),
        ("restored", key.restored("r")),
        ("pk", key.list("", In::Queue)),
        ("target_pk", key.list("", In::Target)),
        ("queue_pk", key.list("q.", In::Queue)),
        ("primary_key", object(&key.labelled(item))),
    ]
}

/// What is read of a row of the source.
fn of_row(config: &Config, (document, bytes): (&str, bool), template_columns: &LiteMap<String, String>) -> Filled {
    // What a document is embedded from, in a row that goes by that name.
    let origin = |alias: &str| {
        let columns = std::iter::once(document).chain(template_columns.keys().map(String::as_str));
        let columns: Vec<String> = columns.map(|name| format!("{alias}.{}", identifier(name))).collect();
        format!("md5(ROW({})::text)", columns.join(", "))
    };
    let (origin, other_origin) = (origin("s"), origin("o"));
    let document = format!("s.{}", identifier(document));
    let (text, raw) = if bytes {
        ("NULL::text".to_owned(), format!("{document}::bytea"))
    } else {
        (format!("{document}::text"), "NULL::bytea".to_owned())
    };
    let (document_size, columns_size) = size::of_row(
        &config.loading,
        (if bytes { &raw } else { &text }, bytes),
        template_columns,
    );
    let changed = include_str!("../../sql/query/queue/changed.sql").trim_end();
    vec![
        ("changed", changed.to_owned()),
        ("row", row(template_columns)),
        ("origin", origin),
        ("other_origin", other_origin),
        ("document_text", text),
        ("document_bytes", raw),
        ("document_size", document_size),
        ("columns_size", columns_size),
    ]
}
