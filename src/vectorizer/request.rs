//! What `ai.create_vectorizer` is asked for, and its checks: pgai's, in its order, before anything
//! is made.

use ai_pipeline::config::Destination;
use ai_pipeline::config::document::{self, DestinationChoice};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use serde_json::Value;

use super::given::refuse;
use super::names::{self, TARGET_COLUMNS};
use super::sections::{Documents, Sections};
use super::source::{SourceColumn, SourceTable, columns, primary_key, read_source};
use super::vectorizer_name::{Named, already_exists};
use crate::access::server;
use crate::catalog;
use crate::postgres::arguments::CallArguments;
use crate::postgres::error::{exception, invalid, raise};
use crate::postgres::json::JsonB;
use crate::postgres::key::PrimaryKey;
use crate::postgres::statement::{self, qualified};

/// The arguments of `ai.create_vectorizer`.
pub struct CreationRequest {
    pub source: Option<Oid>,
    pub name: Option<String>,
    pub documents: Documents,
    pub queue_schema: Option<String>,
    pub queue_table: Option<String>,
    pub grant_to: Vec<String>,
    pub enqueue_existing: bool,
    pub if_not_exists: bool,
}

impl CreationRequest {
    /// In the order in which SQL declares them.
    pub fn read(mut arguments: CallArguments) -> CreationRequest {
        let source = arguments.take();
        let name = arguments.take();
        let mut section = || arguments.take().map(|JsonB(document)| document);
        let documents = Documents {
            destination: section(),
            loading: section(),
            parsing: section(),
            embedding: section(),
            chunking: section(),
            indexing: section(),
            formatting: section(),
            scheduling: section(),
            processing: section(),
        };
        let queue_schema = arguments.take();
        let queue_table = arguments.take();
        let grant_to: Option<Vec<Option<String>>> = arguments.take();
        CreationRequest {
            source,
            name,
            documents,
            queue_schema,
            queue_table,
            grant_to: grant_to.unwrap_or_default().into_iter().flatten().collect(),
            enqueue_existing: arguments.take() != Some(false),
            if_not_exists: arguments.take() == Some(true),
        }
    }

    /// What is checked before anything else: that there is a source, of the caller, and what is
    /// embedded of it.
    fn source(&self) -> (SourceTable, i64) {
        if self.documents.embedding.is_none() {
            exception("embedding configuration is required");
        }
        if self.documents.loading.is_none() {
            exception("loading configuration is required");
        }
        let source = self
            .source
            .and_then(read_source)
            .unwrap_or_else(|| invalid("source table does not exist"));
        if !source.caller_is_owner {
            exception("only a superuser or the owner of the source table may create a vectorizer on it");
        }
        let dimensions = self.documents.embedding.as_ref();
        let dimensions = dimensions.and_then(|embedding| embedding.get("dimensions")?.as_i64());
        let Some(dimensions) = dimensions else {
            exception("dimensions argument is required")
        };
        (source, dimensions)
    }

    /// Whether it would find its own vectorizer, and be content with it. Before its documents are
    /// checked: what is no destination has no name.
    fn runs_twice(&self, source: &SourceTable) -> bool {
        let named = self.name.clone().map(Named::Given).or_else(|| {
            let choice: DestinationChoice = document::read(self.documents.destination.as_ref()).ok()?;
            let destination = names::destination(choice, &source.schema, &source.table);
            let derived = names::derived(&destination, &source.schema, &source.table);
            Some(Named::Derived(derived))
        });
        self.if_not_exists && named.is_some_and(|named| named.own(source.oid).is_some())
    }
}

/// What was asked for, checked.
pub struct CheckedRequest {
    pub source: SourceTable,
    /// The primary key, as the catalogue keeps it and as statements need it.
    pub source_pk: Value,
    pub key: PrimaryKey,
    pub columns: Vec<SourceColumn>,
    pub dimensions: i64,
    pub sections: Sections,
    pub destination: Destination,
    pub name: String,
    /// What it was derived from, where it was not given.
    pub derived: Option<String>,
    pub queue_schema: String,
    pub queue_table: Option<String>,
    pub grantees: Vec<String>,
    pub enqueue_existing: bool,
}

/// Checks what was asked for.
///
/// # Errors
/// The id of the vectorizer that is there already, where that will do. What is wrong is raised.
pub fn check(request: CreationRequest) -> Result<CheckedRequest, i32> {
    let grantees = known_roles(&request.grant_to);
    let (source, dimensions) = request.source();
    let (source_pk, key) = primary_key(source.oid);
    if let Some(why) = &source.unsupported {
        let message = format!("{} {why}", source.name);
        raise(PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED, message, None);
    }
    let queue_schema = schema_of_queue(request.queue_schema.clone(), request.queue_table.as_deref(), &source);
    // A migration that runs twice finds its own queue: that is no obstacle where it will find its own vectorizer, too.
    let runs_twice = request.runs_twice(&source);
    must_last(&queue_schema, "queue_schema");
    if !runs_twice && let Some(queue_table) = &request.queue_table {
        must_be_free(&queue_schema, queue_table, "an alternate queue_table");
    }
    let columns = columns(source.oid);
    let sections = Sections::check(request.documents, &columns, dimensions);
    sections.must_go_together(&source);
    let choice = sections.destination.clone().unwrap_or_else(|unfit| refuse(unfit));
    let destination = names::destination(choice, &source.schema, &source.table);
    let named = request.name.map_or_else(
        || Named::Derived(names::derived(&destination, &source.schema, &source.table)),
        Named::Given,
    );
    if let Some((id, name)) = named.own(source.oid) {
        if request.if_not_exists {
            notice!("a vectorizer named {name} already exists, skipping");
            return Err(id);
        }
        already_exists(&name, None);
    }
    let derived = named.derived();
    let name = named.free();
    Ok(CheckedRequest {
        source,
        source_pk,
        key,
        columns,
        dimensions,
        sections,
        destination,
        name,
        derived,
        queue_schema,
        queue_table: request.queue_table,
        grantees,
        enqueue_existing: request.enqueue_existing,
    })
}

impl CheckedRequest {
    /// The worker holds credentials of the server: an administrator says where they are used, and who may use them.
    pub fn check_servers(&self) {
        let (embedding, loading) = (&self.sections.embedding.value, &self.sections.loading.value);
        server::check(embedding, loading, self.source.owner, self.source.caller_is_superuser);
    }

    /// The schemas of the destination, where it is a table, and the arguments that name them.
    pub fn must_last(&self) {
        if let Destination::Table {
            target_schema,
            view_schema,
            ..
        } = &self.destination
        {
            must_last(target_schema, "target_schema");
            must_last(view_schema, "view_schema");
        }
    }

    /// For a destination that is made.
    pub fn destination_must_be_free(&self) {
        if let Destination::Table {
            target_schema,
            target_table,
            view_schema,
            view_name,
        } = &self.destination
        {
            must_be_free(view_schema, view_name, "an alternate destination or view_name");
            must_be_free(target_schema, target_table, "an alternate destination or target_table");
        }
    }

    /// Of one that goes where it is to go, that it can be there and be called so.
    pub fn must_fit(&self) {
        match &self.destination {
            Destination::Table { .. } => must_not_clash(&self.columns),
            Destination::Column { embedding_column } => must_have_one_writer(self.source.oid, embedding_column),
        }
        if !names::fits(&self.name) {
            // The text that callers know, from the time when a constraint of the table said it.
            raise(
                PgSqlErrorCode::ERRCODE_CHECK_VIOLATION,
                "new row for relation \"vectorizer\" violates check constraint \"vectorizer_name_check\"",
                Some(
                    "Names of vectorizers begin with a lower-case letter; lower-case letters, digits and underscores follow.",
                ),
            );
        }
    }
}

/// The roles that exist, `public` among them; a warning names the others.
fn known_roles(wanted: &[String]) -> Vec<String> {
    let (known, unknown): (Vec<String>, Vec<String>) = wanted.iter().cloned().partition(|role| {
        role == "public"
            || statement::row(
                "SELECT 1 FROM pg_roles WHERE rolname = $1::name",
                &[role.as_str().into()],
                |_| (),
            )
            .is_some()
    });
    if !unknown.is_empty() {
        let message = format!("one or more grant_to roles do not exist: {{{}}}", unknown.join(","));
        ereport!(WARNING, PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, message);
    }
    known
}

/// Where the queue goes. In the schema of the extension, where only it may create, all have the names that it
/// gives: a name of a user's choice could be one that a version of the extension needs, or that of another
/// vectorizer's queue.
fn schema_of_queue(schema: Option<String>, chosen: Option<&str>, source: &SourceTable) -> String {
    match (schema, chosen) {
        (Some(schema), Some(table)) if schema == "ai" => raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("queue_table cannot be {table} in the schema ai, which is the extension's"),
            Some("Choose another queue_schema, or leave queue_table out."),
        ),
        (Some(schema), _) => schema,
        (None, None) => "ai".to_owned(),
        (None, Some(_)) => source.schema.clone(),
    }
}

/// Refuses schemas of which nothing is left when the session ends, without anybody being told, and those of
/// Postgres itself.
fn must_last(schema: &str, argument: &str) {
    let is_temporary = schema.starts_with("pg_temp") || schema.starts_with("pg_toast_temp");
    if !schema.starts_with("pg_") && schema != "information_schema" {
        return;
    }
    let why = if is_temporary {
        "what is in it goes with its session"
    } else {
        "it is Postgres' own"
    };
    raise(
        PgSqlErrorCode::ERRCODE_INVALID_TABLE_DEFINITION,
        format!("{argument} cannot be {schema}: {why}"),
        Some(&format!("Choose another {argument}.")),
    )
}

/// Refuses a name that something else has; `instead` is what to give then.
pub fn must_be_free(schema: &str, name: &str, instead: &str) {
    let full = qualified(schema, name);
    let taken = statement::row("SELECT to_regclass($1) IS NOT NULL", &[full.as_str().into()], |row| {
        row.must(1)
    });
    if taken == Some(true) {
        let message = format!("an object named {schema}.{name} already exists. specify {instead} explicitly");
        raise(PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT, message, None);
    }
}

/// Two would replace each other's vectors.
fn must_have_one_writer(source: Oid, column: &str) {
    if let Some(name) = catalog::column_writer(source, column) {
        raise(
            PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
            format!("the vectorizer {name} already writes into the column {column}"),
            Some("Choose another embedding_column, or drop that vectorizer."),
        );
    }
}

/// The view shows the columns of both tables under their own names.
fn must_not_clash(columns: &[SourceColumn]) {
    if let Some((column, _)) = columns.iter().find(|(name, _)| TARGET_COLUMNS.contains(&name.as_str())) {
        raise(
            PgSqlErrorCode::ERRCODE_DUPLICATE_COLUMN,
            format!("the source table has a column named {column}, which the destination needs for itself"),
            Some("Rename the column."),
        );
    }
}
