//! The triggers of a source follow what was altered: their functions are made anew, and so is what
//! else names the tables and columns of a vectorizer.

use std::time::Duration;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::altered;
use super::objects::create_missing_intake;
use super::partitions::Partitions;
use super::standing::stranger;
use super::triggers::{self, TriggerFunction, Watched, define};
use crate::catalog::extension::function_goes_with_extension;
use crate::catalog::{self, follow_names};
use crate::postgres::aborted::Aborted;
use crate::postgres::error::{is_lock_conflict, raise, sqlstate};
use crate::postgres::json::{JsonB, RawJson};
use crate::postgres::key::PrimaryKey;
use crate::postgres::regclass::RegClass;
use crate::postgres::statement;
use crate::postgres::transaction::{self, acting_as_extension};
use crate::store::memory;
use crate::{intake, shared_memory};

/// Makes a function anew if it is not as it should be. Its owner stays. Most changes of a table leave it as it is, and
/// take no lock here: tables of one vectorizer may be altered at the same time, as pg_restore does.
///
/// Known by name and made as the extension: what is there now must be what was there, and not another
/// function that got the name meanwhile, nor a new one, which would run as the extension.
fn make_anew(known: &KnownVectorizer, should_be: &str) -> bool {
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

/// What watches the source of a vectorizer; `None` when a part of the vectorizer is gone.
pub fn watched(vectorizer_id: i32) -> Option<Watched> {
    let known = KnownVectorizer::read(None, Some(vectorizer_id)).pop()?;
    Some(Watched {
        source: known.source,
        function: known.function,
        stem: known.trigger,
        partitioned: known.partitioned,
        follows_replication: known.follows_replication,
    })
}

/// A vectorizer as the catalogue knows it, by the names of now.
struct KnownVectorizer {
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

impl KnownVectorizer {
    /// Those of a source (`None`: of all), or the one of that id.
    fn read(source: Option<Oid>, id: Option<i32>) -> Vec<KnownVectorizer> {
        let sql = include_str!("../../sql/query/trigger/trigger_functions.sql");
        statement::rows(sql, &[source.into(), id.into()], |row| KnownVectorizer {
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
        triggers::replace_old(self.id, self.source, &self.trigger, &self.function, &old);
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
            // A role that drops a column of the key must still be able to write to the table.
            let body = include_str!("../../sql/query/trigger/idle_trigger_body.sql");
            acting_as_extension(|| _ = make_anew(self, body));
            return;
        };
        let made = || create_missing_intake(self.id, self.source, &self.queue_schema, &key);
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
        if !self.is_of_one_owner || stranger(self.id).is_some() || catalog::code_of_others(self.id).is_some() {
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
    for vectorizer in KnownVectorizer::read(source, vectorizer_id) {
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
        || stranger(vectorizer_id).is_some()
    {
        return;
    }
    for vectorizer in KnownVectorizer::read(None, Some(vectorizer_id)) {
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
fn forget_errors(vectorizer_id: i32, keys: Option<RawJson>) {
    let keys = keys.map(|RawJson(keys)| keys);
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
        if let Ok(Some(RegClass(source))) = row.get_by_name::<RegClass>("source") {
            intake::vectorizer_changed(source);
        }
    }
    Ok(None::<PgHeapTuple<'a, AllocatedByPostgres>>)
}
