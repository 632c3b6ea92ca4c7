//! The extension's own tables: which vectorizers there are, what ails them, and what failed.

mod clearance;
mod condition;
mod definition;
mod destination;
pub mod extension;
mod failures;
mod index;
mod names;
mod others;
mod policies;
mod schedule;
mod schema;
mod shape;
mod size;
mod statements;
mod stranger;
mod triggers;

use std::time::Duration;

use ai_pipeline::config::{Config, Destination, Formatting, Scheduling};
use ai_pipeline::cut::Cutting;
use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::format::Template;
use ai_pipeline::memory::Basis;
use ai_pipeline::schedule::Schedule;
use litemap::LiteMap;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use serde_json::Value;

pub use clearance::tell_of_stranger;
pub use definition::definition;
pub use destination::{column_writer, embedding_column, embedding_columns};
pub use failures::{
    end_waits, failures, forgive, has_failed_for, mended, note_cut, pause, record_error, record_quarantined, resume,
};
pub use index::{VectorIndex, name as index_name};
pub use names::follow_names;
pub use others::{CodeOfOthers, acting_for};
pub use policies::{filtered, warn_if_filtered};
pub use schedule::{check_schedule, finish_run};
pub use shape::check as check_shape;
pub use statements::{DestinationStatements, Statements, Tables};

use self::condition::{Condition, conditions};
use self::definition::Definition;
use self::index::DestinationNames;
use self::shape::Shape;
use self::statements::TableNames;
use self::stranger::stranger;
use self::triggers::{Triggers, triggers_called};
use crate::access::server::{self, Seen, VectorizerServers};
use crate::postgres::aborted::Aborted;
use crate::postgres::error::raise;
use crate::postgres::key::PrimaryKey;
use crate::postgres::relation::{Relation, name_of, owner_of, role_name};
use crate::postgres::statement::{self, identifier, qualified};
use crate::postgres::transaction::{self, accounts, limit};
use crate::postgres::types::{Column, pgvector_type};

/// A vectorizer as the worker sees it: what to do, as whom, and the statements to do it with.
#[derive(Debug)]
pub struct Vectorizer {
    pub id: i32,
    pub name: String,
    pub source: Oid,
    pub owner: Oid,
    /// Source, queue, failed queue, intake and destination.
    relations: Vec<Oid>,
    pub config: Config,
    /// As they were when it was read.
    pub servers: VectorizerServers,
    /// Whether they are so still.
    pub servers_seen: Seen,
    pub cutting: Cutting,
    pub basis: Basis,
    pub template: Template,
    /// Columns of the source that the template names, with their types.
    pub template_columns: LiteMap<String, String>,
    pub statements: Statements,
    pub tables: Tables,
    /// The type of its vectors.
    pub vector_type: Oid,
    /// The index that it builds, where it does.
    pub index: Option<VectorIndex>,
    /// The configuration was at fault: one document at a time after this long, until one succeeds.
    pub paused: Option<Duration>,
    /// Something is written down about it: a pause, also one that a restart has ended, or failed documents.
    pub has_notes: bool,
    /// How often the database has refused to have its documents taken or read, as is written down.
    pub refusals: u32,
    /// There is row security on one of its tables: whom it applies to has to be asked anew each time.
    pub has_policies: bool,
    pub schedule: Schedule,
}

impl Vectorizer {
    /// Runs a transaction of the worker about this vectorizer, in which code of its owner may run, and which
    /// is charged to the owner: not while that has taken too much of the worker.
    pub fn transaction<T>(&self, work: impl FnOnce() -> T) -> Result<T, Aborted> {
        if accounts::is_held(self.owner) {
            return Err(Aborted::put_off());
        }
        self.same_turn(work)
    }

    /// The same for what follows from a transaction in the same turn, however long that took: what was taken
    /// is read, or given back. Else it would be in nobody's hands.
    pub fn same_turn<T>(&self, work: impl FnOnce() -> T) -> Result<T, Aborted> {
        if limit::is_cut(self.id) {
            return Err(Aborted::put_off());
        }
        let done = transaction::run_for(self.owner, work);
        done.map_err(|aborted| Aborted {
            put_off: aborted.put_off || limit::is_cut(self.id),
            ..aborted
        })
    }

    /// The same for a note about it, in which no code of its owner runs.
    pub fn note<T>(&self, work: impl FnOnce() -> T) -> Result<T, Aborted> {
        transaction::run_for(self.owner, work)
    }

    /// Runs `work` as its owner, in a transaction of the worker, for as long as code of an owner may run.
    pub fn act<T>(&self, work: impl FnOnce() -> T) -> T {
        self.must_be_of_one_owner();
        others::must_be_none(self.id);
        let done = others::acting_for(self.id, || {
            limit::within(self.id, self.owner, || transaction::acting_as(self.owner, work))
        });
        // What was locked meanwhile stays as it is from then on. Where something changed hands before that,
        // nothing is done.
        self.must_be_of_one_owner();
        others::must_be_none(self.id);
        done
    }

    /// Refuses to act as the owner on tables that are another's by now: what that has put on them would run
    /// as the owner.
    fn must_be_of_one_owner(&self) {
        if let Some(relation) = self.relations.iter().find(|relation| !is_of(**relation, self.owner)) {
            raise(
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!(
                    "the table with the OID {} of the vectorizer {} has changed hands",
                    relation.to_u32(),
                    self.name
                ),
                Some("Source, queue and destination of a vectorizer belong to one role: ALTER TABLE ... OWNER TO."),
            );
        }
    }
}

/// Whether a relation belongs to a role, or is gone: then nothing can be done to it.
fn is_of(relation: Oid, owner: Oid) -> bool {
    owner_of(relation).is_none_or(|found| found == owner)
}

impl Vectorizer {
    /// Whether it is what another was, which was read before: whatever the worker has learnt about that holds
    /// of it. What happens to it (pauses, refusals, runs) is no part of that.
    pub fn is_as(&self, before: &Vectorizer) -> bool {
        let what = (self.owner, self.source, self.vector_type, self.has_policies);
        what == (before.owner, before.source, before.vector_type, before.has_policies)
            && self.relations == before.relations
            && self.config == before.config
            && self.servers == before.servers
            && self.tables == before.tables
            && self.statements == before.statements
            && self.index == before.index
    }

    /// Whether it works at intervals.
    pub fn is_scheduled(&self) -> bool {
        matches!(self.config.scheduling, Scheduling::Timescaledb { .. })
    }
}

/// A vectorizer that cannot be worked on, and why.
#[derive(Debug)]
pub struct Unusable {
    pub id: i32,
    pub failure: Failure,
}

/// No run is waited for longer than this, in seconds: ten years.
const LONGEST_WAIT: f64 = 315_360_000.0;

/// The version of the extension in this database; `None` where it is not installed.
pub fn extension_version() -> Option<String> {
    statement::row(
        include_str!("../sql/query/vectorizer/extension_version.sql"),
        &[],
        |row| row.must(1),
    )
}

/// Why nothing can be done in a database that has the extension.
pub enum Conflict {
    /// Its encoding is another than that of the library's text.
    Encoding(String),
    /// The extension and the library are of different versions.
    Version(String),
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Conflict::Encoding(encoding) => write!(
                f,
                "the encoding of this database is {encoding}, but ai needs UTF8: move the data to a database with ENCODING \
                 'UTF8', and run DROP EXTENSION ai here"
            ),
            Conflict::Version(installed) => write!(
                f,
                "the extension is version {installed}, the library {}: run ALTER EXTENSION ai UPDATE",
                env!("CARGO_PKG_VERSION")
            ),
        }
    }
}

/// What is wrong with the extension of this database, if anything is.
///
/// Version 0.1.0 could be installed in databases of every encoding. It stored UTF-8 there, whatever the encoding.
pub fn conflict() -> Option<Conflict> {
    let installed = extension_version()?;
    // SAFETY: looks at what the process was told when it was connected to its database; the name lives as
    // long as it does.
    let encoding = unsafe {
        let encoding = pg_sys::GetDatabaseEncoding();
        let is_utf8 = encoding == pg_sys::pg_enc::PG_UTF8 as i32;
        (!is_utf8).then(|| std::ffi::CStr::from_ptr(pg_sys::GetDatabaseEncodingName()))
    };
    match encoding {
        Some(encoding) => Some(Conflict::Encoding(encoding.to_string_lossy().into_owned())),
        None => (installed != env!("CARGO_PKG_VERSION")).then_some(Conflict::Version(installed)),
    }
}

/// Refuses to work on a catalogue of another version, and in a database of another encoding.
///
/// # Errors
/// Raised with what to do.
pub fn must_fit() {
    let Some(conflict) = conflict() else { return };
    let (code, hint) = match conflict {
        Conflict::Encoding(_) => (PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED, None),
        Conflict::Version(_) => (
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Some("If that has been done, restart the server, so that it loads the new library."),
        ),
    };
    raise(code, conflict.to_string(), hint)
}

/// The numbers of all vectorizers.
pub fn vectorizer_ids() -> Vec<i32> {
    statement::rows(include_str!("../sql/query/vectorizer/vectorizer_ids.sql"), &[], |row| {
        row.must(1)
    })
}

/// Of vectorizers (`None`: of all) that have a run planned: their numbers, and how long until then.
pub fn runs(ids: Option<Vec<i32>>) -> Vec<(i32, Duration)> {
    statement::rows(include_str!("../sql/query/schedule/runs.sql"), &[ids.into()], |row| {
        let seconds = row.must::<f64>(2).clamp(0.0, LONGEST_WAIT);
        (row.must(1), Duration::from_secs_f64(seconds))
    })
}

/// Of these vectorizers those that the background worker serves, and those that it cannot serve. It leaves
/// the others alone.
///
/// # Errors
/// An ERROR of Postgres, where one of them is such that their statement fails: they have to be read one by one then.
pub fn vectorizers(ids: &[i32]) -> Vec<Result<Vectorizer, Unusable>> {
    // Rows that were restored without their triggers, or a database that was copied.
    let mut definitions = definition::definitions(Some(ids));
    let triggers = triggers_called(&definitions);
    if names::follow_names_of(&definitions, &triggers, None).has_written {
        definitions = definition::definitions(Some(ids));
    }
    let of_others = others::look_at(&definitions);
    let mut conditions = conditions(ids);
    let served = definitions.iter().filter_map(|definition| {
        let condition = conditions.remove(&definition.id).unwrap_or_default();
        // What was asked for by name is done, also for one that is stopped.
        let asked = condition.runs_in.is_some_and(|seconds| seconds <= 0.0);
        let stopped = definition.disabled && !asked;
        let of_others = of_others.get(&definition.id);
        let read = read_served(definition, &condition, of_others, Some(&triggers)).transpose()?;
        if stopped && read.is_err() {
            return None;
        }
        Some(read)
    });
    served.collect()
}

impl Unusable {
    fn new(id: i32, reason: String) -> Unusable {
        let hint = "Drop the vectorizer with ai.drop_vectorizer, or bring back what it needs.";
        Unusable::with_hint(id, reason, hint)
    }

    /// One whose schedule cannot be followed.
    pub fn without_schedule(id: i32, reason: &str) -> Unusable {
        let hint = "Give it another schedule with ai.set_scheduling.";
        Unusable::with_hint(id, format!("its schedule cannot be followed: {reason}"), hint)
    }

    /// One that the database cannot read.
    pub fn unreadable(id: i32, aborted: &Aborted) -> Unusable {
        Unusable::new(id, format!("it cannot be read: {}", aborted.message))
    }

    fn with_hint(id: i32, reason: String, hint: &str) -> Unusable {
        let failure = Failure {
            step: Step::Loading,
            class: Class::Configuration,
            reason,
            hint: Some(hint.to_owned()),
        };
        Unusable { id, failure }
    }
}

/// One vectorizer, whether there is work for it or not; `None` when there is none of this number.
pub fn vectorizer(id: i32) -> Option<Result<Vectorizer, Unusable>> {
    let of_others = code_of_others(id);
    let definition = definition(id)?;
    let condition = conditions(&[id]).remove(&id).unwrap_or_default();
    read_served(&definition, &condition, of_others.as_ref(), None).transpose()
}

/// Code of others that would run as the owner of a vectorizer; `None`: there is none.
pub fn code_of_others(id: i32) -> Option<CodeOfOthers> {
    others::look(&[id]).remove(&id)
}

/// Of these vectorizers those on whose tables is no code of others.
pub fn without_code_of_others(ids: &[i32]) -> Vec<i32> {
    let found = others::look(ids);
    ids.iter().copied().filter(|id| !found.contains_key(id)).collect()
}

/// Why a vectorizer cannot be worked on.
struct Obstacle {
    reason: String,
    hint: Option<String>,
}

impl<T: Into<String>> From<T> for Obstacle {
    fn from(reason: T) -> Obstacle {
        Obstacle {
            reason: reason.into(),
            hint: None,
        }
    }
}

impl From<&CodeOfOthers> for Obstacle {
    fn from(found: &CodeOfOthers) -> Obstacle {
        Obstacle {
            reason: found.reason.clone(),
            hint: Some(found.hint.clone()),
        }
    }
}

impl Obstacle {
    fn of(self, id: i32) -> Unusable {
        match self.hint {
            Some(hint) => Unusable::with_hint(id, self.reason, &hint),
            None => Unusable::new(id, self.reason),
        }
    }
}

/// [`read`], but of none whose source got another owner unseen, nor with code of others: nothing is done as that one.
fn read_served(
    definition: &Definition,
    condition: &Condition,
    of_others: Option<&CodeOfOthers>,
    triggers: Option<&Triggers>,
) -> Result<Option<Vectorizer>, Unusable> {
    let id = definition.id;
    let owner = definition.owner.as_deref();
    let served = match stranger(Some(definition.source), owner, Some(&definition.owner_place)) {
        None => read(definition, condition, triggers).and_then(|read| match (&read, of_others) {
            (Some(_), Some(found)) => Err(found.into()),
            _ => Ok(read),
        }),
        Some(stranger) => {
            let works_for = owner.unwrap_or_default();
            let (reason, hint) = of_stranger(Some(id), &stranger, Some(works_for));
            return Err(Unusable::with_hint(id, reason, &hint));
        }
    };
    served.map_err(|obstacle| obstacle.of(id))
}

/// Why nothing is done for a vectorizer whose source got another owner unseen, or with something on it that nobody has
/// looked at, and what to do. What is on it is told where the vectorizer's number is given.
pub fn of_stranger(id: Option<i32>, stranger: &str, works_for: Option<&str>) -> (String, String) {
    let works_for = works_for.unwrap_or("another role");
    let there = id.and_then(burden_of_source).map(|there| format!("; on it is {there}"));
    let there = there.unwrap_or_default();
    (
        format!("its source belongs to {stranger} now, and the vectorizer works for {works_for}{there}"),
        format!(
            "Look at what is on its tables (triggers, rules, policies, defaults, constraints): it would run as {stranger}. Then \
             call ai.enable_vectorizer_schedule as {stranger} or a superuser; or drop the vectorizer."
        ),
    )
}

/// What is on the source of a vectorizer that can run code, or have others put code on it; `None`: nothing.
pub fn burden_of_source(id: i32) -> Option<String> {
    const NAMED: usize = 8;
    let sql = include_str!("../sql/query/owner/burden_of_source.sql");
    let mut there: Vec<String> = transaction::acting_as_extension(|| {
        let embedding_column = destination::embedding_column(id);
        statement::rows(sql, &[id.into(), embedding_column.into()], |row| row.must(1))
    });
    if there.len() > NAMED {
        there.truncate(NAMED);
        there.push("more".to_owned());
    }
    (!there.is_empty()).then(|| there.join(", "))
}

/// `None` for one that the worker has to leave alone: where `triggers` are given, by which it works.
fn read(
    definition: &Definition,
    condition: &Condition,
    triggers: Option<&Triggers>,
) -> Result<Option<Vectorizer>, Obstacle> {
    let (any, source) = (triggers.is_none(), definition.source);
    let config = definition.config.as_deref().ok_or("its configuration is too large")?;
    let config: Value =
        serde_json::from_str(config).map_err(|error| format!("its configuration cannot be read: {error}"))?;
    // It was adopted, and chooses what is for superusers to choose: one of them has to start it.
    if config["held"].is_string() && !any {
        return Ok(None);
    }
    let config: Config =
        serde_json::from_value(config).map_err(|error| format!("its configuration cannot be read: {error}"))?;
    let schedule = schedule_of(definition, &config.scheduling, condition, any)?;
    let owner = owner_of(source).ok_or("its source table does not exist any more")?;
    if triggers.is_some_and(|triggers| !triggers.watch(definition)) {
        return Ok(None);
    }
    if let Some(of_others) = tables_of_others(definition, owner) {
        let owner = identifier(&role_name(owner).unwrap_or_default());
        return Err(Obstacle {
            reason: format!("its source belongs to {owner}, but {of_others}"),
            hint: Some(format!(
                "Look at what is on it: it would run as {owner}. Then give it to that role with ALTER TABLE ... OWNER TO {owner}, or \
                 drop the vectorizer with ai.drop_vectorizer."
            )),
        });
    }
    let source_pk = &definition.source_pk;
    let key = PrimaryKey::current(source, source_pk);
    let key = key.ok_or("its source table has lost the primary key that it had")?;
    let called = |table: Oid| name_of(table).map(|(schema, name)| qualified(&schema, &name));
    let target_name = definition.target.and_then(called);
    let destination = definition.target.unwrap_or(source);
    let (embedding, (vector_schema, vector_type)) =
        embedding_of(destination, &config.destination, target_name.as_deref())?;
    let document = config.loading.column_name().to_owned();
    let document_column =
        Column::of(source, &document).ok_or_else(|| format!("its source has no column {document} any more"))?;

    let Formatting::PythonTemplate { template } = &config.formatting;
    let template = Template::parse(template).map_err(|error| error.to_string())?;
    let template_columns: LiteMap<String, String> = template
        .columns()
        .map(|name| {
            let column =
                Column::of(source, name).ok_or_else(|| format!("its template names {name}, which its source lacks"))?;
            Ok::<_, String>((name.to_owned(), column.base_type()))
        })
        .collect::<Result<_, _>>()?;

    let servers_seen = Seen::now();
    let servers = if any {
        server::of(&config.embedding, &config.loading, owner)
    } else {
        server::of_latest(&config.embedding, &config.loading, owner)
    };
    let cutting = Cutting::new(&config.chunking).map_err(|error| error.to_string())?;
    let names = TableNames {
        source: called(source).ok_or("its source table does not exist any more")?,
        queue: called(definition.queue).ok_or("its queue does not exist any more")?,
        failed: called(definition.failed).ok_or("its failed queue does not exist any more")?,
        intake: definition
            .intake
            .and_then(called)
            .ok_or("its intake does not exist any more")?,
        target: target_name,
        vector_schema,
    };
    let shape = Shape {
        source,
        source_pk,
        queue: definition.queue,
        failed: definition.failed,
        intake: definition.intake.unwrap_or_default(),
        target: definition.target,
    };
    if !shape.is_as_made() {
        shape::check(definition.id)?;
    }
    let schema = name_of(destination).map(|(schema, _)| identifier(&schema));
    let destination = DestinationNames {
        oid: destination,
        name: names.target.as_deref().unwrap_or(&names.source),
        schema: &schema.unwrap_or_default(),
    };
    let index = VectorIndex::new(
        definition.id,
        &config,
        &destination,
        (&names.queue, &names.intake),
        &names.vector_schema,
    );
    let statements = Statements::new(
        &names,
        &key,
        &config,
        (&document, document_column.holds_bytes()),
        &template_columns,
        (&embedding.full_type(), updates_instead(source)),
    );
    let relations = definition.relations();
    let has_policies = |table: &Oid| Relation::of(*table).is_some_and(|table| table.has_policies);
    Ok(Some(Vectorizer {
        id: definition.id,
        name: definition.name.clone(),
        source,
        owner,
        has_policies: relations.iter().any(has_policies),
        relations,
        servers,
        servers_seen,
        cutting,
        basis: Basis::new(&config),
        template,
        config,
        template_columns,
        statements,
        tables: Tables {
            destination: names.target.unwrap_or(names.source),
            queue: names.queue,
            failed: names.failed,
            intake: names.intake,
        },
        vector_type,
        index,
        paused: condition
            .paused
            .then(|| Duration::from_secs_f64(condition.retry_in.unwrap_or_default().clamp(0.0, 3600.0))),
        has_notes: condition.has_notes,
        refusals: condition.refusals,
        schedule,
    }))
}

/// When it works. `any`: also one that is stopped.
fn schedule_of(
    definition: &Definition,
    scheduling: &Scheduling,
    condition: &Condition,
    any: bool,
) -> Result<Schedule, Obstacle> {
    let runs_in = condition.runs_in;
    if runs_in.is_some_and(|seconds| !seconds.is_finite()) {
        return Err("its next run is planned for a time that never comes: call ai.set_scheduling".into());
    }
    let runs_in = runs_in.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_WAIT)));
    let is_asked = runs_in.is_some_and(|wait| wait.is_zero());
    let schedule = match (scheduling, runs_in) {
        (_, Some(wait)) if definition.disabled && is_asked => Schedule::In(wait),
        _ if definition.disabled && !any => Schedule::Never,
        (Scheduling::Default, _) => Schedule::AtOnce,
        (Scheduling::None | Scheduling::Timescaledb { .. }, Some(wait)) => Schedule::In(wait),
        (Scheduling::None | Scheduling::Timescaledb { .. }, None) if !any => Schedule::Never,
        (Scheduling::None | Scheduling::Timescaledb { .. }, None) => Schedule::AtOnce,
    };
    Ok(schedule)
}

/// The column that takes the vectors, and pgvector's type with its schema. `target_name` is the table of
/// chunks, where it is there.
fn embedding_of(
    destination: Oid,
    config: &Destination,
    target_name: Option<&str>,
) -> Result<(Column, (String, Oid)), Obstacle> {
    let (embedding, lost) = match config {
        Destination::Table { .. } => (
            "embedding",
            match target_name {
                Some(target) => format!("its destination table {target} has no column embedding any more"),
                None => "its destination table does not exist any more".to_owned(),
            },
        ),
        Destination::Column { embedding_column } => (
            embedding_column.as_str(),
            format!("its source has no column {embedding_column} any more"),
        ),
    };
    let embedding = Column::of(destination, embedding).and_then(|column| Some((column, pgvector_type()?)));
    embedding.ok_or_else(|| lost.into())
}

/// Whether rules do something else in place of updates of a table.
fn updates_instead(table: Oid) -> bool {
    let sql = include_str!("../sql/query/source/updates_instead.sql");
    Relation::of(table).is_some_and(|table| table.has_rules)
        && statement::row(sql, &[table.into()], |row| row.must(1)) == Some(true)
}

/// The tables of a vectorizer that belong to another role than its source, in words; `None`: all are its
/// owner's. Others could have their code run by what is done on them in the name of that one.
fn tables_of_others(definition: &Definition, owner: Oid) -> Option<String> {
    let mut others: Vec<(String, String, String)> = Vec::new();
    for table in definition.relations() {
        let Some(other) = owner_of(table).filter(|other| *other != owner) else {
            continue;
        };
        let role = role_name(other).unwrap_or_else(|| format!("unknown (OID={})", other.to_u32()));
        others.extend(name_of(table).map(|(schema, name)| (schema, name, role)));
    }
    others.sort_unstable();
    others.dedup();
    let told = others
        .iter()
        .map(|(schema, name, role)| format!("{} belongs to {}", qualified(schema, name), identifier(role)));
    (!others.is_empty()).then(|| told.collect::<Vec<_>>().join(", "))
}
