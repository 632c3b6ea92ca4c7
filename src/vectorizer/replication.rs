//! What logical replication brings: vectorizers that embed that, too.
//!
//! A process that applies changes of another server runs as a replica: it fires triggers that are enabled for
//! replicas only, of those the ones by row (and on TRUNCATE), one row at a time. So a source has one more
//! trigger by row, that nobody else fires. A partitioned one has triggers by row already, which are enabled
//! for everybody. That the triggers are there and enabled is all that is kept: pg_dump knows about them.

use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use super::refresh;
use super::relation::{altering, lock_out_writers};
use super::{must_own, triggers};
use crate::catalog;
use crate::postgres::statement::{self, identifier};
use crate::postgres::transaction::acting_as_extension;

#[pg_extern(sql = false)]
fn follow_replication(vectorizer_id: i32, follow: bool) {
    catalog::must_fit();
    must_own(vectorizer_id);
    let Some(watched) = refresh::watched(vectorizer_id) else {
        return;
    };
    // Once nobody else can alter the source: it may have been given away, or have another name, while this waited.
    lock_out_writers(watched.source);
    statement::on_latest(|| must_own(vectorizer_id));
    let Some(watched) = statement::on_latest(|| refresh::watched(vectorizer_id)) else {
        return;
    };
    // The columns of its key may be gone; then it is of no use, and in nobody's way.
    acting_as_extension(|| {
        if !watched.partitioned && watched.follows_replication != follow {
            if follow {
                triggers::create_for_replicas(&watched);
            } else {
                let trigger = identifier(&format!("{}{}", watched.stem, triggers::FOR_REPLICAS));
                altering(watched.source, |source| {
                    statement::run(&format!("DROP TRIGGER {trigger} ON {source}"), &[]);
                });
            }
        }
        let enable = if follow { "ENABLE ALWAYS" } else { "ENABLE" };
        let sql = include_str!("../../sql/query/trigger/replicated_triggers.sql");
        let found = statement::rows(sql, &[vectorizer_id.into()], |row| {
            (row.must::<Oid>(1), row.must::<String>(2))
        });
        for (table, trigger) in found {
            let trigger = identifier(&trigger);
            altering(table, |table| {
                statement::run(&format!("ALTER TABLE {table} {enable} TRIGGER {trigger}"), &[]);
            });
        }
    });
    // The event trigger has done it, unless event triggers are off.
    refresh::refresh(watched.source);
}
