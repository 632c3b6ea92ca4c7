//! `ai.create_vectorizer`: what is asked for is checked, then planned, then made.
//!
//! Everything of a vectorizer belongs to the owner of its source table, as whom the worker reads and writes.

use ai_pipeline::config::{Config, Destination};
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::Value;

use super::number::{failed_queue, free_id, intake_name, trigger_function, usual_queue};
use super::objects::{DestinationObjects, Objects};
use super::request::{CheckedRequest, CreationRequest, check, must_be_free};
use super::vectorizer_name::insert_named;
use super::{refresh, schedule, validate};
use crate::catalog::{self, follow_names};
use crate::postgres::arguments::CallArguments;
use crate::postgres::error::invalid;
use crate::postgres::json::JsonB;
use crate::postgres::statement::{self, qualified};
use crate::postgres::transaction::{acting_as, acting_as_extension, seeing_all};
use crate::shared_memory;

#[pg_extern(sql = false)]
fn create_vectorizer(call: pg_sys::FunctionCallInfo) -> i32 {
    // SAFETY: the call of this function, whose arguments are read as sql/functions.sql declares
    // them.
    let arguments = unsafe { CallArguments::of(call) };
    create(CreationRequest::read(arguments))
}

/// Makes a vectorizer, with all that belongs to it.
fn create(request: CreationRequest) -> i32 {
    catalog::must_fit();
    match check(request) {
        Ok(checked) => CreationPlan::new(checked).apply(),
        Err(id) => id,
    }
}

/// Makes a vectorizer of pgai's one of ours: it has its id and its destination already.
pub fn adopt(id: i32, request: CreationRequest) -> i32 {
    catalog::must_fit();
    match check(request) {
        Ok(checked) => CreationPlan::adopting(id, checked).apply(),
        Err(id) => id,
    }
}

/// What is to be made.
struct CreationPlan {
    checked: CheckedRequest,
    objects: Objects,
    config: Value,
    /// The destination is there, with all that is in it.
    is_adopted: bool,
}

impl CreationPlan {
    fn new(checked: CheckedRequest) -> CreationPlan {
        checked.check_servers();
        checked.must_last();
        checked.destination_must_be_free();
        checked.must_fit();
        let config = configuration(&checked);
        // Last: what is refused uses up no number.
        let id = free_id(&checked.queue_schema, checked.queue_table.as_deref());
        let objects = objects(id, &checked);
        CreationPlan {
            checked,
            objects,
            config,
            is_adopted: false,
        }
    }

    /// What the servers let its owner do is not asked: it worked until now, and the worker says
    /// what is missing.
    fn adopting(id: i32, checked: CheckedRequest) -> CreationPlan {
        checked.must_last();
        checked.must_fit();
        let config = configuration(&checked);
        let objects = objects(id, &checked);
        CreationPlan {
            checked,
            objects,
            config,
            is_adopted: true,
        }
    }

    fn apply(self) -> i32 {
        let CheckedRequest {
            source,
            key,
            columns,
            dimensions,
            ..
        } = &self.checked;
        if self.is_adopted {
            self.objects.adopt_destination(source, key, *dimensions);
        } else {
            self.objects.create_destination(source, key, columns, *dimensions);
        }
        self.objects.create_queue(source, key);
        self.objects.grant(
            source,
            &self.checked.queue_schema,
            &self.schemas(),
            &self.checked.grantees,
        );
        let (name, derived) = (self.checked.name.clone(), self.checked.derived.clone());
        insert_named(name, derived, |name| self.insert(name));
        self.set_going();
        self.objects.id
    }

    /// The schemas of the destination.
    fn schemas(&self) -> Vec<&str> {
        match &self.checked.destination {
            Destination::Table {
                target_schema,
                view_schema,
                ..
            } => vec![target_schema, view_schema],
            Destination::Column { .. } => Vec::new(),
        }
    }

    /// Writes the row of the catalogue.
    fn insert(&self, name: &str) {
        let objects = &self.objects;
        acting_as_extension(|| {
            statement::run(
                include_str!("../../sql/query/vectorizer/insert_vectorizer.sql"),
                &[
                    objects.id.into(),
                    name.into(),
                    self.checked.source.oid.into(),
                    JsonB(self.checked.source_pk.clone()).into(),
                    objects.queue.as_str().into(),
                    objects.failed.as_str().into(),
                    objects.target().into(),
                    objects.view().into(),
                    objects.function.as_str().into(),
                    objects.trigger.as_str().into(),
                    JsonB(self.config.clone()).into(),
                    objects.intake.as_str().into(),
                ],
            )
        });
    }

    /// What is there is queued, and the worker is told.
    fn set_going(&self) {
        let CheckedRequest { source, key, .. } = &self.checked;
        let id = self.objects.id;
        acting_as_extension(|| {
            follow_names(Some(&[id]), None);
            schedule::plan_first_run(id, &self.checked.sections.scheduling.value);
        });
        if self.objects.target().is_none() {
            // The other vectorizers of this table learn that the new column is no news.
            refresh::refresh(source.oid);
        }
        if self.checked.enqueue_existing {
            acting_as(source.owner, || {
                seeing_all(|| self.objects.enqueue_existing(source, key));
            });
        }
        acting_as_extension(|| catalog::warn_if_filtered(id));
        shared_memory::vectorizer_changed_at_commit(id);
        if !shared_memory::is_available() {
            ereport!(
                WARNING,
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "ai is not in shared_preload_libraries: nothing is embedded until it is and the server is restarted"
            );
        }
    }
}

/// The configuration as the catalogue keeps it.
fn configuration(checked: &CheckedRequest) -> Value {
    let config = checked.sections.configuration(&checked.destination);
    validate::size(&config);
    if let Err(error) = serde_json::from_value::<Config>(config.clone()) {
        invalid(format!("the configuration cannot be read: {error}"));
    }
    config
}

/// The names of what it is made of, none of which is taken.
fn objects(id: i32, checked: &CheckedRequest) -> Objects {
    let schema = &checked.queue_schema;
    let queue_table = checked.queue_table.clone().unwrap_or_else(|| {
        let queue_table = usual_queue(id);
        must_be_free(schema, &queue_table, "an alternate queue_table");
        queue_table
    });
    must_be_free(schema, &failed_queue(id), "an alternate queue_schema");
    must_be_free(schema, &intake_name(id), "an alternate queue_schema");
    Objects {
        id,
        queue: qualified(schema, &queue_table),
        failed: qualified(schema, &failed_queue(id)),
        intake: qualified(schema, &intake_name(id)),
        destination: match &checked.destination {
            Destination::Table {
                target_schema,
                target_table,
                view_schema,
                view_name,
            } => DestinationObjects::Table {
                target: qualified(target_schema, target_table),
                view: qualified(view_schema, view_name),
            },
            Destination::Column { embedding_column } => DestinationObjects::Column {
                column: embedding_column.clone(),
            },
        },
        function: qualified(schema, &trigger_function(id)),
        trigger: trigger_function(id),
        in_extension: schema == "ai",
    }
}
