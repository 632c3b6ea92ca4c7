//! The way back to pgai, with what waits: the work of `docs/return-to-pgai.sql`.

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::drop;
use super::pgai::{
    CatalogObject, PGAI, PgaiParts, PgaiRow, catalogue, kept_queue, move_queues, must_be_superuser, must_belong,
    with_create_on_pgai,
};
use super::standing::missing;
use crate::postgres::error::raise;
use crate::postgres::key::{In, PrimaryKey};
use crate::postgres::relation::name_of;
use crate::postgres::statement::{self, fill, identifier, qualified};
use crate::postgres::transaction::{acting_as, acting_as_extension, restricted_to};
use crate::store::queue;
use crate::{catalog, intake};

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
        missing(&vectorizer_id.to_string())
    };
    let queue = qualified(&queue_schema, &queue);
    let row = PgaiRow::of(vectorizer_id);
    // Nobody writes to the source from here on, so that nothing is missed between our triggers and pgai's.
    // SAFETY: on the main thread, in a transaction, which gives the lock back.
    unsafe { pg_sys::LockRelationOid(source, pg_sys::ShareRowExclusiveLock as pg_sys::LOCKMODE) };
    let by_oid = include_str!("../../sql/query/adoption/adopted_relation_by_oid.sql");
    let Some(source) = statement::row(by_oid, &[source.into()], CatalogObject::read) else {
        missing(&vectorizer_id.to_string())
    };
    if row.queue_schema != queue_schema {
        let message = format!(
            "the queue of vectorizer {vectorizer_id} came from the schema {queue_schema}, and not from {}, as pgai's catalogue says now",
            row.queue_schema
        );
        raise(PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message, None)
    }
    let parts = parts(&row, &source);
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
    carry_back(&source, &parts.queue, &queue, &key);
    let stopped = "UPDATE ONLY pgai.vectorizer p SET disabled = $2 WHERE p.id = $1";
    acting_as(catalogue.owner, || {
        statement::run(stopped, &[vectorizer_id.into(), is_disabled.into()])
    });
    restricted_to(source.owner, || drop::drop_vectorizer(vectorizer_id, false));
    give_back(&row, &source, &parts);
}

/// What pgai has made, as it was kept.
fn parts(row: &PgaiRow, source: &CatalogObject) -> PgaiParts {
    let kept = kept_queue(row.id);
    let Some(queue) = CatalogObject::relation(PGAI, &kept) else {
        let message = format!("the queue {} does not exist", qualified(PGAI, &kept));
        raise(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message, None)
    };
    let failed = CatalogObject::relation(PGAI, &row.failed_table);
    let function = include_str!("../../sql/query/adoption/pgai_function.sql");
    let Some(function) = statement::row(
        function,
        &[PGAI.into(), row.trigger.as_str().into()],
        CatalogObject::read,
    ) else {
        let message = format!("pgai's function {} is gone", qualified(PGAI, &row.trigger));
        raise(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, message, None)
    };
    let parts = PgaiParts::looked_at(function, queue, failed);
    must_belong(source, [&parts.function, &parts.queue].into_iter());
    parts.queue.must_have_no_foreign_triggers();
    parts
}

/// What waits in our queue waits in pgai's again.
fn carry_back(source: &CatalogObject, old_queue: &CatalogObject, queue: &str, key: &PrimaryKey) {
    let values = [
        ("old_queue", old_queue.name.as_str()),
        ("queue", queue),
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
}

/// pgai's objects go where they were, and its triggers are on the source again.
fn give_back(row: &PgaiRow, source: &CatalogObject, parts: &PgaiParts) {
    let mut function_now = parts.function.name.clone();
    let (kept, name) = (&parts.queue.name, identifier(&row.queue_table));
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
                    let failed = parts.failed.as_ref();
                    if let Some(failed) = failed.filter(|failed| failed.owner == source.owner) {
                        statement::run(&format!("ALTER TABLE {} SET SCHEMA {schema}", failed.name), &[]);
                    }
                    statement::run(
                        &format!("ALTER FUNCTION {} SET SCHEMA {schema}", parts.function.name),
                        &[],
                    );
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
