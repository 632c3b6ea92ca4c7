//! What goes with the extension when that is dropped: what a vectorizer is made of, and nobody else has a use for.

use pgrx::pg_sys::{self, Oid};

use crate::postgres::statement;

/// Has an object dropped with the extension; once, also where it is asked for again.
///
/// Not by the clause that functions and triggers have for that (DEPENDS ON EXTENSION), and tables have not: it
/// locks the extension, which all share, until the transaction that makes the object has ended.
fn goes_with_extension(class: Oid, object: Oid) {
    let address = |class: Oid, object: Oid| pg_sys::ObjectAddress {
        classId: class,
        objectId: object,
        objectSubId: 0,
    };
    // SAFETY: plain values, in a transaction; the row in pg_depend is the one that the clause would make.
    unsafe {
        let extension = pg_sys::get_extension_oid(c"ai".as_ptr(), false);
        let known = pg_sys::getAutoExtensionsOfObject(class, object);
        if !pg_sys::list_member_oid(known, extension) {
            pg_sys::recordDependencyOn(
                &address(class, object),
                &address(pg_sys::ExtensionRelationId, extension),
                pg_sys::DependencyType::DEPENDENCY_AUTO_EXTENSION,
            );
            pg_sys::CommandCounterIncrement();
        }
    }
}

/// A queue that stayed behind would stand in the way of the first vectorizer after another CREATE EXTENSION. What
/// is in it can be made again from the source.
pub fn table_goes_with_extension(table: Oid) {
    goes_with_extension(pg_sys::RelationRelationId, table);
}

/// A function without arguments, by its name. To be said again of one that was made anew: Postgres forgets it.
pub fn function_goes_with_extension(function: &str) {
    let sql = "SELECT to_regprocedure($1 || '()')::oid";
    let found = statement::row(sql, &[function.into()], |row| row.get::<Oid>(1));
    if let Some(function) = found.flatten() {
        goes_with_extension(pg_sys::ProcedureRelationId, function);
    }
}

/// A trigger of a table, both by their names.
pub fn trigger_goes_with_extension(table: &str, trigger: &str) {
    let sql = "SELECT t.oid FROM pg_trigger t WHERE t.tgrelid = to_regclass($1) AND t.tgname = $2::name";
    if let Some(trigger) = statement::row(sql, &[table.into(), trigger.into()], |row| row.must::<Oid>(1)) {
        goes_with_extension(pg_sys::TriggerRelationId, trigger);
    }
}
