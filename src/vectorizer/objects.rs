//! What a vectorizer is made of: queue, failed queue, destination, view, trigger function and triggers.

use ai_pipeline::layout::Layout;
use ai_pipeline::vector_type::VectorType;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::names::TARGET_COLUMNS;
use super::number::intake_name;
use super::partitions::Partitions;
use super::source::{SourceColumn, SourceTable, column_type, key_types, read_source};
use super::triggers::{self, TriggerFunction};
use crate::catalog;
use crate::catalog::extension::{function_goes_with_extension, table_goes_with_extension};
use crate::postgres::error::raise;
use crate::postgres::key::{In, PrimaryKey};
use crate::postgres::statement::{self, fill, identifier, qualified};
use crate::postgres::transaction::acting_as_extension;

/// What vectors are kept as.
const VECTORS: VectorType = VectorType::Vector;

/// What a vectorizer is made of: quoted names with schemas.
pub struct Objects {
    pub id: i32,
    pub queue: String,
    pub failed: String,
    pub intake: String,
    pub destination: DestinationObjects,
    pub function: String,
    /// Stem of the names of the triggers.
    pub trigger: String,
    /// Queue, failed queue and function are in the schema of the extension, where only it may create.
    pub in_extension: bool,
}

/// Where the vectors go: quoted names with schemas.
pub enum DestinationObjects {
    Table { target: String, view: String },
    Column { column: String },
}

impl Objects {
    /// The table of chunks, where there is one.
    pub fn target(&self) -> Option<&str> {
        match &self.destination {
            DestinationObjects::Table { target, .. } => Some(target),
            DestinationObjects::Column { .. } => None,
        }
    }

    /// The view of the chunks, where there is one.
    pub fn view(&self) -> Option<&str> {
        match &self.destination {
            DestinationObjects::Table { view, .. } => Some(view),
            DestinationObjects::Column { .. } => None,
        }
    }

    /// Makes the destination, and gives it to the owner of the source.
    pub fn create_destination(
        &self,
        source: &SourceTable,
        key: &PrimaryKey,
        columns: &[SourceColumn],
        dimensions: i64,
    ) {
        let vector = vector_type(dimensions);
        match &self.destination {
            DestinationObjects::Table { target, view } => {
                create_table(source, key, (&vector, dimensions), target);
                create_view(&source.name, key, columns.iter().map(|(name, _)| name), target, view);
                // An owner's own defaults are meant; those of another role are for its own tables.
                // SAFETY: a look at the role of the session.
                if source.owner == unsafe { pg_sys::GetUserId() } {
                    return;
                }
                source.give_alone("TABLE", target);
                source.give_alone("VIEW", view);
            }
            DestinationObjects::Column { column } => add_column(source, column, &vector),
        }
    }

    /// Takes a destination that is there already, with all that is in it. That it belongs to the owner of the
    /// source has been looked at.
    pub fn adopt_destination(&self, source: &SourceTable, key: &PrimaryKey, dimensions: i64) {
        let vector = vector_type(dimensions);
        match &self.destination {
            DestinationObjects::Table { target, .. } => {
                let relation = statement::row("SELECT $1::regclass::oid", &[target.as_str().into()], |row| row.must(1));
                let relation = relation.expect("a value is cast to one value");
                let mut columns = key.names(In::Target);
                columns.extend(TARGET_COLUMNS.map(str::to_owned));
                for column in &columns {
                    let kind = column_type(relation, column);
                    let fits = kind
                        .as_ref()
                        .is_some_and(|kind| column != "embedding" || *kind == vector);
                    if !fits {
                        must_have(target, column, kind, &vector);
                    }
                }
            }
            DestinationObjects::Column { column } => {
                let kind = column_type(source.oid, column);
                if kind.as_ref() != Some(&vector) {
                    must_have(&source.name, column, kind, &vector);
                }
            }
        }
    }

    /// Makes queue, function and triggers, and gives them to the owner of the source.
    pub fn create_queue(&self, source: &SourceTable, key: &PrimaryKey) {
        if source.partitioned {
            // As the triggers will: a partition that is being attached is waited for before those that are
            // there are looked at. SAFETY: on the main thread, in a transaction, which gives the lock back.
            // Only the owner comes by here.
            unsafe { pg_sys::LockRelationOid(source.oid, pg_sys::ShareRowExclusiveLock as pg_sys::LOCKMODE) };
        }
        if self.in_extension {
            acting_as_extension(|| self.create_tables(source, key));
        } else {
            self.create_tables(source, key);
        }
        if source.partitioned {
            self.partitions(source, key).follow(false);
        }
        triggers::create(self.id, &source.name, &self.trigger, &self.function, source.partitioned);
        // They call functions of the extension: where it goes, writes to the source must not fail.
        acting_as_extension(|| {
            function_goes_with_extension(&self.function);
            triggers::depend_on_extension(&source.name, &self.trigger, source.partitioned);
        });
        table_depends_on_extension(&self.queue);
        table_depends_on_extension(&self.failed);
        table_depends_on_extension(&self.intake);
    }

    /// The tables that are the vectorizer's own, and the function of the triggers.
    fn create_tables(&self, source: &SourceTable, key: &PrimaryKey) {
        let types = key_types(source);
        let values = [
            ("unlogged", source.persistence()),
            ("queue", self.queue.as_str()),
            ("failed", &self.failed),
            ("intake", &self.intake),
            ("pk", &key.list("", In::Queue)),
            ("pk_definitions", &key.definitions(In::Queue, &types)),
        ];
        for template in [
            include_str!("../../sql/query/queue/create_queue.sql"),
            include_str!("../../sql/query/queue/create_queue_index.sql"),
            include_str!("../../sql/query/queue/create_retry_index.sql"),
            include_str!("../../sql/query/failed/create_failed.sql"),
            include_str!("../../sql/query/intake/create_intake.sql"),
            include_str!("../../sql/query/intake/name_all_of_intake.sql"),
        ] {
            statement::run(&fill(template, &values), &[]);
        }
        self.create_function(source, key);
        let revoke = format!("REVOKE EXECUTE ON FUNCTION {}() FROM PUBLIC", self.function);
        statement::run(&revoke, &[]);
        source.give_alone("TABLE", &self.queue);
        source.give_alone("TABLE", &self.failed);
        source.give_alone("TABLE", &self.intake);
        source.give_alone("FUNCTION", &format!("{}()", self.function));
    }

    fn create_function(&self, source: &SourceTable, key: &PrimaryKey) {
        let mut embedding_columns = catalog::embedding_columns(source.oid);
        if let DestinationObjects::Column { column } = &self.destination {
            embedding_columns.push(column.clone());
        }
        let function = TriggerFunction {
            id: self.id,
            function: &self.function,
            source: source.oid,
            source_name: &source.name,
            queue: &self.queue,
            failed: &self.failed,
            intake: &self.intake,
            target: self.target(),
            key,
            partitioned: source.partitioned,
            deferrable: source.deferrable,
            embedding_columns: &embedding_columns,
        };
        function.create();
    }

    fn partitions<'a>(&'a self, source: &'a SourceTable, key: &'a PrimaryKey) -> Partitions<'a> {
        Partitions {
            id: self.id,
            source: source.oid,
            source_name: &source.name,
            owner: source.owner,
            queue: &self.queue,
            failed: &self.failed,
            intake: &self.intake,
            target: self.target(),
            function: &self.function,
            trigger: &self.trigger,
            key,
        }
    }

    /// Puts the rows that are there into the queue, behind all that change from now on.
    pub fn enqueue_existing(&self, source: &SourceTable, key: &PrimaryKey) {
        let values = [
            ("source", source.name.as_str()),
            ("queue", &self.queue),
            ("pk", &key.list("", In::Queue)),
            ("source_pk", &key.list("s.", In::Source)),
        ];
        // The triggers are there, and lock out other writers until we commit: what was committed before is seen here.
        let sql = fill(include_str!("../../sql/query/queue/enqueue_existing.sql"), &values);
        statement::on_latest(|| statement::run(&sql, &[]));
    }

    /// pgai's grants: read the source, look after destination (in `schemas`) and queue.
    pub fn grant(&self, source: &SourceTable, queue_schema: &str, schemas: &[&str], to: &[String]) {
        if to.is_empty() {
            return;
        }
        let quoted = |role: &String| {
            if role == "public" {
                "PUBLIC".to_owned()
            } else {
                identifier(role)
            }
        };
        let roles = to.iter().map(quoted).collect::<Vec<_>>().join(", ");
        let grant = |privileges: &str, on: &str| {
            statement::run(&format!("GRANT {privileges} ON {on} TO {roles}"), &[]);
        };
        // Not where they have it: a GRANT locks the schema, which others grant on, too, until the transaction ends.
        let open = |schema: &str| {
            let lacks = |role: &&String| {
                let sql = "SELECT has_schema_privilege($1::name, $2, 'USAGE')";
                let arguments = [role.as_str().into(), schema.into()];
                statement::row(sql, &arguments, |row| row.must::<bool>(1)) != Some(true)
            };
            let lacking: Vec<String> = to.iter().filter(lacks).map(quoted).collect();
            if !lacking.is_empty() {
                let (schema, roles) = (identifier(schema), lacking.join(", "));
                statement::run(&format!("GRANT USAGE ON SCHEMA {schema} TO {roles}"), &[]);
            }
        };
        open(&source.schema);
        grant("SELECT", &source.name);
        if let DestinationObjects::Table { target, view } = &self.destination {
            for schema in schemas {
                open(schema);
            }
            grant("SELECT, INSERT, UPDATE", target);
            grant("SELECT", view);
        }
        if queue_schema != "ai" {
            open(queue_schema);
        }
        grant("SELECT, INSERT, UPDATE, DELETE", &self.queue);
        grant("SELECT, INSERT, UPDATE, DELETE", &self.failed);
    }
}

/// Makes the intake of a vectorizer of version 0.1.0, which had none; its name, quoted and with its schema.
///
/// Beside the queue; where the name is taken, in the schema of the extension, where only that may create: the
/// script that updates the extension serves all, and fails for nobody's table.
pub fn create_missing_intake(id: i32, source: Oid, schema: &str, key: &PrimaryKey) -> String {
    let beside = qualified(schema, &intake_name(id));
    let taken = "SELECT to_regclass($1) IS NOT NULL";
    let is_taken = statement::row(taken, &[beside.as_str().into()], |row| row.must::<bool>(1)) == Some(true);
    let intake = if is_taken {
        qualified("ai", &intake_name(id))
    } else {
        beside
    };
    let source = read_source(source).expect("a vectorizer whose functions are made anew has a source");
    let values = [
        ("unlogged", source.persistence()),
        ("intake", intake.as_str()),
        ("pk_definitions", &key.definitions(In::Queue, &key_types(&source))),
    ];
    acting_as_extension(|| {
        for template in [
            include_str!("../../sql/query/intake/create_intake.sql"),
            include_str!("../../sql/query/intake/name_all_of_intake.sql"),
        ] {
            statement::run(&fill(template, &values), &[]);
        }
        source.give_alone("TABLE", &intake);
        let sql = "UPDATE ai._vectorizer SET intake = $2::regclass WHERE id = $1";
        statement::run(sql, &[id.into(), intake.as_str().into()]);
        table_depends_on_extension(&intake);
    });
    intake
}

/// `vector(n)`, with its schema.
fn vector_type(dimensions: i64) -> String {
    let name = VECTORS.name();
    let sql = include_str!("../../sql/query/destination/vector_type.sql");
    let schema: Option<String> = statement::row(sql, &[name.into()], |row| row.must(1));
    let schema = schema.unwrap_or_else(|| {
        raise(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("the type {name} does not exist"),
            Some("Run CREATE EXTENSION vector."),
        )
    });
    format!("{schema}.{name}({dimensions})")
}

/// The error of an adopted destination that is not what the configuration says.
fn must_have(table: &str, column: &str, kind: Option<String>, vector: &str) -> ! {
    let message = match kind {
        None => format!("{table} has no column {column}"),
        Some(kind) => format!("the column {column} of {table} is of type {kind}, not {vector}"),
    };
    raise(PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH, message, None)
}

/// Makes a table of chunks, whose rows lie on the pages as [`Layout`] says.
fn create_table(source: &SourceTable, key: &PrimaryKey, (vector, dimensions): (&str, i64), target: &str) {
    let layout = layout(source, dimensions);
    let parameters = layout.map_or_else(String::new, |layout| {
        format!("WITH (toast_tuple_target = {})", layout.toast_tuple_target)
    });
    let values = [
        ("unlogged", source.persistence()),
        ("target", target),
        ("vector", vector),
        ("target_pk", &key.list("", In::Target)),
        (
            "target_pk_definitions",
            &key.definitions(In::Target, &key_types(source)),
        ),
        ("storage_parameters", &parameters),
    ];
    statement::run(
        &fill(include_str!("../../sql/query/destination/create_target.sql"), &values),
        &[],
    );
    // pgai's, where another access method keeps the rows.
    let storage = layout.map_or("MAIN", |layout| layout.storage.name());
    let storage = format!("ALTER TABLE {target} ALTER COLUMN embedding SET STORAGE {storage}");
    statement::run(&storage, &[]);
}

/// The layout of a table that is made now; `None` where another access method than Postgres' own keeps the rows.
fn layout(source: &SourceTable, dimensions: i64) -> Option<Layout> {
    let sql = include_str!("../../sql/query/destination/keeps_rows_in_a_heap.sql");
    let is_heap = statement::row(sql, &[], |row| row.must::<bool>(1)) == Some(true);
    let sql = include_str!("../../sql/query/source/key_widths.sql");
    let widths = statement::rows(sql, &[source.oid.into()], |row| row.get::<i32>(1));
    let widths = widths.into_iter().map(|width| usize::try_from(width?).ok());
    let dimensions = usize::try_from(dimensions).unwrap_or_default();
    is_heap.then(|| Layout::new(VECTORS, dimensions, widths))
}

/// Makes the view of the chunks in `target` once more, with these columns, as it would be made now; false
/// where it has others.
pub fn make_twin(view: &str, columns: &[String], source: Oid, target: Oid, key: &PrimaryKey) -> bool {
    let Some(columns) = columns.strip_prefix(VIEW_COLUMNS.map(str::to_owned).as_slice()) else {
        return false;
    };
    let of_the_source = include_str!("../../sql/query/source/source_columns.sql");
    let of_the_source: Vec<String> = statement::rows(of_the_source, &[source.into()], |row| row.must(1));
    if columns.iter().any(|name| !of_the_source.contains(name)) {
        return false;
    }
    let sql = "SELECT $1::regclass::text, $2::regclass::text";
    let names = statement::row(sql, &[source.into(), target.into()], |row| {
        (row.must::<String>(1), row.must::<String>(2))
    });
    let (source, target) = names.expect("a statement without FROM answers");
    create_view(&source, key, columns.iter(), &target, view);
    true
}

/// The columns of the view that are of the chunks, before those of the source.
const VIEW_COLUMNS: [&str; 4] = ["embedding_uuid", "chunk_seq", "chunk", "embedding"];

fn create_view<'a>(
    source: &str,
    key: &PrimaryKey,
    columns: impl Iterator<Item = &'a String>,
    target: &str,
    view: &str,
) {
    let columns = columns.map(|name| {
        let table = if key.has(name) { "t" } else { "s" };
        format!("{table}.{}", identifier(name))
    });
    let values = [
        ("source", source),
        ("target", target),
        ("view", view),
        ("columns", &columns.collect::<Vec<_>>().join(", ")),
        ("source_is_target", &key.same(("s", In::Source), ("t", In::Target))),
    ];
    statement::run(
        &fill(include_str!("../../sql/query/destination/create_view.sql"), &values),
        &[],
    );
}

/// A column that is there already is taken as it is, if vectors of ours fit into it.
fn add_column(source: &SourceTable, column: &str, vector: &str) {
    match column_type(source.oid, column) {
        None => {
            let (table, column) = (&source.name, identifier(column));
            statement::run(
                &format!("ALTER TABLE {table} ADD COLUMN {column} {vector} DEFAULT NULL"),
                &[],
            );
            statement::run(
                &format!("ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE MAIN"),
                &[],
            );
        }
        Some(kind) if kind == vector => {
            notice!("the column {column} of {} already exists, skipping", source.name);
        }
        Some(kind) => raise(
            PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
            format!("the column {column} of {} is of type {kind}, not {vector}", source.name),
            Some("Choose another embedding_column, or the dimensions of the column."),
        ),
    }
}

fn table_depends_on_extension(table: &str) {
    let relation = statement::row("SELECT $1::regclass::oid", &[table.into()], |row| row.must(1));
    table_goes_with_extension(relation.expect("a value is cast to one value"));
}
