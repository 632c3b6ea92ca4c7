//! The triggers on a source table, and the function that they call.
//!
//! The function names tables and columns, so it is made anew whenever one of them is renamed or the columns of the
//! source change: the catalogue knows them by number.

use pgrx::JsonB;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use crate::key::{In, PrimaryKey};
use crate::statement::{self, fill, identifier};
use crate::transaction::acting_as_extension;
use crate::worker::shared_memory;

/// What goes into a trigger function. Quoted names with schemas.
pub struct TriggerFunction<'a> {
    pub function: &'a str,
    pub source: Oid,
    pub queue: &'a str,
    pub failed: &'a str,
    /// `None`: the vectors go into a column of the source.
    pub target: Option<&'a str>,
    pub key: &'a PrimaryKey,
    pub partitioned: bool,
    /// Columns of the source that hold vectors of ours: their changes are no news.
    pub embedding_columns: &'a [String],
}

impl TriggerFunction<'_> {
    /// Makes the function (`CREATE`), or makes it anew (`CREATE OR REPLACE`, which keeps its owner).
    fn make(&self, create: &str) {
        let key = self.key;
        let (old, new, queued) = (("o", In::Source), ("n", In::Source), ("q", In::Queue));
        let (old, new) = if self.partitioned {
            (("old", old.1), ("new", new.1))
        } else {
            (old, new)
        };
        let target_is_old = key.same(("t", In::Target), old);
        let new_is_old = key.same(new, old);
        let remove = |condition: &str| match (self.target, self.partitioned) {
            (None, _) => String::new(),
            (Some(target), true) => format!("DELETE FROM {target} t WHERE {target_is_old};"),
            (Some(target), false) => {
                format!("DELETE FROM {target} t USING old_rows o WHERE {target_is_old}{condition};")
            }
        };
        let renamed = format!(" AND NOT EXISTS (SELECT FROM new_rows n WHERE {new_is_old})");
        let emptied = [self.target, Some(self.queue), Some(self.failed)];
        let emptied: Vec<&str> = emptied.into_iter().flatten().collect();
        let template = if self.partitioned {
            include_str!("../../sql/query/create_row_trigger_function.sql")
        } else {
            include_str!("../../sql/query/create_trigger_function.sql")
        };
        let sql = fill(
            template,
            &[
                ("create", create),
                ("function", self.function),
                ("emptied", &emptied.join(", ")),
                ("queue", self.queue),
                ("failed", self.failed),
                ("pk", &key.list("", In::Queue)),
                ("new_pk", &key.list(&format!("{}.", new.0), In::Source)),
                ("queue_is_old", &key.same(queued, old)),
                ("new_is_old", &new_is_old),
                ("remove_deleted", &remove("")),
                ("remove_renamed", &remove(&renamed)),
                ("old_row", &self.row(old.0)),
                ("new_row", &self.row(new.0)),
                ("changed", include_str!("../../sql/query/changed.sql").trim_end()),
            ],
        );
        statement::run(&sql, &[]);
    }

    /// Makes the function. Never over one that is there already: it may be somebody else's.
    pub fn create(&self) {
        self.make("CREATE");
    }

    /// The row that is compared: whole, or without the columns that hold our vectors.
    fn row(&self, alias: &str) -> String {
        if self.embedding_columns.is_empty() {
            return format!("{alias}.*");
        }
        let sql = include_str!("../../sql/query/source_columns.sql");
        let columns: Vec<String> = statement::rows(sql, &[self.source.into()], |row| row.must(1));
        let compared = columns.iter().filter(|name| !self.embedding_columns.contains(name));
        let compared: Vec<String> = compared.map(|name| format!("{alias}.{}", identifier(name))).collect();
        format!("ROW({})", compared.join(", "))
    }
}

/// Puts the triggers on the source.
pub fn create(source: &str, stem: &str, function: &str, partitioned: bool) {
    // By statement there is a trigger each, because one with transition tables serves a single event.
    let by_statement = [
        (
            "_insert",
            "INSERT",
            "REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT",
        ),
        (
            "",
            "UPDATE",
            "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT",
        ),
        (
            "_delete",
            "DELETE",
            "REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT",
        ),
        ("_truncate", "TRUNCATE", "FOR EACH STATEMENT"),
    ];
    let by_row = [
        ("", "INSERT OR UPDATE OR DELETE", "FOR EACH ROW"),
        ("_truncate", "TRUNCATE", "FOR EACH STATEMENT"),
    ];
    let triggers: &[(&str, &str, &str)] = if partitioned { &by_row } else { &by_statement };
    for (suffix, event, kind) in triggers {
        let name = identifier(&format!("{stem}{suffix}"));
        let sql = format!("CREATE TRIGGER {name} AFTER {event} ON {source} {kind} EXECUTE FUNCTION {function}()");
        statement::run(&sql, &[]);
    }
}

/// The columns of a source that hold vectors of ours.
pub fn embedding_columns(source: Oid) -> Vec<String> {
    let sql = include_str!("../../sql/query/embedding_columns.sql");
    statement::rows(sql, &[source.into()], |row| row.must(1))
}

/// Makes the trigger functions of a source (`None`: of all) anew, after a rename or a change of columns.
pub fn refresh(source: Option<Oid>) {
    struct Known {
        source: Oid,
        queue: String,
        failed: String,
        target: Option<String>,
        function: String,
        source_pk: serde_json::Value,
        partitioned: bool,
    }
    let sql = include_str!("../../sql/query/trigger_functions.sql");
    let known = statement::rows(sql, &[source.into()], |row| Known {
        source: row.must(2),
        queue: row.must(4),
        failed: row.must(5),
        target: row.get(6),
        function: row.must(7),
        source_pk: row.must::<JsonB>(8).0,
        partitioned: row.must(9),
    });
    for vectorizer in known {
        let Some(key) = PrimaryKey::current(vectorizer.source, &vectorizer.source_pk) else {
            // Whoever drops a column of the key must still be able to write to the table.
            let sql = include_str!("../../sql/query/idle_trigger_function.sql");
            acting_as_extension(|| statement::run(&fill(sql, &[("function", &vectorizer.function)]), &[]));
            continue;
        };
        let function = TriggerFunction {
            function: &vectorizer.function,
            source: vectorizer.source,
            queue: &vectorizer.queue,
            failed: &vectorizer.failed,
            target: vectorizer.target.as_deref(),
            key: &key,
            partitioned: vectorizer.partitioned,
            embedding_columns: &embedding_columns(vectorizer.source),
        };
        acting_as_extension(|| function.make("CREATE OR REPLACE"));
    }
}

/// For the event trigger: a table or a schema was altered.
#[pg_extern(sql = false)]
fn refresh_triggers() {
    refresh(None);
    shared_memory::catalogue_changed_at_commit();
}

/// For the trigger on the catalogue.
#[pg_trigger(sql = false)]
fn catalogue_changed<'a>(
    _trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, impl WhoAllocated>>, std::convert::Infallible> {
    shared_memory::catalogue_changed_at_commit();
    Ok(None::<PgHeapTuple<'a, AllocatedByPostgres>>)
}
