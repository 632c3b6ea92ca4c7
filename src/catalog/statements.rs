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
pub(super) struct Names {
    pub(super) source: String,
    pub(super) queue: String,
    pub(super) failed: String,
    pub(super) intake: String,
    pub(super) target: Option<String>,
    pub(super) vector_schema: String,
}

impl Statements {
    pub(super) fn new(
        names: &Names,
        key: &PrimaryKey,
        config: &Config,
        (document, bytes): (&str, bool),
        template_columns: &LiteMap<String, String>,
        (embedding_type, has_rules): (&str, bool),
    ) -> Statements {
        let item = ("q", In::Queue);
        let object = |pairs: &str| format!("jsonb_build_object({pairs})");
        let row = row(template_columns);
        let destination = &config.destination;
        let embedding = match destination {
            Destination::Table { .. } => String::new(),
            Destination::Column { embedding_column } => identifier(embedding_column),
        };
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
        let (bytes_of_item, bytes_of_key) = (key.bytes(item), key.bytes(("k", In::Queue)));
        let key_in_portion = if bytes_of_key == "0" {
            "true"
        } else {
            "k.item <= (SELECT p.last FROM portion p)"
        };
        // A sum over those before costs as much to begin as all the rest of a claim.
        let bytes_before = if bytes_of_item == "0" {
            "0"
        } else {
            "sum(c.bytes) OVER (ORDER BY c.rank, c.item ROWS UNBOUNDED PRECEDING) - c.bytes"
        };
        let values = [
            ("bytes_of_item", bytes_of_item.as_str()),
            ("bytes_before", bytes_before),
            ("bytes_of_key", &bytes_of_key),
            ("key_in_portion", key_in_portion),
            ("embedding_type", embedding_type),
            ("other_is_item", &key.same(("o", In::Source), item)),
            ("source", &names.source),
            ("queue", &names.queue),
            ("failed", &names.failed),
            ("intake", &names.intake),
            ("intake_literal", &statement::literal(&names.intake)),
            ("target", names.target.as_deref().unwrap_or_default()),
            ("embedding", &embedding),
            ("vector_schema", &names.vector_schema),
            (
                "vector",
                &format!("{}.{}", names.vector_schema, VectorType::Vector.name()),
            ),
            ("source_is_item", &key.same(("s", In::Source), item)),
            ("target_is_item", &key.same(("t", In::Target), item)),
            ("failed_is_item", &key.same(("f", In::Queue), item)),
            ("source_is_target", &key.same(("s", In::Source), ("t", In::Target))),
            ("source_is_failed", &key.same(("s", In::Source), ("f", In::Queue))),
            ("source_key", &object(&key.labelled(("s", In::Source)))),
            ("target_key", &object(&key.labelled(("t", In::Target)))),
            ("failed_key", &object(&key.labelled(("f", In::Queue)))),
            ("each_target_pk", &key.list("t.", In::Target)),
            ("key_pk", &key.list("k.", In::Queue)),
            ("intake_pk", &key.list("i.", In::Queue)),
            ("key_is_item", &key.same(("k", In::Queue), item)),
            // As lock_source.sql and lock_source_to_update.sql have it.
            (
                "row_lock",
                match destination {
                    Destination::Table { .. } => "KEY SHARE",
                    Destination::Column { .. } => "NO KEY UPDATE",
                },
            ),
            ("source_is_intake", &key.same(("s", In::Source), ("i", In::Queue))),
            ("target_is_intake", &key.same(("t", In::Target), ("i", In::Queue))),
            ("failed_is_intake", &key.same(("f", In::Queue), ("i", In::Queue))),
            ("queued_from_named", &key.renamed("named.k")),
            ("restored", &key.restored("r")),
            ("changed", include_str!("../../sql/query/queue/changed.sql").trim_end()),
            ("pk", &key.list("", In::Queue)),
            ("target_pk", &key.list("", In::Target)),
            ("queue_pk", &key.list("q.", In::Queue)),
            ("primary_key", &object(&key.labelled(item))),
            ("row", &row),
            ("origin", &origin),
            ("other_origin", &other_origin),
            ("document_text", &text),
            ("document_bytes", &raw),
            ("document_size", &document_size),
            ("columns_size", &columns_size),
        ];
        macro_rules! of {
            ($name:literal) => {
                fill(include_str!(concat!("../../sql/query/", $name, ".sql")), &values)
            };
        }
        Statements {
            take_in: of!("queue/take_in"),
            first_change: of!("intake/first_change"),
            forget_changes: of!("intake/forget_changes"),
            lock_intake: of!("intake/lock_intake"),
            intake: of!("intake/intake"),
            empty_intake: of!("intake/empty_intake"),
            claim: of!("queue/claim"),
            taken: of!("queue/taken"),
            taken_blindly: of!("queue/taken_blindly"),
            untake: of!("queue/untake"),
            read: of!("queue/read"),
            next_due: of!("queue/next_due"),
            renew: of!("queue/renew"),
            rescue: of!("queue/rescue"),
            quarantine: of!("queue/quarantine"),
            has_suspects: of!("queue/has_suspects"),
            release: of!("queue/release"),
            free_unlocked: of!("queue/free_unlocked"),
            give_up: of!("queue/give_up"),
            start_over: of!("queue/start_over"),
            finish: of!("queue/finish"),
            lock_source: match destination {
                Destination::Table { .. } => of!("source/lock_source"),
                Destination::Column { .. } => of!("source/lock_source_to_update"),
            },
            lock_items: of!("queue/lock_items"),
            held_items: of!("queue/held_items"),
            known_items: of!("queue/known_items"),
            forget_failed: of!("failed/forget_failed"),
            count_chunks: match destination {
                Destination::Table { .. } => of!("destination/count_chunks"),
                Destination::Column { .. } => of!("destination/count_embeddings"),
            },
            documents: match destination {
                Destination::Table { .. } => of!("source/documents"),
                Destination::Column { .. } => of!("source/column_documents"),
            },
            strays: match destination {
                Destination::Table { .. } => of!("source/strays"),
                Destination::Column { .. } => of!("source/column_strays"),
            },
            enqueue: of!("queue/enqueue"),
            destination: match destination {
                Destination::Table { .. } => DestinationStatements::Table {
                    chunks: of!("destination/chunks"),
                    count_stored: of!("destination/count_stored"),
                    remove_chunks: of!("destination/remove_chunks"),
                    remove_all_chunks: of!("destination/remove_all_chunks"),
                    move_chunks: of!("destination/move_chunks"),
                    settle_chunks: of!("destination/settle_chunks"),
                    insert_chunks: of!("destination/insert_chunks"),
                    checks: Box::new(Checks {
                        written_chunks: of!("destination/written_chunks"),
                        left_chunks: of!("destination/left_chunks"),
                        unmoved_chunks: of!("destination/unmoved_chunks"),
                        left_of_documents: of!("destination/left_of_documents"),
                    }),
                },
                Destination::Column { .. } if has_rules => DestinationStatements::Column {
                    set_embeddings: of!("destination/set_embeddings_by_rule"),
                    tells: false,
                    origins: of!("destination/origins"),
                },
                Destination::Column { .. } => DestinationStatements::Column {
                    set_embeddings: of!("destination/set_embeddings"),
                    tells: true,
                    origins: of!("destination/origins"),
                },
            },
        }
    }
}
