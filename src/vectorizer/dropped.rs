//! What is left of a vectorizer whose tables are dropped goes with them; its embeddings stay.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::refresh;
use crate::catalog;
use crate::postgres::statement;
use crate::postgres::transaction::acting_as_extension;
use crate::shared_memory;

/// What is left of a vectorizer.
struct DroppedVectorizer {
    id: i32,
    name: String,
    tables: Vec<Oid>,
    function: Option<Oid>,
    trigger: Option<Oid>,
    target: Option<String>,
    index: Option<Oid>,
}

/// For the event trigger: these relations were dropped.
///
/// A transaction that began with an older view of the data does not see a vectorizer that was made meanwhile.
#[pg_extern(sql = false)]
fn relations_dropped(relations: Vec<Oid>) {
    // SAFETY: a look at the role of the session, which is not that of the event trigger.
    let user = unsafe { pg_sys::GetOuterUserId() };
    let sql = include_str!("../../sql/query/vectorizer/dropped_with.sql");
    let read = || {
        statement::rows(sql, &[relations.clone().into(), user.into()], |row| DroppedVectorizer {
            id: row.must("id"),
            name: row.must("name"),
            tables: row.must("tables"),
            function: row.get("function"),
            trigger: row.get("trigger"),
            target: row.get("target_name"),
            index: row.get("index"),
        })
    };
    statement::on_latest(|| {
        acting_as_extension(|| {
            for remains in read() {
                drop_remains(remains);
            }
            statement::run(include_str!("../../sql/query/vectorizer/forget_views.sql"), &[]);
        });
        follow_losses();
        let names = include_str!("../../sql/query/vectorizer/dropped_names.sql");
        acting_as_extension(|| tell_of_code_of_others(statement::rows(names, &[], |row| row.must(1))));
    });
}

/// The objects with these names were altered, or dropped: vectorizers that were paused for code of others there go on,
/// where it is gone.
pub(super) fn tell_of_code_of_others(names: Vec<String>) {
    if names.is_empty() {
        return;
    }
    let paused = include_str!("../../sql/query/vectorizer/paused_for_others.sql");
    let paused: Vec<i32> = statement::rows(paused, &[names.into()], |row| row.must(1));
    if paused.is_empty() {
        return;
    }
    for id in catalog::without_code_of_others(&paused) {
        catalog::mended(id);
        shared_memory::mended_at_commit(id);
    }
}

/// What else the statement has dropped: partitions, triggers and columns that vectorizers need.
fn follow_losses() {
    let sql = include_str!("../../sql/query/vectorizer/lost_partitions.sql");
    let pruned: Vec<i32> = acting_as_extension(|| statement::rows(sql, &[], |row| row.must(1)));
    pruned.into_iter().for_each(refresh::prune_vectorizer);
    let sql = include_str!("../../sql/query/vectorizer/lost_triggers.sql");
    let lost: Vec<String> = acting_as_extension(|| statement::rows(sql, &[], |row| row.must(1)));
    for name in lost {
        notice!(
            "vectorizer {name} has lost triggers on its source table: it stands still until it is dropped and made again"
        );
    }
    let sql = include_str!("../../sql/query/vectorizer/lost_columns.sql");
    let lost: Vec<(String, String)> =
        acting_as_extension(|| statement::rows(sql, &[], |row| (row.must(1), row.must(2))));
    for (name, column) in lost {
        notice!("vectorizer {name} needs the column {column} that was dropped: it is paused until it is dropped, too");
    }
}

fn drop_remains(remains: DroppedVectorizer) {
    let (id, name) = (remains.id, &remains.name);
    notice!("associated table for vectorizer {id} dropped. dropping vectorizer");
    // First the row: what is dropped below comes by here again.
    statement::run("DELETE FROM ai._vectorizer WHERE id = $1", &[id.into()]);
    shared_memory::stop_indexer(Some(id));
    if let Some(function) = remains.function {
        delete(pg_sys::ProcedureRelationId, function);
    }
    if let Some(trigger) = remains.trigger {
        delete(pg_sys::TriggerRelationId, trigger);
    }
    for table in remains.tables {
        delete(pg_sys::RelationRelationId, table);
    }
    // Embeddings are paid for, and the table that they are of may have been copied before: they stay,
    // whatever is dropped, as with ai.drop_vectorizer. What the statement itself has dropped (a schema with
    // all that is in it) is gone.
    if let Some(target) = remains.target {
        if let Some(index) = remains.index {
            delete(pg_sys::RelationRelationId, index);
        }
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
            format!("the embeddings of vectorizer {name} stay in {target}"),
            "ai",
        )
        .set_hint("Drop the table where they are of no use any more.")
        .report(PgLogLevel::NOTICE);
    }
}

/// Drops an object with what depends on it: by its OID, since a name may lead elsewhere once it is locked,
/// and of whatever kind it is by now.
fn delete(class: Oid, object: Oid) {
    let address = pg_sys::ObjectAddress {
        classId: class,
        objectId: object,
        objectSubId: 0,
    };
    // SAFETY: on the main thread, in a transaction, of an object that was found with the latest view of the
    // catalogues; one that is gone by now is passed over. Each is told of by its vectorizer.
    unsafe {
        let flags = pg_sys::PERFORM_DELETION_QUIETLY;
        pg_sys::performDeletion(&address, pg_sys::DropBehavior::DROP_CASCADE, flags as i32);
        pg_sys::CommandCounterIncrement();
    }
}
