//! What was given up, listed and tried again: `ai.vectorizer_failed` and `ai.retry_vectorizer`.

use std::collections::{HashMap, HashSet};

use ai_pipeline::embed::{self, Gates};
use ai_pipeline::error::Class;
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::iter::TableIterator;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::access::endpoint;
use crate::postgres::error::raise;
use crate::postgres::json::JsonB;
use crate::postgres::key::{In, PrimaryKey};
use crate::postgres::scan::{self, At, Closed, Hasher, LockWait, Look, Table};
use crate::postgres::statement::{self, fill};
use crate::postgres::swallowed::must_be_written;
use crate::postgres::transaction::{acting_as_extension, restricted_to};
use crate::shared_memory::{self, providers};
use crate::vectorizer::{missing, must_be_served, must_own};
use crate::{catalog, settings};

/// How much of what a view shows is in memory at a time.
const PORTION: usize = 1 << 20;
/// How much of the failed documents of a vectorizer is shown to others than its owner.
const GREATEST: usize = 64 << 20;
/// The longest text in a key that is shown, and the longest value of another type: a few bytes of it may be
/// many digits.
const LONGEST_TEXT: usize = 8 * 1024;
const LONGEST_VALUE: usize = 8 * 1024;

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
    queue_oid: Oid,
    failed_oid: Oid,
    intake_oid: Oid,
}

impl Queues {
    /// Those that the caller may look into.
    fn visible() -> Vec<Queues> {
        statement::rows(include_str!("../../sql/query/failed/failed_queues.sql"), &[], |row| {
            Queues {
                id: row.must("id"),
                owner: row.must("owner"),
                source: row.must("source"),
                source_pk: row.must::<JsonB>("source_pk").0,
                queue: row.must("queue_name"),
                failed: row.must("failed_name"),
                may_read: row.must("may_read"),
                intake: row.must("intake_name"),
                queue_oid: row.must("queue"),
                failed_oid: row.must("failed"),
                intake_oid: row.must("intake"),
            }
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
            ("failed_is_item", &key.same(failed, item)),
            ("key_is_item", &key.same(named, item)),
            ("key_is_failed", &key.same(named, failed)),
            ("queued_from_named", &key.renamed("$1::jsonb")),
            ("restored", &key.restored("r")),
        ];
        fill(sql, &values)
    }
}

#[pg_extern(sql = false)]
fn failed_documents() -> FailedDocuments {
    let documents = Queues::visible().into_iter().flat_map(|queues| {
        // Postgres' own are converted as ever. What an owner wrote may run for the owner.
        // SAFETY: a look at the role of the session.
        let is_own = unsafe { pg_sys::GetUserId() } == queues.owner;
        let hasher = Hasher::new();
        // Most have none: of those nothing else is asked, however many vectorizers there are.
        let has_some = Table::open(queues.failed_oid, LockWait::Little)
            .and_then(|failed| scan::has_rows(&failed, &Look::of(queues.owner)));
        let opened = match has_some {
            Ok(false) => Err(Closed::Changed),
            _ => Failed::open(&queues),
        };
        let queued = opened.and_then(|failed| {
            let look = Look::of(queues.owner);
            scan::shared(&failed.table, &[&failed.queue, &failed.intake], &failed.names, &hasher, &look)
        });
        // What takes too long to find out is taken for not queued.
        let queued = match queued {
            Err(Closed::Costly) => Some(HashSet::new()),
            queued => queued.ok(),
        };
        let mut behind = None;
        let mut shown = 0;
        let mut is_over = queued.is_none();
        let known = (hasher, queued.unwrap_or_default());
        let portions = std::iter::from_fn(move || {
            if is_over {
                return None;
            }
            if !is_own && shown > GREATEST {
                is_over = true;
                let id = queues.id;
                warning!("not all failed documents of vectorizer {id} are shown: to read them takes too long, or too much memory");
                return None;
            }
            let portion = Failed::open(&queues).and_then(|failed| failed.rows(&queues, behind, &known, is_own));
            if portion.as_ref().is_err_and(|closed| *closed == Closed::Costly) {
                shown = usize::MAX;
            }
            // Nothing more of one that was altered or locked meanwhile.
            let portion = portion.unwrap_or_default();
            is_over = portion.last.is_none() && shown != usize::MAX;
            behind = portion.last;
            shown = shown.saturating_add(portion.bytes);
            Some(portion.rows)
        });
        portions.flatten()
    });
    TableIterator::new(documents)
}

/// Some of the failed documents of a vectorizer.
#[derive(Default)]
struct Portion {
    rows: Vec<FailedDocument>,
    bytes: usize,
    /// Where the last of them is; `None` where there are no more.
    last: Option<At>,
}

/// The tables of a vectorizer as they are stored. They are opened again for each part of them: a session that takes
/// the rows may stop.
struct Failed {
    table: Table,
    queue: Table,
    intake: Table,
    /// Of the columns of the key, in these tables and in the source.
    names: Vec<(String, Oid)>,
    labels: Vec<String>,
}

impl Failed {
    fn open(queues: &Queues) -> Result<Failed, Closed> {
        let key = queues.key().ok_or(Closed::Changed)?;
        let open = |oid: Oid| Table::open(oid, LockWait::Little);
        Ok(Failed {
            table: open(queues.failed_oid)?,
            queue: open(queues.queue_oid)?,
            intake: open(queues.intake_oid)?,
            names: scan::names(&key, queues.source),
            labels: key.names(In::Source),
        })
    }

    fn rows(
        &self,
        queues: &Queues,
        behind: Option<At>,
        (hasher, queued): &(Hasher, HashSet<u64>),
        is_own: bool,
    ) -> Result<Portion, Closed> {
        let table = &self.table;
        let key = scan::key(table, &self.names)?;
        let text = |name: &str| table.column_of(name, pg_sys::TEXTOID);
        let (step, class, reason) = (text("failure_step")?, text("failure_class")?, text("reason")?);
        let attempts = table.column_of("attempts", pg_sys::INT4OID)?;
        let created_at = table.column_of("created_at", pg_sys::TIMESTAMPTZOID)?;
        let mut portion = Portion::default();
        let look = if is_own {
            Look::unlimited()
        } else {
            Look::of(queues.owner)
        };
        table.each_behind(behind, &look, |row| {
            let columns = self.labels.iter().zip(&key);
            let primary_key = queues.may_read.then(|| {
                let pairs = columns
                    .map(|(label, column)| format!("{}: {}", Value::from(label.as_str()), json(row, *column, is_own)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
            });
            let created = row.get::<TimestampWithTimeZone>(created_at);
            if let Some(created) = created {
                let [step, class, reason] = [step, class, reason].map(|column| row.text(column).unwrap_or_default());
                portion.bytes += [&step, &class, &reason].map(String::len).iter().sum::<usize>()
                    + primary_key.as_ref().map_or(0, String::len)
                    + size_of::<FailedDocument>();
                portion.rows.push((
                    queues.id,
                    primary_key,
                    step,
                    class,
                    reason,
                    row.get(attempts).unwrap_or_default(),
                    created,
                    queued.contains(&hasher.key(row, &key)),
                ));
            }
            let is_full = portion.bytes >= PORTION;
            portion.last = is_full.then_some(row.at);
            scan::enough(is_full)
        })?;
        Ok(portion)
    }
}

/// A value of a key in JSON. Types of owners have casts to JSON that they wrote: for others such a value is
/// what the output function of its type says. Its type is that of the source, which is indexed: each of its
/// values has a text. One that is long is not shown.
fn json(row: &scan::ScanRow, column: scan::ScanColumn, is_own: bool) -> String {
    // SAFETY: a look at the catalogue.
    let base = unsafe { pg_sys::getBaseType(column.kind) };
    let kind = if is_own { column.kind } else { base };
    let Some(value) = row.raw(column) else {
        return "null".to_owned();
    };
    let is_text = [pg_sys::TEXTOID, pg_sys::VARCHAROID].contains(&base);
    let size = row.size(column);
    if size > if is_text { LONGEST_TEXT } else { LONGEST_VALUE } {
        let beginning = if is_text { row.text(column) } else { None };
        let beginning = beginning.map(|text| text.chars().take(100).collect::<String>());
        return Value::from(format!("{}… ({size} bytes)", beginning.unwrap_or_default())).to_string();
    }
    // Most keys are of these types, and a statement for each would take long.
    match column.kind {
        pg_sys::INT4OID | pg_sys::INT8OID => return row.words(column).unwrap_or_default(),
        pg_sys::TEXTOID => return Value::from(row.text(column).unwrap_or_default()).to_string(),
        _ => (),
    }
    if !is_own && base.to_u32() >= pg_sys::FirstNormalObjectId {
        return Value::from(row.words(column).unwrap_or_default()).to_string();
    }
    let sql = "SELECT to_jsonb($1)::text";
    // SAFETY: a value of this type, which outlives the statement.
    let argument = unsafe { DatumWithOid::new(value, kind) };
    statement::look_up(sql, &[argument], |row| row.get::<String>(1))
        .flatten()
        .unwrap_or_else(|| "null".to_owned())
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

#[pg_extern(sql = false)]
fn retry_vectorizer(vectorizer_id: Option<i32>, primary_key: Option<String>, class: Option<String>) -> i64 {
    let vectorizer_id = vectorizer_id.unwrap_or_else(|| missing("NULL"));
    must_own(vectorizer_id);
    must_be_served(vectorizer_id);
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
    let throttled = class.as_deref() == Some("throttled");
    // The queue does not know why a document waits. One that has not failed was throttled.
    let failing = class.as_deref().and_then(|class| {
        let arguments = [vectorizer_id.into(), class.into()];
        let sql = include_str!("../../sql/query/failed/failing.sql");
        acting_as_extension(|| statement::row(sql, &arguments, |row| row.must::<JsonB>(1)))
    });
    let send_all = || {
        let waiting = queues.fill(include_str!("../../sql/query/queue/retry_waiting.sql"), &key);
        let failed = queues.fill(include_str!("../../sql/query/failed/retry_failed.sql"), &key);
        let send = |sql: &str, arguments: &[DatumWithOid], table: &str| {
            let sent = statement::row(sql, arguments, |row| (row.must::<i64>(1), row.must::<i64>(2)));
            let (wanted, written) = sent.expect("a SELECT without FROM answers with one row");
            let number = |number: i64| usize::try_from(number).unwrap_or_default();
            must_be_written(table, (number(written), number(wanted)));
            written
        };
        send(&waiting, &[one.into(), failing.into(), throttled.into()], &queues.queue)
            + send(&failed, &[one.into(), class.as_deref().into()], &queues.intake)
    };
    let sent = catalog::acting_for(vectorizer_id, || restricted_to(queues.owner, send_all));
    // A call for another try means that what stopped all of them is mended.
    acting_as_extension(|| catalog::mended(vectorizer_id));
    end_pause_of_provider(vectorizer_id);
    shared_memory::mended_at_commit(vectorizer_id);
    sent
}

/// Has the provider of a vectorizer asked again, which may have asked for an hour's patience. Where that
/// cannot be told, the worker will say why.
fn end_pause_of_provider(vectorizer_id: i32) {
    if !shared_memory::is_available() {
        return;
    }
    let vectorizer = acting_as_extension(|| catalog::vectorizer(vectorizer_id));
    let Some(Ok(vectorizer)) = vectorizer else { return };
    let Ok(provider) = &vectorizer.servers.provider else {
        return;
    };
    let embedding = &vectorizer.config.embedding;
    let Ok(mut endpoint) = endpoint::of(embedding, &provider.options, None, &settings::current()) else {
        return;
    };
    endpoint.gates = Gates::shared(providers::place);
    // An address that is none is told by the worker, too.
    let _ = embed::end_pause(embedding, &endpoint);
}

fn check_class(class: Option<&str>) {
    let Some(class) = class.filter(|class| !Class::WORDS.contains(class)) else {
        return;
    };
    raise(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        format!("there is no class of failures \"{class}\""),
        Some(&format!("The classes are {}.", Class::WORDS.join(", "))),
    )
}

/// `given` goes to Postgres as it is: its numbers are longer than those of Rust, and it may be deeper.
fn check_key(given: &str, columns: &[String]) {
    let given: Option<HashMap<String, IgnoredAny>> = serde_json::from_str(given).ok();
    let fits = given
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
