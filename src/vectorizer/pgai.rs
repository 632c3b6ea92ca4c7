//! What pgai has left in the database: the rows of its catalogue, and the objects that they name.

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use serde_json::Value;

use super::number::failed_queue;
use crate::postgres::error::{invalid, raise};
use crate::postgres::json::JsonB;
use crate::postgres::statement;
use crate::postgres::transaction::{acting_as_extension, restricted_to};

/// Where the scripts keep pgai's schema.
pub const PGAI: &str = "pgai";

/// A relation or a function, as the catalogue has it at this moment.
pub struct CatalogObject {
    pub oid: Oid,
    /// Quoted, with its schema.
    pub name: String,
    pub schema: String,
    pub owner: Oid,
    pub owner_name: String,
    /// `relkind`; `f` stands for a function.
    pub kind: String,
}

impl CatalogObject {
    /// Locked, so that it stays what it is until the transaction ends.
    pub fn relation(schema: &str, name: &str) -> Option<CatalogObject> {
        let find = || {
            let sql = include_str!("../../sql/query/adoption/adopted_relation.sql");
            statement::row(sql, &[schema.into(), name.into()], CatalogObject::read)
        };
        let seen = find()?;
        // SAFETY: on the main thread, in a transaction, which gives the lock back.
        unsafe { pg_sys::LockRelationOid(seen.oid, pg_sys::AccessShareLock as pg_sys::LOCKMODE) };
        find().filter(|locked| locked.oid == seen.oid)
    }

    pub fn read(row: &statement::Row) -> CatalogObject {
        CatalogObject {
            oid: row.must("oid"),
            name: row.must("name"),
            schema: row.must("schema"),
            owner: row.must("owner"),
            owner_name: row.must("owner_name"),
            kind: row.must("kind"),
        }
    }

    /// What has to be said to give it to the owner of `source`.
    fn gift(&self, source: &CatalogObject) -> String {
        let kind = match self.kind.as_str() {
            "v" => "VIEW",
            "f" => "FUNCTION",
            _ => "TABLE",
        };
        format!("ALTER {kind} {} OWNER TO {}", self.name, source.owner_name)
    }

    /// A role with TRIGGER on a table has code of its own run as the role that writes to it. Nobody puts a
    /// trigger on it from here on.
    ///
    /// # Errors
    /// Raised where such a trigger may be on it.
    pub fn must_have_no_foreign_triggers(&self) {
        // SAFETY: as in Object::relation.
        unsafe { pg_sys::LockRelationOid(self.oid, pg_sys::ShareRowExclusiveLock as pg_sys::LOCKMODE) };
        let sql = include_str!("../../sql/query/trigger/foreign_triggers.sql");
        let triggers = statement::rows(sql, &[self.oid.into()], |row| row.must::<String>(1));
        if !triggers.is_empty() {
            let hint = format!(
                "Look at them: what they call would run as {}. Then drop them, or disable them meanwhile with ALTER TABLE {} DISABLE TRIGGER.",
                self.owner_name, self.name
            );
            let message = format!(
                "{} has triggers that others may have put on it: {}",
                self.name,
                triggers.join(", ")
            );
            raise(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                message,
                Some(&hint),
            );
        }
    }

    /// # Errors
    /// Raised where it is of another kind.
    pub fn must_be(&self, kind: &str, called: &str) {
        if self.kind != kind {
            let message = format!("{} is not {called}", self.name);
            raise(PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE, message, None);
        }
    }
}

/// Gives the owner of the source CREATE on pgai's schema while `work` moves what is the owner's into it or out of it.
pub fn with_create_on_pgai<T>(source: &CatalogObject, work: impl FnOnce() -> T) -> T {
    let_use_pgai(source);
    let lacks = "SELECT NOT has_schema_privilege($1, $2, 'CREATE')";
    let lacks = statement::row(lacks, &[source.owner.into(), PGAI.into()], |row| row.must(1)) == Some(true);
    let change = |verb: &str, direction: &str| {
        let sql = format!("{verb} CREATE ON SCHEMA {PGAI} {direction} {}", source.owner_name);
        statement::run(&sql, &[]);
    };
    if lacks {
        change("GRANT", "TO");
    }
    let value = work();
    if lacks {
        change("REVOKE", "FROM");
    }
    value
}

/// pgai's queues are there, and the owner of the source reads them.
pub fn let_use_pgai(source: &CatalogObject) {
    statement::run(&format!("GRANT USAGE ON SCHEMA {PGAI} TO {}", source.owner_name), &[]);
}

/// Reads pgai's catalogue as its owner, who may have made something else of it.
pub fn read_catalogue<T>(
    sql: &str,
    arguments: &[pgrx::datum::DatumWithOid],
    read: impl FnMut(&statement::Row) -> T,
) -> Vec<T> {
    must_be_superuser();
    let catalogue = catalogue();
    restricted_to(catalogue.owner, || statement::rows(sql, arguments, read))
}

pub fn catalogue() -> CatalogObject {
    let Some(catalogue) = CatalogObject::relation(PGAI, "vectorizer") else {
        let message = "there is no schema pgai of docs/adopt-pgai.sql";
        raise(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message, None)
    };
    catalogue.must_be("r", "a table");
    catalogue
}

pub fn must_be_superuser() {
    // SAFETY: a look at the role of the session.
    if !unsafe { pg_sys::superuser() } {
        let message = "only a superuser may adopt vectorizers";
        raise(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message, None);
    }
}

/// A row of pgai's catalogue. Others than owners may write to it.
pub struct PgaiRow {
    pub id: i32,
    pub name: String,
    pub source_schema: String,
    pub source_table: String,
    pub trigger: String,
    /// Where the queue is now.
    pub queue_schema: String,
    pub queue_table: String,
    pub failed_table: String,
    pub config: Value,
    pub disabled: bool,
}

impl PgaiRow {
    pub fn of(id: i32) -> PgaiRow {
        let sql = include_str!("../../sql/query/adoption/pgai_vectorizer.sql");
        let row = read_catalogue(sql, &[id.into()], |row| {
            Some(PgaiRow {
                id,
                name: row.get("name")?,
                source_schema: row.get("source_schema")?,
                source_table: row.get("source_table")?,
                trigger: row.get("trigger_name")?,
                queue_schema: row.get("queue_schema")?,
                queue_table: row.get("queue_table")?,
                failed_table: row.get("failed_table").unwrap_or_else(|| failed_queue(id)),
                config: row.get::<JsonB>("config")?.0,
                disabled: row.get("disabled")?,
            })
        });
        let Some(row) = row.into_iter().next().flatten() else {
            let message = format!("pgai's catalogue has no vectorizer {id}, or only a part of one");
            raise(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, message, None)
        };
        if row.trigger != format!("_vectorizer_src_trg_{id}") {
            invalid(format!(
                "pgai does not call the trigger of vectorizer {id} {}",
                row.trigger
            ));
        }
        if row.failed_table != failed_queue(id) {
            invalid(format!(
                "pgai does not call the failed queue of vectorizer {id} {}",
                row.failed_table
            ));
        }
        row
    }

    /// Its queues are beside pgai's catalogue, and not in a schema of its owner's.
    pub fn is_in_pgai(&self) -> bool {
        self.queue_schema == "ai"
    }

    /// How the queue is called here: in the schema of the extension all have the names that it gives.
    pub fn queue_here(&self) -> String {
        if self.is_in_pgai() {
            kept_queue(self.id)
        } else {
            self.queue_table.clone()
        }
    }

    pub fn schema_now(&self) -> &str {
        if self.is_in_pgai() { PGAI } else { &self.queue_schema }
    }

    pub fn source(&self) -> CatalogObject {
        let Some(source) = CatalogObject::relation(&self.source_schema, &self.source_table) else {
            let message = format!("the table {}.{} does not exist", self.source_schema, self.source_table);
            raise(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message, None)
        };
        source
    }
}

/// How the queue of a vectorizer is called in pgai's schema while the vectorizer is ours. The number alone
/// names it: the way back does not ask the row of pgai's catalogue, which others may have changed since.
pub fn kept_queue(id: i32) -> String {
    format!("_vectorizer_q_{id}")
}

/// Also sees to it that we give it to no other.
pub fn is_given_out(id: i32) -> bool {
    let Some(sequence) = CatalogObject::relation(PGAI, "vectorizer_id_seq") else {
        let message = "the sequence pgai.vectorizer_id_seq does not exist";
        raise(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, message, None)
    };
    sequence.must_be("S", "a sequence");
    let given = restricted_to(sequence.owner, || {
        statement::row("SELECT last_value FROM pgai.vectorizer_id_seq", &[], |row| {
            row.must::<i64>(1)
        })
    });
    if given.is_none_or(|last| i64::from(id) > last) {
        return false;
    }
    let ours = "SELECT setval('ai.vectorizer_id_seq', greatest($1, (SELECT last_value FROM ai.vectorizer_id_seq)))";
    acting_as_extension(|| statement::run(ours, &[i64::from(id).into()]));
    true
}

/// Owners are compared: a superuser is a member of every role, and so is more that belongs to the role's members.
pub fn must_belong<'a>(source: &CatalogObject, objects: impl Iterator<Item = &'a CatalogObject>) {
    let others: Vec<&CatalogObject> = objects.filter(|object| object.owner != source.owner).collect();
    let Some(first) = others.first() else { return };
    let gifts: Vec<String> = others.iter().map(|object| object.gift(source)).collect();
    let message = format!(
        "{} belongs to {}, who does not own {}. If it is of this vectorizer: {}",
        first.name,
        first.owner_name,
        source.name,
        gifts.join("; ")
    );
    raise(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message, None)
}

pub fn must_look_like_a_queue(queue: &CatalogObject) {
    let sql = include_str!("../../sql/query/adoption/pgai_queue.sql");
    if statement::row(sql, &[queue.oid.into()], |row| row.must::<bool>(1)) != Some(true) {
        let message = format!("{} is no queue of pgai", queue.name);
        raise(PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE, message, None);
    }
}

/// Moves what pgai called its queues between the two schemas that were one.
///
/// What goes along has names that the owner may have chosen: one could be in the way there, or be that of what the
/// extension is to make. It gets another, which cannot be guessed.
pub fn move_queues(id: i32, from: &str, to: &str) {
    let sql = include_str!("../../sql/query/adoption/pgai_queues.sql");
    let queues = statement::rows(sql, &[id.into(), from.into(), to.into()], |row| {
        (
            row.must::<Oid>("oid"),
            row.must::<String>("name"),
            row.must::<String>("table_name"),
        )
    });
    for (oid, queue, table) in queues {
        // SAFETY: as in Object::relation.
        unsafe { pg_sys::LockRelationOid(oid, pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE) };
        let sql = include_str!("../../sql/query/adoption/queue_parts.sql");
        let parts = || {
            statement::rows(sql, &[oid.into(), to.into()], |row| {
                let renaming = format!(
                    "ALTER {} {} RENAME TO",
                    row.must::<String>("kind"),
                    row.must::<String>("name")
                );
                (row.must::<Oid>("oid"), renaming, row.must::<bool>("may_go"))
            })
        };
        for (part, _, _) in parts() {
            // An index is renamed without a lock on its table.
            // SAFETY: as above.
            unsafe { pg_sys::LockRelationOid(part, pg_sys::ShareUpdateExclusiveLock as pg_sys::LOCKMODE) };
        }
        for (_, renaming, may_go) in parts() {
            if !may_go {
                let name = format!("{table}_{}", rand::random::<u64>());
                statement::run(&format!("{renaming} {name}"), &[]);
            }
        }
        statement::run(&format!("ALTER TABLE {queue} SET SCHEMA {to}"), &[]);
    }
}

/// What pgai has made for a vectorizer beside its destination: the function of its triggers, the
/// queue, and the queue of what failed.
pub struct PgaiParts {
    pub function: CatalogObject,
    pub queue: CatalogObject,
    pub failed: Option<CatalogObject>,
}

impl PgaiParts {
    /// # Errors
    /// Raised where one of the queues is none.
    pub fn looked_at(function: CatalogObject, queue: CatalogObject, failed: Option<CatalogObject>) -> PgaiParts {
        for queue in [Some(&queue), failed.as_ref()].into_iter().flatten() {
            queue.must_be("r", "a table");
            must_look_like_a_queue(queue);
        }
        PgaiParts {
            function,
            queue,
            failed,
        }
    }
}
