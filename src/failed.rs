//! What was given up, listed and tried again: `ai.vectorizer_failed` and `ai.retry_vectorizer`.

use pgrx::JsonB;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use serde_json::Value;

use crate::error::raise;
use crate::key::{In, PrimaryKey};
use crate::statement::{self, Cursor, Row, fill};
use crate::transaction::{acting_as_extension, restricted_to};
use crate::vectorizer::{missing, must_own};
use crate::worker::shared_memory;

/// Rows that are in memory at a time.
const ROWS: usize = 1000;
/// What `ai.vectorizer_errors` and the failed queues call the classes of failures.
const CLASSES: [&str; 5] = ["transient", "throttled", "configuration", "permanent", "unknown"];

type FailedDocuments = TableIterator<
    'static,
    (
        name!(id, i32),
        name!(primary_key, Option<String>),
        name!(failure_step, String),
        name!(failure_class, String),
        name!(reason, String),
        name!(attempts, i32),
        name!(created_at, TimestampWithTimeZone),
        name!(queued, bool),
    ),
>;

/// Queue, failed queue and intake of a vectorizer, quoted and with their schemas.
struct Queues {
    id: i32,
    owner: Oid,
    source: Oid,
    source_pk: Value,
    queue: String,
    failed: String,
    /// The caller may read the source, and so its keys.
    may_read: bool,
    intake: String,
}

impl Queues {
    /// Those that the caller may look into.
    fn visible() -> Vec<Queues> {
        statement::rows(include_str!("../sql/query/failed_queues.sql"), &[], |row| Queues {
            id: row.must(1),
            owner: row.must(2),
            source: row.must(3),
            source_pk: row.must::<JsonB>(4).0,
            queue: row.must(5),
            failed: row.must(6),
            may_read: row.must(7),
            intake: row.must(8),
        })
    }

    /// `None` when the source has lost its key: what waits cannot be told.
    fn key(&self) -> Option<PrimaryKey> {
        PrimaryKey::current(self.source, &self.source_pk)
    }

    fn fill(&self, sql: &str, key: &PrimaryKey) -> String {
        let (item, failed, named) = (("q", In::Queue), ("f", In::Queue), ("k", In::Queue));
        let object = |pairs: String| format!("jsonb_build_object({pairs})");
        let values = [
            ("queue", self.queue.as_str()),
            ("failed", &self.failed),
            ("intake", &self.intake),
            ("failed_is_intake", &key.same(failed, ("i", In::Queue))),
            ("pk", &key.list("", In::Queue)),
            ("each_failed_pk", &key.list("f.", In::Queue)),
            ("primary_key", &object(key.labelled(item))),
            ("failed_key", &object(key.labelled(failed))),
            ("failed_is_item", &key.same(failed, item)),
            ("key_is_item", &key.same(named, item)),
            ("key_is_failed", &key.same(named, failed)),
            ("queued_from_named", &key.renamed("$1::jsonb")),
        ];
        fill(sql, &values)
    }
}

#[pg_extern(sql = false)]
fn failed_documents() -> FailedDocuments {
    let documents = Queues::visible().into_iter().filter_map(|queues| {
        let key = queues.key()?;
        let sql = queues.fill(include_str!("../sql/query/failed_documents.sql"), &key);
        let mut cursor = Some(restricted_to(queues.owner, || Cursor::open(&sql)));
        let bits = std::iter::from_fn(move || {
            let open = cursor.take()?;
            let rows = restricted_to(queues.owner, || open.fetch(ROWS, |row| document(&queues, row)));
            if rows.is_empty() {
                open.close();
                return None;
            }
            cursor = Some(open);
            Some(rows)
        });
        Some(bits.flatten())
    });
    TableIterator::new(documents.flatten())
}

type FailedDocument = (
    i32,
    Option<String>,
    String,
    String,
    String,
    i32,
    TimestampWithTimeZone,
    bool,
);

fn document(queues: &Queues, row: &Row) -> FailedDocument {
    (
        queues.id,
        queues.may_read.then(|| row.must(1)),
        row.must(2),
        row.must(3),
        row.must(4),
        row.must(5),
        row.must(6),
        row.must(7),
    )
}

#[pg_extern(sql = false)]
fn retry_vectorizer(vectorizer_id: Option<i32>, primary_key: Option<String>, class: Option<String>) -> i64 {
    let vectorizer_id = vectorizer_id.unwrap_or_else(|| missing("NULL"));
    must_own(vectorizer_id);
    check_class(class.as_deref());
    let queues = Queues::visible().into_iter().find(|queues| queues.id == vectorizer_id);
    let Some((queues, key)) = queues.and_then(|queues| queues.key().map(|key| (queues, key))) else {
        raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("vectorizer {vectorizer_id} cannot work: its tables, or columns of its primary key, are gone"),
            Some("Drop the vectorizer with ai.drop_vectorizer, or bring back what it needs."),
        )
    };
    if let Some(given) = &primary_key {
        check_key(given, &key.names(In::Source));
    }

    let one = primary_key.as_deref();
    // The queue does not know why a document waits.
    let failing = class.as_deref().and_then(|class| {
        let arguments = [vectorizer_id.into(), class.into()];
        let sql = include_str!("../sql/query/failing.sql");
        acting_as_extension(|| statement::row(sql, &arguments, |row| row.must::<JsonB>(1)))
    });
    let sent = restricted_to(queues.owner, || {
        let waiting = queues.fill(include_str!("../sql/query/retry_waiting.sql"), &key);
        let failed = queues.fill(include_str!("../sql/query/retry_failed.sql"), &key);
        statement::run(&waiting, &[one.into(), failing.into()])
            + statement::run(&failed, &[one.into(), class.as_deref().into()])
    });
    // Whoever asks for another try has mended what stopped all of them.
    let mended = include_str!("../sql/query/mended.sql");
    acting_as_extension(|| statement::run(mended, &[vectorizer_id.into()]));
    shared_memory::catalogue_changed_at_commit();
    i64::try_from(sent).unwrap_or(i64::MAX)
}

fn check_class(class: Option<&str>) {
    let Some(class) = class.filter(|class| !CLASSES.contains(class)) else {
        return;
    };
    raise(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        format!("there is no class of failures \"{class}\""),
        Some(&format!("The classes are {}.", CLASSES.join(", "))),
    )
}

/// `given` goes to Postgres as it is: numbers of JSON are longer than those of serde_json.
fn check_key(given: &str, columns: &[String]) {
    let given = serde_json::from_str(given).ok();
    let fits = given
        .as_ref()
        .and_then(Value::as_object)
        .is_some_and(|given| given.len() == columns.len() && columns.iter().all(|column| given.contains_key(column)));
    if !fits {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "primary_key is not an object with the columns of the primary key",
            Some(&format!(
                "Its keys are {}, as in the column primary_key of ai.vectorizer_failed.",
                columns.join(", ")
            )),
        );
    }
}
