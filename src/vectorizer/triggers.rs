//! The triggers on a source table, and the function that they call.
//!
//! The function names tables and columns, so it is made anew whenever one of them is renamed or the columns of the
//! source change: the catalogue knows them by number.

use std::time::Duration;

use pgrx::datum::{Datum, UnboxDatum};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::altered;
use super::handover;
use super::objects;
use super::partitions::Partitions;
use super::schedule;
use crate::catalog::extension::{function_goes_with_extension, trigger_goes_with_extension};
use crate::catalog::{self, follow_names};
use crate::postgres::error::{is_lock_conflict, raise, sqlstate};
use crate::postgres::json::{JsonB, Written};
use crate::postgres::key::{In, PrimaryKey};
use crate::postgres::statement::{self, fill, identifier};
use crate::postgres::transaction::{self, Aborted, acting_as_extension};
use crate::store::memory;
use crate::{intake, shared_memory};

/// What goes into a trigger function. Quoted names with schemas.
pub struct TriggerFunction<'a> {
    pub id: i32,
    pub function: &'a str,
    pub source: Oid,
    pub source_name: &'a str,
    pub queue: &'a str,
    pub failed: &'a str,
    pub intake: &'a str,
    /// `None`: the vectors go into a column of the source.
    pub target: Option<&'a str>,
    pub key: &'a PrimaryKey,
    pub partitioned: bool,
    /// Whether its constraint may be checked late.
    pub deferrable: bool,
    /// Columns of the source that hold vectors of ours: their changes are no news.
    pub embedding_columns: &'a [String],
}

impl TriggerFunction<'_> {
    fn body(&self) -> String {
        let row = self.fill(include_str!("../../sql/query/trigger/row_trigger_body.sql"), true, "");
        if self.partitioned {
            // A column of the source may be called found, or old.
            return format!("#variable_conflict use_column\n{row}");
        }
        self.fill(
            include_str!("../../sql/query/trigger/trigger_body.sql"),
            false,
            row.trim_end(),
        )
    }

    fn fill(&self, template: &str, is_by_row: bool, by_row: &str) -> String {
        let key = self.key;
        let (old, new) = if is_by_row { ("old", "new") } else { ("o", "n") };
        let (old, new, queued) = ((old, In::Source), (new, In::Source), ("q", In::Queue));
        let target_is_old = key.same(("t", In::Target), old);
        // Two rows may share a key of a deferrable constraint until it is checked: one of them may have left,
        // and the other may be the news.
        let is_filtered = |table: &str| format!("row_security_active({}::regclass)", statement::literal(table));
        let gone = if self.deferrable {
            let stays = key.same(("s", In::Source), old);
            format!(
                " AND NOT {} AND NOT EXISTS (SELECT FROM {} s WHERE {stays})",
                is_filtered(self.source_name),
                self.source_name
            )
        } else {
            String::new()
        };
        let remove_deleted = match (self.target, is_by_row) {
            (None, _) => String::new(),
            (Some(target), true) => format!("DELETE FROM {target} t WHERE {target_is_old}{gone};"),
            (Some(target), false) => format!("DELETE FROM {target} t USING old_rows o WHERE {target_is_old}{gone};"),
        };
        // Where a policy applies to the owner, it may hide what is to be removed: the worker clears that away
        // once it may.
        let filtered = [Some(self.source_name), self.target, Some(self.queue), Some(self.failed)];
        let filtered: Vec<String> = filtered.into_iter().flatten().map(is_filtered).collect();
        let emptied = [self.target, Some(self.queue), Some(self.failed), Some(self.intake)];
        let emptied: Vec<&str> = emptied.into_iter().flatten().collect();
        fill(
            template,
            &[
                ("by_row", by_row),
                ("id", &self.id.to_string()),
                ("emptied", &emptied.join(", ")),
                ("queue", self.queue),
                ("intake", self.intake),
                ("intake_literal", &statement::literal(self.intake)),
                ("queue_literal", &statement::literal(self.queue)),
                ("failed_literal", &statement::literal(self.failed)),
                (
                    "target_literal",
                    &self.target.map_or("NULL".to_owned(), statement::literal),
                ),
                ("source_literal", &statement::literal(self.source_name)),
                ("failed", self.failed),
                ("pk", &key.list("", In::Queue)),
                ("new_pk", &key.list(&format!("{}.", new.0), In::Source)),
                ("old_pk", &key.list(&format!("{}.", old.0), In::Source)),
                ("queue_is_old", &key.same(queued, old)),
                ("new_is_old", &key.same(new, old)),
                ("gone", &gone),
                ("filtered", &filtered.join(" OR ")),
                ("old_key", &format!("jsonb_build_object({})", key.labelled(old))),
                ("new_key", &format!("jsonb_build_object({})", key.labelled(new))),
                ("remove_deleted", &remove_deleted),
                // In a column the vector goes with its row: nothing was removed that could tell.
                (
                    "deleted_was_embedded",
                    if self.target.is_some() { "FOUND" } else { "true" },
                ),
                ("old_row", &self.row(old.0)),
                ("new_row", &self.row(new.0)),
            ],
        )
    }

    /// Makes the function. Never over one that is there already: it may be somebody else's.
    pub fn create(&self) {
        define("CREATE", self.function, &self.body());
    }

    /// The row that is compared: whole, or without the columns that hold our vectors.
    fn row(&self, alias: &str) -> String {
        if self.embedding_columns.is_empty() {
            return format!("{alias}.*");
        }
        let sql = include_str!("../../sql/query/source/source_columns.sql");
        let columns: Vec<String> = statement::rows(sql, &[self.source.into()], |row| row.must(1));
        let compared = columns.iter().filter(|name| !self.embedding_columns.contains(name));
        let compared: Vec<String> = compared.map(|name| format!("{alias}.{}", identifier(name))).collect();
        format!("ROW({})", compared.join(", "))
    }
}

/// The function itself, its body as a literal.
fn define(create: &str, function: &str, body: &str) {
    let body = statement::literal(body);
    let names = [("create", create), ("function", function), ("body", &body)];
    let sql = fill(
        include_str!("../../sql/query/trigger/create_trigger_function.sql"),
        &names,
    );
    statement::run(&sql, &[]);
}

/// Makes a function anew if it is not as it should be. Its owner stays. Most changes of a table leave it as it is, and
/// take no lock here: tables of one vectorizer may be altered at the same time, as pg_restore does.
///
/// Known by name and made as the extension: what is there now must be what was there, and not another
/// function that somebody gave the name to meanwhile, nor a new one, which would run as the extension.
fn make_anew(known: &Known, should_be: &str) -> bool {
    if known.body == should_be && known.is_as_made {
        return false;
    }
    define("CREATE OR REPLACE", &known.function, should_be);
    let sql = "SELECT p.oid, p.proowner FROM pg_proc p WHERE p.oid = to_regprocedure($1 || '()')";
    let made = statement::row(sql, &[known.function.as_str().into()], |row| {
        (row.must::<Oid>(1), row.must::<Oid>(2))
    });
    if made != Some((known.function_oid, known.function_owner)) {
        raise(
            PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
            format!("the function {} was replaced at the same time", known.function),
            Some("Try it again."),
        );
    }
    function_goes_with_extension(&known.function);
    true
}

/// A trigger of a source.
struct Trigger {
    /// What is behind the stem in its name.
    suffix: &'static str,
    event: &'static str,
    each: &'static str,
    /// It calls `ai._append_change`, and not the function of the vectorizer.
    appends: bool,
}

const PLAIN: [Trigger; 3] = [
    Trigger {
        suffix: "",
        event: "INSERT OR UPDATE",
        each: "FOR EACH ROW",
        appends: true,
    },
    Trigger {
        suffix: intake::BY_FUNCTION,
        event: "DELETE",
        each: "REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT",
        appends: false,
    },
    ON_TRUNCATE,
];
/// A trigger by statement of the parent does not see statements on its partitions.
const PARTITIONED: [Trigger; 2] = [
    Trigger {
        suffix: "",
        event: "INSERT OR UPDATE OR DELETE",
        each: "FOR EACH ROW",
        appends: false,
    },
    ON_TRUNCATE,
];
const ON_TRUNCATE: Trigger = Trigger {
    suffix: "_truncate",
    event: "TRUNCATE",
    each: "FOR EACH STATEMENT",
    appends: false,
};

fn kinds(partitioned: bool) -> &'static [Trigger] {
    if partitioned { &PARTITIONED } else { &PLAIN }
}

/// What is behind the stem in the names of the triggers of a source, and whether they call `ai._append_change`.
pub fn suffixes(partitioned: bool) -> impl Iterator<Item = (&'static str, bool)> {
    kinds(partitioned)
        .iter()
        .map(|trigger| (trigger.suffix, trigger.appends))
}

/// Puts the triggers on the source.
pub fn create(id: i32, source: &str, stem: &str, function: &str, partitioned: bool) {
    for trigger in kinds(partitioned) {
        create_one(trigger, id, source, stem, function);
    }
}

fn create_one(trigger: &Trigger, id: i32, source: &str, stem: &str, function: &str) {
    let name = identifier(&format!("{stem}{}", trigger.suffix));
    let (event, each) = (trigger.event, trigger.each);
    let call = if trigger.appends {
        format!("ai._append_change({id})")
    } else {
        format!("{function}()")
    };
    let sql = format!("CREATE TRIGGER {name} AFTER {event} ON {source} {each} EXECUTE FUNCTION {call}");
    statement::run(&sql, &[]);
}

/// The triggers go with the extension.
pub fn depend_on_extension(source: &str, stem: &str, partitioned: bool) {
    for trigger in kinds(partitioned) {
        trigger_goes_with_extension(source, &format!("{stem}{}", trigger.suffix));
    }
}

/// Suffix of the name of the trigger that only replicas fire.
pub const FOR_REPLICAS: &str = "_replica";

/// A source and what watches it. Quoted names with schemas.
pub struct Watched {
    pub source: Oid,
    pub function: String,
    /// Stem of the names of the triggers.
    pub stem: String,
    pub partitioned: bool,
    pub follows_replication: bool,
}

/// What watches the source of a vectorizer; `None` when a part of the vectorizer is gone.
pub fn watched(vectorizer_id: i32) -> Option<Watched> {
    let known = Known::read(None, Some(vectorizer_id)).pop()?;
    Some(Watched {
        source: known.source,
        function: known.function,
        stem: known.trigger,
        partitioned: known.partitioned,
        follows_replication: known.follows_replication,
    })
}

/// Puts the trigger on a source that fires for what logical replication applies, and for nothing else.
pub fn create_for_replicas(watched: &Watched) {
    let function = &watched.function;
    let plain = format!("{}{FOR_REPLICAS}", watched.stem);
    let name = identifier(&plain);
    let kind = "AFTER INSERT OR UPDATE OR DELETE";
    handover::altering(watched.source, |source| {
        for sql in [
            format!("CREATE TRIGGER {name} {kind} ON {source} FOR EACH ROW EXECUTE FUNCTION {function}()"),
            format!("ALTER TABLE {source} ENABLE REPLICA TRIGGER {name}"),
        ] {
            statement::run(&sql, &[]);
        }
        trigger_goes_with_extension(source, &plain);
    });
    // Also where the names were given back meanwhile.
    let sql = "SELECT 1 FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid \
               WHERE t.tgrelid = $1 AND t.tgname = $2::name AND t.tgenabled = 'R' AND p.proowner = c.relowner";
    let arguments = [watched.source.into(), format!("{}{FOR_REPLICAS}", watched.stem).into()];
    if statement::row(sql, &arguments, |_| ()).is_none() {
        handover::was_replaced("the function of the triggers, or their table,");
    }
}

/// A vectorizer as the catalogue knows it, by the names of now.
struct Known {
    id: i32,
    source: Oid,
    source_name: String,
    owner: Oid,
    queue: String,
    failed: String,
    /// `None`: made by version 0.1.0.
    intake: Option<String>,
    queue_schema: String,
    target: Option<String>,
    function: String,
    trigger: String,
    body: String,
    /// All but its body is as it was made.
    is_as_made: bool,
    function_oid: Oid,
    function_owner: Oid,
    /// Whatever is written to belongs to the owner of the source.
    is_of_one_owner: bool,
    source_pk: serde_json::Value,
    partitioned: bool,
    deferrable: bool,
    follows_replication: bool,
}

impl Known {
    /// Those of a source (`None`: of all), or the one of that id.
    fn read(source: Option<Oid>, id: Option<i32>) -> Vec<Known> {
        let sql = include_str!("../../sql/query/trigger/trigger_functions.sql");
        statement::rows(sql, &[source.into(), id.into()], |row| Known {
            id: row.must("id"),
            source: row.must("source"),
            source_name: row.must("source_name"),
            queue: row.must("queue_name"),
            failed: row.must("failed_name"),
            target: row.get("target_name"),
            function: row.must("function"),
            source_pk: row.must::<JsonB>("source_pk").0,
            partitioned: row.must("partitioned"),
            body: row.must("body"),
            deferrable: row.must("deferrable"),
            owner: row.must("owner"),
            trigger: row.must("trigger_name"),
            follows_replication: row.must("follows_replication"),
            function_owner: row.must("function_owner"),
            intake: row.get("intake_name"),
            is_as_made: row.get("is_as_made") == Some(true),
            function_oid: row.must("function_oid"),
            is_of_one_owner: row.must("is_of_one_owner"),
            queue_schema: row.must("queue_schema"),
        })
    }

    /// Refuses what a statement has made of its source.
    fn must_fit(&self) {
        altered::must_stay_alone(self.source);
        altered::must_keep_key(self.id, self.source, &self.source_name, &self.source_pk, &self.queue);
    }

    /// Version 0.1.0 had triggers by statement for what is new or has changed, which knew the rows from
    /// transition tables. A dump of it brings them one after the other: they are replaced when both are
    /// there.
    fn replace_old_triggers(&self) {
        let sql = include_str!("../../sql/query/trigger/old_triggers.sql");
        let old = statement::rows(sql, &[self.source.into(), self.id.into()], |row| {
            (row.must::<String>(1), row.must::<bool>(2))
        });
        if old.len() < 2 {
            return;
        }
        // That they are lost need not be told.
        statement::run("SET LOCAL client_min_messages = warning", &[]);
        handover::altering(self.source, |source| {
            for (trigger, _) in &old {
                statement::run(&format!("DROP TRIGGER {trigger} ON {source}"), &[]);
            }
            let trigger = &PLAIN[0];
            create_one(trigger, self.id, source, &self.trigger, &self.function);
            let name = format!("{}{}", self.trigger, trigger.suffix);
            trigger_goes_with_extension(source, &name);
            let name = identifier(&name);
            if old.iter().any(|(_, is_disabled)| *is_disabled) {
                statement::run(&format!("ALTER TABLE {source} DISABLE TRIGGER {name}"), &[]);
            }
        });
    }

    /// Makes the function anew, and follows partitions. Of one that `is_altered` itself it is told what does not fit.
    fn make_anew(&self, is_altered: bool, was_altered: bool, is_replaced: bool, rewritten: &[Oid]) {
        if is_altered {
            acting_as_extension(|| {
                self.must_fit();
                catalog::warn_if_filtered(self.id);
            });
        }
        let Some(key) = PrimaryKey::current(self.source, &self.source_pk) else {
            // Whoever drops a column of the key must still be able to write to the table.
            let body = include_str!("../../sql/query/trigger/idle_trigger_body.sql");
            acting_as_extension(|| _ = make_anew(self, body));
            return;
        };
        let made = || objects::create_missing_intake(self.id, self.source, &self.queue_schema, &key);
        let intake = self.intake.clone().unwrap_or_else(made);
        let function = TriggerFunction {
            id: self.id,
            function: &self.function,
            source: self.source,
            source_name: &self.source_name,
            queue: &self.queue,
            failed: &self.failed,
            intake: &intake,
            target: self.target.as_deref(),
            key: &key,
            partitioned: self.partitioned,
            deferrable: self.deferrable,
            embedding_columns: &catalog::embedding_columns(self.source),
        };
        acting_as_extension(|| {
            let is_another = make_anew(self, &function.body());
            self.replace_old_triggers();
            // Whatever stood in the way may be mended; not where something else was altered, which may be another's.
            if is_another || was_altered {
                catalog::mended(self.id);
                shared_memory::mended_at_commit(self.id);
            }
        });
        let has_other_texts = is_replaced || altered::has_other_texts(self.id, rewritten);
        if !self.partitioned && !has_other_texts {
            return;
        }
        // Nothing is done as the owner of the source on what is another's, nor with code of others, nor as one that
        // has come unseen; the worker says so.
        if !self.is_of_one_owner || schedule::stranger(self.id).is_some() || catalog::code_of_others(self.id).is_some()
        {
            return;
        }
        let partitions = self.partitions(&key, &intake);
        if self.partitioned {
            partitions.follow(true);
        }
        if has_other_texts {
            partitions.enqueue_all();
        }
    }

    fn partitions<'a>(&'a self, key: &'a PrimaryKey, intake: &'a str) -> Partitions<'a> {
        Partitions {
            id: self.id,
            source: self.source,
            source_name: &self.source_name,
            owner: self.owner,
            queue: &self.queue,
            failed: &self.failed,
            intake,
            target: self.target.as_deref(),
            function: &self.function,
            trigger: &self.trigger,
            key,
        }
    }
}

/// Makes the trigger functions of a source anew, after a rename or a change of columns.
pub fn refresh(source: Oid) {
    make_all_anew(Some(source), None, &[]);
}

/// Makes the trigger functions of a source, of a vectorizer, or of all anew. Where one was named, it was
/// altered, by a statement that has written the tables `rewritten` anew.
fn make_all_anew(source: Option<Oid>, vectorizer_id: Option<i32>, rewritten: &[Oid]) {
    let was_altered = source.is_some() || vectorizer_id.is_some();
    let altered = vectorizer_id.map(|id| [id]);
    let replaced = acting_as_extension(|| follow_names(altered.as_ref().map(<[i32; 1]>::as_slice), vectorizer_id));
    let mut wait = FOR_ALL;
    for vectorizer in Known::read(source, vectorizer_id) {
        let is_replaced = replaced.contains(&vectorizer.id);
        let make = || vectorizer.make_anew(vectorizer_id.is_some(), was_altered, is_replaced, rewritten);
        if was_altered {
            make();
        } else if let Err(aborted) = transaction::attempt(wait, make) {
            leave_for_later(vectorizer.id, &aborted);
            wait = AFTER_A_LOCK;
        }
    }
}

/// How long a statement that concerns all vectorizers waits for the lock of one, and how long after it has
/// waited in vain.
const FOR_ALL: Duration = Duration::from_millis(200);
const AFTER_A_LOCK: Duration = Duration::from_millis(5);

/// What concerned all is done for all but this one, and fails for nobody: the worker does it.
fn leave_for_later(vectorizer_id: i32, aborted: &Aborted) {
    shared_memory::left_at_commit(vectorizer_id);
    if is_lock_conflict(aborted) {
        notice!("vectorizer {vectorizer_id} is locked by another transaction: its triggers follow later");
        return;
    }
    // What an owner's code has raised is its own.
    let message = format!("the triggers of vectorizer {vectorizer_id} cannot follow what was altered");
    ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "ai")
        .set_detail(format!("SQLSTATE {}", sqlstate(aborted.code)))
        .set_hint("The worker tries it again. Where it does not succeed, drop the vectorizer, and make it anew.")
        .report(PgLogLevel::WARNING);
}

/// Does for a vectorizer that has a new owner what was not done while it stood still: partitions may have
/// come, and gone.
pub(super) fn catch_up(vectorizer_id: i32) {
    acting_as_extension(|| make_all_anew(None, Some(vectorizer_id), &[]));
    prune_vectorizer(vectorizer_id);
}

/// For the triggers: a part of the source was emptied, or has left. Only for the owner of the vectorizer.
///
/// What is removed may be newer than the view of the transaction, and so may the vectorizer.
#[pg_extern(sql = false)]
pub(super) fn prune_vectorizer(vectorizer_id: i32) {
    statement::on_latest(|| prune(vectorizer_id));
}

fn prune(vectorizer_id: i32) {
    let owns = include_str!("../../sql/query/vectorizer/owns_vectorizer.sql");
    if statement::row(owns, &[vectorizer_id.into()], |row| row.get::<bool>(1)).flatten() != Some(true)
        || schedule::stranger(vectorizer_id).is_some()
    {
        return;
    }
    for vectorizer in Known::read(None, Some(vectorizer_id)) {
        if !vectorizer.is_of_one_owner || catalog::code_of_others(vectorizer.id).is_some() {
            continue;
        }
        if let Some(key) = PrimaryKey::current(vectorizer.source, &vectorizer.source_pk) {
            // One of version 0.1.0 has no intake yet, which its triggers could have written to.
            let intake = vectorizer.intake.as_deref().unwrap_or(&vectorizer.queue);
            vectorizer.partitions(&key, intake).prune();
        }
    }
}

/// For the triggers: the documents with these primary keys (`None`: all) are gone, and with them what was noted about
/// them. Only for the owner of the vectorizer, as whom its triggers run.
#[pg_extern(sql = false)]
fn forget_errors(vectorizer_id: i32, keys: Option<Written>) {
    let keys = keys.map(|Written(keys)| keys);
    let owns = include_str!("../../sql/query/vectorizer/owns_vectorizer.sql");
    if statement::row(owns, &[vectorizer_id.into()], |row| row.get::<bool>(1)).flatten() == Some(true) {
        let sql = include_str!("../../sql/query/pause/forget_errors.sql");
        acting_as_extension(|| statement::run(sql, &[vectorizer_id.into(), keys.into()]));
    }
}

/// For the triggers: what was remembered of the documents with these primary keys (`None`: of all) is
/// forgotten. Only for the owner of the vectorizer, as whom its triggers run.
#[pg_extern(sql = false)]
fn forget_documents(vectorizer_id: i32, keys: Option<Vec<String>>) {
    let owns = include_str!("../../sql/query/vectorizer/owns_vectorizer.sql");
    if statement::row(owns, &[vectorizer_id.into()], |row| row.get::<bool>(1)).flatten() == Some(true) {
        acting_as_extension(|| match keys {
            Some(keys) => memory::forget_documents(vectorizer_id, &keys),
            None => memory::forget_all_documents(vectorizer_id),
        });
    }
}

/// For the event trigger, when a schema was altered, and for the scripts that update the extension.
#[pg_extern(sql = false)]
pub(super) fn refresh_triggers() {
    catalog::must_fit();
    // The functions are the vectorizers': a script may not touch what is not the extension's, and would take
    // what is new.
    let _script = OutsideScript::leave();
    make_all_anew(None, None, &[]);
    shared_memory::catalogue_changed_at_commit();
}

/// For the worker: what a statement that concerned all has left for later.
pub fn follow_left(vectorizer_id: i32) {
    follow_alteration(vectorizer_id, &[]);
}

/// For a vectorizer of which a table, a view, a trigger or a function was altered.
#[pg_extern(sql = false)]
fn refresh_vectorizer(vectorizer_id: i32) {
    follow_alteration(vectorizer_id, &[]);
}

/// The same for the event trigger, after a statement that has written the tables `rewritten` anew.
pub(super) fn follow_alteration(vectorizer_id: i32, rewritten: &[Oid]) {
    catalog::must_fit();
    let _script = OutsideScript::leave();
    make_all_anew(None, Some(vectorizer_id), rewritten);
    shared_memory::vectorizer_changed_at_commit(vectorizer_id);
}

/// What is made while this lives is no member of the extension, also in a script of CREATE or ALTER EXTENSION.
struct OutsideScript {
    in_script: bool,
}

impl OutsideScript {
    fn leave() -> OutsideScript {
        // SAFETY: a plain flag of the backend, on its only thread. Drop restores it; where the script fails, Postgres
        // clears it by itself.
        let in_script = unsafe { std::ptr::replace(&raw mut pg_sys::creating_extension, false) };
        OutsideScript { in_script }
    }
}

impl Drop for OutsideScript {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { pg_sys::creating_extension = self.in_script };
    }
}

/// A value of the type regclass.
struct Relation(Oid);

impl FromDatum for Relation {
    unsafe fn from_polymorphic_datum(value: pg_sys::Datum, is_null: bool, type_: Oid) -> Option<Relation> {
        // SAFETY: by the caller. The two types are stored alike.
        unsafe { Oid::from_polymorphic_datum(value, is_null, type_) }.map(Relation)
    }
}

impl IntoDatum for Relation {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        self.0.into_datum()
    }

    fn type_oid() -> Oid {
        pg_sys::REGCLASSOID
    }
}

// SAFETY: stored as a number of an object is.
unsafe impl UnboxDatum for Relation {
    type As<'src> = Relation;

    unsafe fn unbox<'src>(value: Datum<'src>) -> Relation
    where
        Self: 'src,
    {
        // SAFETY: by the caller.
        Relation(unsafe { Oid::unbox(value) })
    }
}

/// For the trigger on the catalogue, of a row that was written.
#[pg_trigger(sql = false)]
fn catalogue_changed<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, impl WhoAllocated>>, std::convert::Infallible> {
    for row in [trigger.old(), trigger.new()].into_iter().flatten() {
        match row.get_by_name::<i32>("id") {
            Ok(Some(id)) => shared_memory::vectorizer_changed_at_commit(id),
            _ => shared_memory::catalogue_changed_at_commit(),
        }
        if let Ok(Some(Relation(source))) = row.get_by_name::<Relation>("source") {
            intake::vectorizer_changed(source);
        }
    }
    Ok(None::<PgHeapTuple<'a, AllocatedByPostgres>>)
}
