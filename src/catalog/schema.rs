//! The schema of the extension, as it was before the extension: `CREATE EXTENSION` takes one that is there.

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

/// `pg_depend` and its index by what is depended on: the same numbers in every version of Postgres.
const DEPEND: u32 = 2608;
const DEPEND_REFERENCE_INDEX: u32 = 2674;

/// Why the schema is not the extension's alone, as far as no statement of the install script can see it: a
/// transaction that is still open has made something in it, whose name would become one of the extension's
/// when it commits; or this transaction has altered it, and its owner of before can still make something
/// there.
#[pg_extern(sql = false)]
fn schema_intruder(schema: Oid) -> Option<String> {
    if was_altered_here(schema) {
        return Some("the schema ai was altered in this transaction".to_owned());
    }
    is_being_filled(schema).then(|| "a transaction that is still open makes something in the schema ai".to_owned())
}

/// Whether a transaction other than ours has made an object that depends on the schema, committed or not.
fn is_being_filled(schema: Oid) -> bool {
    let class = pg_sys::NamespaceRelationId;
    // SAFETY: on the main thread, in a transaction; what is opened is closed, and an ERROR ends the
    // transaction, which gives it back. A dirty snapshot is a value that the scan writes to.
    unsafe {
        let mut dirty = pg_sys::SnapshotData {
            snapshot_type: pg_sys::SnapshotType::SNAPSHOT_DIRTY,
            ..Default::default()
        };
        let mut keys = [key(4, class), key(5, schema)];
        find(DEPEND.into(), DEPEND_REFERENCE_INDEX, &mut dirty, &mut keys, |tuple| {
            let writer = pg_sys::HeapTupleHeaderGetXmin((*tuple).t_data);
            !pg_sys::TransactionIdIsCurrentTransactionId(writer)
        })
    }
}

/// Whether there is a version of the schema that others see and that we have replaced.
fn was_altered_here(schema: Oid) -> bool {
    // SAFETY: as above. A snapshot for which each version counts has no further parts.
    unsafe {
        let mut any = pg_sys::SnapshotData {
            snapshot_type: pg_sys::SnapshotType::SNAPSHOT_ANY,
            ..Default::default()
        };
        let mut keys = [key(1, schema)];
        find(
            pg_sys::NamespaceRelationId,
            pg_sys::NamespaceOidIndexId,
            &mut any,
            &mut keys,
            |tuple| {
                let header = (*tuple).t_data;
                let ended = (*header).t_choice.t_heap.t_xmax;
                let is_ended = (*header).t_infomask as u32 & pg_sys::HEAP_XMAX_INVALID == 0;
                is_ended
                    && pg_sys::TransactionIdIsCurrentTransactionId(ended)
                    && !pg_sys::TransactionIdIsCurrentTransactionId(pg_sys::HeapTupleHeaderGetXmin(header))
            },
        )
    }
}

/// `column = value`, of a column that is an OID.
fn key(column: i16, value: Oid) -> pg_sys::ScanKeyData {
    let mut key = pg_sys::ScanKeyData::default();
    // SAFETY: initialises a value of ours with the equality of OIDs.
    unsafe {
        pg_sys::ScanKeyInit(
            &mut key,
            column,
            pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber,
            pg_sys::F_OIDEQ.into(),
            value.into(),
        );
    }
    key
}

/// Whether a row of a catalogue that has these keys is one of those looked for.
///
/// # Safety
/// In a transaction, with the catalogue's own index, whose first columns are those of the keys.
unsafe fn find(
    catalogue: Oid,
    index: u32,
    snapshot: &mut pg_sys::SnapshotData,
    keys: &mut [pg_sys::ScanKeyData],
    mut is_it: impl FnMut(pg_sys::HeapTuple) -> bool,
) -> bool {
    // SAFETY: by the caller.
    unsafe {
        let relation = pg_sys::table_open(catalogue, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
        let scan = pg_sys::systable_beginscan(
            relation,
            index.into(),
            true,
            snapshot,
            keys.len() as i32,
            keys.as_mut_ptr(),
        );
        let mut found = false;
        while !found {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            found = is_it(tuple);
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
        found
    }
}
