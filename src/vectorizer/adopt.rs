//! Vectorizers that pgai made go on here, with the embeddings that are there, and back: the work of
//! `docs/adopt-pgai.sql` and `docs/return-to-pgai.sql`.
//!
//! A superuser runs these scripts on tables, rows and functions that others wrote. So what a row of pgai's
//! catalogue names counts only where it belongs to the owner of the source table: owners are compared, never
//! memberships, which a superuser has of every role. What is named is locked before it is looked at. Each
//! statement on it runs as its owner, who can leave nothing behind in the session. No text of pgai's
//! functions is run: they are moved, and triggers are taken from them and put back.

use pgrx::iter::TableIterator;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use serde_json::Value;

use super::{create, drop};
use crate::postgres::error::{invalid, raise};
use crate::postgres::json::JsonB;
use crate::postgres::key::{In, PrimaryKey};
use crate::postgres::relation::name_of;
use crate::postgres::statement::{self, fill, identifier, qualified};
use crate::postgres::transaction::{acting_as, acting_as_extension, restricted_to};
use crate::store::queue;
use crate::{catalog, intake};

/// Where the scripts keep pgai's schema.
const PGAI: &str = "pgai";

/// A relation or a function, as the catalogue has it at this moment.
struct Object {
    oid: Oid,
    /// Quoted, with its schema.
    name: String,
    schema: String,
    owner: Oid,
    owner_name: String,
    /// `relkind`; `f` stands for a function.
    kind: String,
}

impl Object {
    /// Locked, so that it stays what it is until the transaction ends.
    fn relation(schema: &str, name: &str) -> Option<Object> {
        let find = || {
            let sql = include_str!("../../sql/query/adoption/adopted_relation.sql");
            statement::row(sql, &[schema.into(), name.into()], Object::read)
        };
        let seen = find()?;
        // SAFETY: on the main thread, in a transaction, which gives the lock back.
        unsafe { pg_sys::LockRelationOid(seen.oid, pg_sys::AccessShareLock as pg_sys::LOCKMODE) };
        find().filter(|locked| locked.oid == seen.oid)
    }

    fn read(row: &statement::Row) -> Object {
        Object {
            oid: row.must("oid"),
            name: row.must("name"),
            schema: row.must("schema"),
            owner: row.must("owner"),
            owner_name: row.must("owner_name"),
            kind: row.must("kind"),
        }
    }

    /// What has to be said to give it to the owner of `source`.
    fn gift(&self, source: &Object) -> String {
        let kind = match self.kind.as_str() {
            "v" => "VIEW",
            "f" => "FUNCTION",
            _ => "TABLE",
        };
        format!("ALTER {kind} {} OWNER TO {}", self.name, source.owner_name)
    }

    /// Whoever has TRIGGER on a table has code of its own run as the role that writes to it. Nobody puts a
    /// trigger on it from here on.
    ///
    /// # Errors
    /// Raised where such a trigger may be on it.
    fn must_have_no_foreign_triggers(&self) {
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
    fn must_be(&self, kind: &str, called: &str) {
        if self.kind != kind {
            let message = format!("{} is not {called}", self.name);
            raise(PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE, message, None);
        }
    }
}

/// Gives the owner of the source CREATE on pgai's schema while `work` moves what is the owner's into it or out of it.
fn with_create_on_pgai<T>(source: &Object, work: impl FnOnce() -> T) -> T {
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
fn let_use_pgai(source: &Object) {
    statement::run(&format!("GRANT USAGE ON SCHEMA {PGAI} TO {}", source.owner_name), &[]);
}

/// Reads pgai's catalogue as its owner, who may have made something else of it.
fn read_catalogue<T>(
    sql: &str,
    arguments: &[pgrx::datum::DatumWithOid],
    read: impl FnMut(&statement::Row) -> T,
) -> Vec<T> {
    must_be_superuser();
    let catalogue = catalogue();
    restricted_to(catalogue.owner, || statement::rows(sql, arguments, read))
}

fn catalogue() -> Object {
    let Some(catalogue) = Object::relation(PGAI, "vectorizer") else {
        let message = "there is no schema pgai of docs/adopt-pgai.sql";
        raise(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message, None)
    };
    catalogue.must_be("r", "a table");
    catalogue
}

fn must_be_superuser() {
    // SAFETY: a look at the role of the session.
    if !unsafe { pg_sys::superuser() } {
        let message = "only a superuser may adopt vectorizers";
        raise(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message, None);
    }
}

/// A row of pgai's catalogue. Others than owners may write to it.
struct Row {
    id: i32,
    name: String,
    source_schema: String,
    source_table: String,
    trigger: String,
    /// Where the queue is now.
    queue_schema: String,
    queue_table: String,
    failed_table: String,
    config: Value,
    disabled: bool,
}

impl Row {
    fn of(id: i32) -> Row {
        let sql = include_str!("../../sql/query/adoption/pgai_vectorizer.sql");
        let row = read_catalogue(sql, &[id.into()], |row| {
            Some(Row {
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
    fn is_in_pgai(&self) -> bool {
        self.queue_schema == "ai"
    }

    /// How the queue is called here: in the schema of the extension all have the names that it gives.
    fn queue_here(&self) -> String {
        if self.is_in_pgai() {
            kept_queue(self.id)
        } else {
            self.queue_table.clone()
        }
    }

    fn schema_now(&self) -> &str {
        if self.is_in_pgai() { PGAI } else { &self.queue_schema }
    }

    fn source(&self) -> Object {
        let Some(source) = Object::relation(&self.source_schema, &self.source_table) else {
            let message = format!("the table {}.{} does not exist", self.source_schema, self.source_table);
            raise(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message, None)
        };
        source
    }
}

/// The vectorizers of pgai, with their names.
#[pg_extern(sql = false)]
fn pgai_vectorizers() -> TableIterator<'static, (name!(id, i32), name!(name, Option<String>))> {
    catalog::must_fit();
    let sql = include_str!("../../sql/query/adoption/pgai_vectorizers.sql");
    let rows = read_catalogue(sql, &[], |row| Some((row.get::<i32>(1)?, row.get::<String>(2))));
    TableIterator::new(rows.into_iter().flatten().collect::<Vec<_>>())
}

/// Adopts one, without embedding anything again. The answer is what of its configuration is for superusers to
/// choose: with pgai anybody may say where which key of the server is sent. A vectorizer that says so is
/// disabled, until one of them enables it.
#[pg_extern(sql = false)]
fn adopt_vectorizer(vectorizer_id: i32) -> Option<String> {
    catalog::must_fit();
    let row = Row::of(vectorizer_id);
    must_be_given_out(vectorizer_id);
    if row.is_in_pgai() {
        // It stayed with pgai until now.
        move_queues(vectorizer_id, "ai", PGAI);
    }
    let source = row.source();
    // Waits for those who write to it; writers that come later fire our triggers.
    // SAFETY: as in Object::relation.
    unsafe { pg_sys::LockRelationOid(source.oid, pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE) };
    let function = trigger_function(&row, &source);
    let Some(old_queue) = Object::relation(row.schema_now(), &row.queue_table) else {
        let message = format!("the queue {}.{} does not exist", row.schema_now(), row.queue_table);
        raise(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message, None)
    };
    let old_failed = Object::relation(row.schema_now(), &row.failed_table);
    for queue in [Some(&old_queue), old_failed.as_ref()].into_iter().flatten() {
        queue.must_be("r", "a table");
        must_look_like_a_queue(queue);
    }
    let destination = destination(&row);
    let theirs = [Some(&function), Some(&old_queue), old_failed.as_ref()];
    must_belong(&source, theirs.into_iter().flatten().chain(&destination));

    restricted_to(source.owner, || {
        let on = &source.name;
        for sql in [
            format!("DROP TRIGGER {} ON {on}", identifier(&row.trigger)),
            format!(
                "DROP TRIGGER IF EXISTS {} ON {on}",
                identifier(&format!("{}_truncate", row.trigger))
            ),
        ] {
            statement::run(&sql, &[]);
        }
    });
    // Our queue is called as pgai's was, which makes room for it. The numbers make the names unique.
    let old = |name: String| qualified(PGAI, &name);
    let (queue_there, failed_there) = (old(kept_queue(vectorizer_id)), old(row.failed_table.clone()));
    let is_renamed = row.queue_table != kept_queue(vectorizer_id);
    if !row.is_in_pgai() || is_renamed {
        with_create_on_pgai(&source, || {
            restricted_to(source.owner, || {
                if !row.is_in_pgai() {
                    statement::run(&format!("ALTER FUNCTION {} SET SCHEMA {PGAI}", function.name), &[]);
                    statement::run(&format!("ALTER TABLE {} SET SCHEMA {PGAI}", old_queue.name), &[]);
                }
                if is_renamed {
                    let (moved, name) = (
                        qualified(PGAI, &row.queue_table),
                        identifier(&kept_queue(vectorizer_id)),
                    );
                    statement::run(&format!("ALTER TABLE {moved} RENAME TO {name}"), &[]);
                }
                if let Some(failed) = old_failed.as_ref().filter(|_| !row.is_in_pgai()) {
                    statement::run(&format!("ALTER TABLE {} SET SCHEMA {PGAI}", failed.name), &[]);
                }
            });
        });
    }
    make(&row, &source);
    carry(
        &row,
        &source,
        &queue_there,
        old_failed.is_some().then_some(failed_there.as_str()),
    );
    grant_again(vectorizer_id, &source, &old_queue, old_failed.as_ref());
    delete_job(&row, &source);

    // All of them: the superuser who enables it answers for each.
    let chosen = chosen(&row.config);
    let chosen = (!chosen.is_empty()).then(|| chosen.join(", "));
    let sql = include_str!("../../sql/query/adoption/hold_back.sql");
    let disabled = row.disabled || chosen.is_some();
    acting_as_extension(|| statement::run(sql, &[vectorizer_id.into(), disabled.into(), chosen.as_deref().into()]));
    chosen
}

/// How the queue of a vectorizer is called in pgai's schema while the vectorizer is ours. The number alone
/// names it: the way back does not ask the row of pgai's catalogue, which others may have changed since.
fn kept_queue(id: i32) -> String {
    format!("_vectorizer_q_{id}")
}

fn failed_queue(id: i32) -> String {
    format!("_vectorizer_q_failed_{id}")
}

/// An id that nobody was given would use up all those below it.
fn must_be_given_out(id: i32) {
    if !is_given_out(id) {
        invalid(format!("pgai has given no vectorizer the id {id} yet"));
    }
}

/// Also sees to it that we give it to no other.
fn is_given_out(id: i32) -> bool {
    let Some(sequence) = Object::relation(PGAI, "vectorizer_id_seq") else {
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

/// pgai's function on the source.
fn trigger_function(row: &Row, source: &Object) -> Object {
    let sql = include_str!("../../sql/query/adoption/pgai_trigger.sql");
    let function = statement::row(sql, &[source.oid.into(), row.trigger.as_str().into()], Object::read);
    let Some(function) = function else {
        let message = format!(
            "pgai's trigger {} on {} is gone, so that changes may have been missed",
            row.trigger, source.name
        );
        raise(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, message, None)
    };
    let place = row.schema_now();
    if function.schema != place && function.schema != PGAI {
        let message = format!("the function {} is not in {place}, where pgai made it", function.name);
        raise(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, message, None)
    }
    function
}

/// The table of chunks and the view; none where the vectors are in the source.
fn destination(row: &Row) -> Vec<Object> {
    let section = &row.config["destination"];
    if section["implementation"] != "table" {
        return Vec::new();
    }
    let named = |schema: &str, name: &str, kind: &str, called: &str| {
        let text = |key: &str| section[key].as_str().unwrap_or_default();
        let Some(found) = Object::relation(text(schema), text(name)) else {
            let message = format!("the relation {} does not exist", qualified(text(schema), text(name)));
            raise(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message, None)
        };
        found.must_be(kind, called);
        found
    };
    vec![
        named("target_schema", "target_table", "r", "a table"),
        named("view_schema", "view_name", "v", "a view"),
    ]
}

/// Owners are compared: a superuser is a member of every role, and so is more that belongs to the role's members.
fn must_belong<'a>(source: &Object, objects: impl Iterator<Item = &'a Object>) {
    let others: Vec<&Object> = objects.filter(|object| object.owner != source.owner).collect();
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

fn must_look_like_a_queue(queue: &Object) {
    let sql = include_str!("../../sql/query/adoption/pgai_queue.sql");
    if statement::row(sql, &[queue.oid.into()], |row| row.must::<bool>(1)) != Some(true) {
        let message = format!("{} is no queue of pgai", queue.name);
        raise(PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE, message, None);
    }
}

/// Makes the vectorizer with the privileges of its owner, and no others: also the names of what is new are
/// those of a row.
fn make(row: &Row, source: &Object) {
    let mut config = row.config.clone();
    // Without TimescaleDB pgai writes down no schedule, and its worker does the work all the same. Here that
    // is called the default; no schedule means no work.
    let scheduling = match config["scheduling"]["implementation"].as_str() {
        Some("none") => statement::row("SELECT ai.scheduling_default()", &[], |row| row.must::<JsonB>(1).0),
        _ => config["scheduling"].as_object_mut().map(|scheduling| {
            scheduling.remove("job_id");
            Value::Object(scheduling.clone())
        }),
    };
    let section = |kind: &str| config.get(kind).map(|section| JsonB(section.clone()));
    restricted_to(source.owner, || {
        create::create(
            Some(source.oid),
            Some(row.name.clone()),
            section("destination"),
            section("loading"),
            section("parsing"),
            section("embedding"),
            section("chunking"),
            section("indexing"),
            section("formatting"),
            scheduling.map(JsonB),
            section("processing"),
            Some(row.queue_schema.clone()),
            Some(row.queue_here()),
            None,
            Some(false),
            Some(false),
            Some(row.id),
        );
    });
}

/// What waited in pgai's queues waits in ours: types of the owner's key, and casts of what was made of pgai's
/// queue, run on the way.
fn carry(row: &Row, source: &Object, old_queue: &str, old_failed: Option<&str>) {
    let (_, key) = create::primary_key(source.oid);
    let (pk, old_pk) = (key.list("", In::Queue), key.list("o.", In::Target));
    let queue = qualified(&row.queue_schema, &row.queue_here());
    let failed = qualified(&row.queue_schema, &format!("_vectorizer_q_failed_{}", row.id));
    let_use_pgai(source);
    let copy = |template: &str, old: &str| {
        let values = [
            ("queue", queue.as_str()),
            ("failed", &failed),
            ("old_queue", old),
            ("old_failed", old),
            ("pk", &pk),
            ("old_pk", &old_pk),
        ];
        acting_as(source.owner, || statement::run(&fill(template, &values), &[]));
    };
    copy(include_str!("../../sql/query/adoption/adopt_queue.sql"), old_queue);
    if let Some(old_failed) = old_failed {
        copy(include_str!("../../sql/query/adoption/adopt_failed.sql"), old_failed);
    }
}

/// What was granted on pgai's queues is granted on ours.
fn grant_again(id: i32, source: &Object, old_queue: &Object, old_failed: Option<&Object>) {
    let sql = include_str!("../../sql/query/adoption/grants_of_queue.sql");
    let failed = old_failed.map(|failed| failed.oid);
    let arguments = [id.into(), old_queue.oid.into(), failed.into()];
    let grants = statement::rows(sql, &arguments, |row| row.must::<String>(1));
    restricted_to(source.owner, || {
        for grant in &grants {
            statement::run(grant, &[]);
        }
    });
}

/// Deletes TimescaleDB's job of a vectorizer, as far as its owner may.
fn delete_job(row: &Row, source: &Object) {
    let Some(job) = row.config["scheduling"]["job_id"].as_i64() else {
        return;
    };
    let schema = "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                  WHERE e.extname = 'timescaledb'";
    if let Some(schema) = statement::row(schema, &[], |row| row.must::<String>(1)) {
        let sql = fill(
            include_str!("../../sql/query/adoption/delete_job.sql"),
            &[("schema", &schema)],
        );
        let arguments = [job.into(), row.id.into()];
        restricted_to(source.owner, || statement::run(&sql, &arguments));
    }
}

/// What a row says of where documents and keys go. pgai knows no foreign servers: a row that names one was
/// changed since, by a role that may not be the owner of the documents.
fn chosen(config: &Value) -> Vec<String> {
    let keys = create::reaches_out(&config["loading"], &config["embedding"]);
    let values = keys.into_iter().map(|key| format!("{key} {}", value_of(config, key)));
    let servers = ["embedding", "loading"].into_iter().filter_map(|section| {
        let server = config[section]["server"].as_str()?;
        Some(format!("the foreign server {server} for {section}"))
    });
    values.chain(servers).collect()
}

/// What a configuration says under `key`, for people.
fn value_of(config: &Value, key: &str) -> String {
    let sections = [&config["embedding"], &config["loading"]];
    let value = sections.into_iter().find_map(|section| section.get(key));
    value.map_or_else(String::new, |value| {
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    })
}

/// Lets a vectorizer that stays with pgai go on filling its queue: its trigger knows the queue in the schema
/// ai, where it was, and is brought back.
#[pg_extern(sql = false)]
fn leave_vectorizer(vectorizer_id: i32) {
    must_be_superuser();
    // A queue of another number would be in the way of a vectorizer to come.
    if is_given_out(vectorizer_id) {
        move_queues(vectorizer_id, PGAI, "ai");
    }
}

/// Moves what pgai called its queues between the two schemas that were one.
///
/// What goes along has names that the owner may have chosen: one could be in the way there, or be that of what the
/// extension is to make. It gets another, which cannot be guessed.
fn move_queues(id: i32, from: &str, to: &str) {
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

/// Gives a vectorizer back to pgai, with what waits; one that stayed there gets its queues back.
#[pg_extern(sql = false)]
fn return_vectorizer(vectorizer_id: i32) {
    must_be_superuser();
    let Some(ours) = catalog::definition(vectorizer_id) else {
        // Whatever its row says by now.
        move_queues(vectorizer_id, "ai", PGAI);
        return;
    };
    let (source, is_disabled, source_pk) = (ours.source, ours.disabled, ours.source_pk);
    let Some((queue_schema, queue)) = name_of(ours.queue) else {
        drop::missing(&vectorizer_id.to_string())
    };
    let queue = qualified(&queue_schema, &queue);
    let row = Row::of(vectorizer_id);
    // Nobody writes to the source from here on, so that nothing is missed between our triggers and pgai's.
    // SAFETY: as in Object::relation.
    unsafe { pg_sys::LockRelationOid(source, pg_sys::ShareRowExclusiveLock as pg_sys::LOCKMODE) };
    let by_oid = include_str!("../../sql/query/adoption/adopted_relation_by_oid.sql");
    let Some(source) = statement::row(by_oid, &[source.into()], Object::read) else {
        drop::missing(&vectorizer_id.to_string())
    };
    if row.queue_schema != queue_schema {
        let message = format!(
            "the queue of vectorizer {vectorizer_id} came from the schema {queue_schema}, and not from {}, as pgai's catalogue says now",
            row.queue_schema
        );
        raise(PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message, None)
    }
    let kept = kept_queue(vectorizer_id);
    let Some(old_queue) = Object::relation(PGAI, &kept) else {
        let message = format!("the queue {} does not exist", qualified(PGAI, &kept));
        raise(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message, None)
    };
    let old_failed = Object::relation(PGAI, &row.failed_table);
    for queue in [Some(&old_queue), old_failed.as_ref()].into_iter().flatten() {
        queue.must_be("r", "a table");
        must_look_like_a_queue(queue);
    }
    let function = include_str!("../../sql/query/adoption/pgai_function.sql");
    let Some(function) = statement::row(function, &[PGAI.into(), row.trigger.as_str().into()], Object::read) else {
        let message = format!("pgai's function {} is gone", qualified(PGAI, &row.trigger));
        raise(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, message, None)
    };
    must_belong(&source, [&function, &old_queue].into_iter());
    old_queue.must_have_no_foreign_triggers();
    let catalogue = catalogue();
    catalogue.must_have_no_foreign_triggers();

    let Some(key) = PrimaryKey::current(source.oid, &source_pk) else {
        let message = format!("{} has lost its primary key", source.name);
        raise(PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message, None)
    };
    intake::append_so_far();
    if let Some(Ok(vectorizer)) = acting_as_extension(|| catalog::vectorizer(vectorizer_id)) {
        restricted_to(source.owner, || queue::take_in_all(&vectorizer));
    }
    let values = [
        ("old_queue", old_queue.name.as_str()),
        ("queue", &queue),
        ("old_pk", &key.list("", In::Target)),
        ("pk", &key.list("", In::Queue)),
    ];
    acting_as(source.owner, || {
        statement::run(&format!("DELETE FROM ONLY {}", old_queue.name), &[]);
        statement::run(
            &fill(include_str!("../../sql/query/adoption/return_queue.sql"), &values),
            &[],
        );
    });
    let stopped = "UPDATE ONLY pgai.vectorizer p SET disabled = $2 WHERE p.id = $1";
    acting_as(catalogue.owner, || {
        statement::run(stopped, &[vectorizer_id.into(), is_disabled.into()])
    });
    restricted_to(source.owner, || drop::drop_vectorizer(vectorizer_id, false));
    give_back(&row, &source, &function, &old_queue, old_failed.as_ref());
}

/// pgai's objects go where they were, and its triggers are on the source again.
fn give_back(row: &Row, source: &Object, function: &Object, old_queue: &Object, old_failed: Option<&Object>) {
    let mut function_now = function.name.clone();
    let (kept, name) = (&old_queue.name, identifier(&row.queue_table));
    let is_renamed = kept_queue(row.id) != row.queue_table;
    if !row.is_in_pgai() || is_renamed {
        let schema = identifier(&row.queue_schema);
        with_create_on_pgai(source, || {
            restricted_to(source.owner, || {
                if is_renamed {
                    statement::run(&format!("ALTER TABLE {kept} RENAME TO {name}"), &[]);
                }
                if !row.is_in_pgai() {
                    let moved = qualified(PGAI, &row.queue_table);
                    statement::run(&format!("ALTER TABLE {moved} SET SCHEMA {schema}"), &[]);
                    if let Some(failed) = old_failed.filter(|failed| failed.owner == source.owner) {
                        statement::run(&format!("ALTER TABLE {} SET SCHEMA {schema}", failed.name), &[]);
                    }
                    statement::run(&format!("ALTER FUNCTION {} SET SCHEMA {schema}", function.name), &[]);
                }
            });
        });
        if !row.is_in_pgai() {
            function_now = format!("{schema}.{}()", identifier(&row.trigger));
        }
    }
    restricted_to(source.owner, || {
        let (on, name) = (&source.name, &row.trigger);
        let truncate = identifier(&format!("{name}_truncate"));
        let name = identifier(name);
        for sql in [
            format!(
                "CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {on} FOR EACH ROW EXECUTE FUNCTION {function_now}"
            ),
            format!(
                "CREATE TRIGGER {truncate} AFTER TRUNCATE ON {on} FOR EACH STATEMENT EXECUTE FUNCTION {function_now}"
            ),
        ] {
            statement::run(&sql, &[]);
        }
    });
}
