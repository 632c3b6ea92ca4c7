//! Whether there is anything for a worker to do in its database.

use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use crate::catalog;
use crate::postgres::transaction;
use crate::settings;
use crate::shared_memory;

/// Whether the database has the extension, in the version of this library and in an encoding that
/// it knows. Says why when it stands still.
pub(super) fn extension_fits(database: Oid) -> bool {
    let looked = transaction::run(|| (catalog::extension_version().is_some(), catalog::conflict()));
    let next_due = match looked {
        Err(aborted) => {
            log!("ai: cannot look for the extension: {}", aborted.message);
            return false;
        }
        Ok((true, None)) => return true,
        Ok((_, Some(conflict))) => {
            log!("ai: {conflict}");
            shared_memory::now() + i64::try_from(settings::naptime().as_micros()).unwrap_or(i64::MAX / 2)
        }
        Ok((false, None)) => 0,
    };
    // Woken since: it may just have been installed.
    if !shared_memory::leave(database, next_due) {
        shared_memory::take_wake(database);
        return extension_fits(database);
    }
    false
}
