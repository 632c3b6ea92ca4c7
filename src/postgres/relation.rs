//! What Postgres' caches say of tables, roles and functions: to plan a statement that asks for it takes a millisecond
//! in each process that starts.

use std::ffi::{CStr, CString, c_char};

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

/// Names of Postgres end after this many bytes.
const NAME_BYTES: usize = pg_sys::NAMEDATALEN as usize - 1;

/// A table, a view or an index, as `pg_class` has it.
#[derive(Clone, Copy, Debug)]
pub struct Relation {
    pub owner: Oid,
    pub kind: u8,
    /// There are triggers on it, also those of foreign keys, or there were.
    pub has_triggers: bool,
    /// There are parts of it or tables that inherit from it, or there were.
    pub has_parts: bool,
    /// There are rules on it, or there were.
    pub has_rules: bool,
    /// Row security is enabled on it.
    pub has_policies: bool,
}

impl Relation {
    /// `None` where it is gone.
    pub fn of(relation: Oid) -> Option<Relation> {
        // SAFETY: on the main thread, in a transaction; the entry is given back after it was looked at.
        unsafe {
            let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as i32, relation.into());
            if tuple.is_null() {
                return None;
            }
            let class = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>();
            let found = Relation {
                owner: class.relowner,
                kind: class.relkind as u8,
                has_triggers: class.relhastriggers,
                has_parts: class.relhassubclass,
                has_rules: class.relhasrules,
                has_policies: class.relrowsecurity,
            };
            pg_sys::ReleaseSysCache(tuple);
            Some(found)
        }
    }
}

/// From here on the caches know what others have committed until now.
pub fn hear_of_changes() {
    // SAFETY: on the main thread, in a transaction.
    unsafe { pg_sys::AcceptInvalidationMessages() }
}

/// Whose a relation is; `None` where it is gone.
pub fn owner_of(relation: Oid) -> Option<Oid> {
    Relation::of(relation).map(|relation| relation.owner)
}

/// The schema and the name of a relation; `None` where it is gone.
pub fn name_of(relation: Oid) -> Option<(String, String)> {
    // SAFETY: on the main thread, in a transaction; the name is a copy of its own, or null.
    let (schema, name) = unsafe {
        (
            pg_sys::get_rel_namespace(relation),
            copied(pg_sys::get_rel_name(relation)),
        )
    };
    Some((namespace_name(schema)?, name?))
}

/// The name of a schema; `None` where it is gone.
pub fn namespace_name(schema: Oid) -> Option<String> {
    // SAFETY: as above.
    unsafe { copied(pg_sys::get_namespace_name(schema)) }
}

/// The name of a role; `None` where it is gone.
pub fn role_name(role: Oid) -> Option<String> {
    // SAFETY: as above.
    unsafe { copied(pg_sys::GetUserNameFromId(role, true)) }
}

/// A text of Postgres as one of Rust's own; `None` for null.
///
/// # Safety
/// A C string, or null.
pub unsafe fn copied(name: *const c_char) -> Option<String> {
    // SAFETY: by the caller.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}

/// A function, as `pg_proc` has it.
#[derive(Debug)]
pub struct Function {
    pub owner: Oid,
    pub schema: String,
    pub name: String,
}

impl Function {
    /// `None` where it is gone.
    pub fn of(function: Oid) -> Option<Function> {
        // SAFETY: on the main thread, in a transaction; the entry is given back after it was looked at, and
        // the names are copies of their own, or null.
        unsafe {
            let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::PROCOID as i32, function.into());
            if tuple.is_null() {
                return None;
            }
            let procedure = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_proc>();
            let (owner, schema) = (procedure.proowner, procedure.pronamespace);
            pg_sys::ReleaseSysCache(tuple);
            Some(Function {
                owner,
                schema: namespace_name(schema)?,
                name: copied(pg_sys::get_func_name(function))?,
            })
        }
    }
}

/// Takes the first name off `text` as SQL writes it, quoted or not; `None` where there is none.
fn first_name(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text
            .find(|character: char| !(character.is_alphanumeric() || matches!(character, '_' | '$')))
            .unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_ascii_lowercase(), &text[end..]));
    };
    let mut name = String::new();
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(behind) => {
                name.push('"');
                rest = behind;
            }
            None => return (!name.is_empty()).then_some((name, rest)),
        }
    }
}

/// The schema and the name in `schema.name`; `None` where it is something else.
fn parted(text: &str) -> Option<(String, String)> {
    let (schema, rest) = first_name(text)?;
    let (name, rest) = first_name(rest.strip_prefix('.')?)?;
    let fits = |name: &str| name.len() <= NAME_BYTES && !name.contains('\0');
    (rest.is_empty() && fits(&schema) && fits(&name)).then_some((schema, name))
}

/// The function without arguments of this name, with its schema. Raises nothing, whatever the text is: it may
/// be that of a row that was changed by hand, and statements about all vectorizers ask.
#[pg_extern(sql = false)]
pub fn trigger_function(name: &str) -> Option<Oid> {
    let (schema, name) = parted(name)?;
    let (schema, name) = (CString::new(schema).ok()?, CString::new(name).ok()?);
    // SAFETY: on the main thread, in a transaction; names and the empty vector of arguments live until the
    // caches have answered.
    let found = unsafe {
        let schema = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        if schema == Oid::INVALID {
            return None;
        }
        pg_sys::GetSysCacheOid(
            pg_sys::SysCacheIdentifier::PROCNAMEARGSNSP as i32,
            pg_sys::Anum_pg_proc_oid as i16,
            pg_sys::Datum::from(name.as_ptr()),
            pg_sys::Datum::from(pg_sys::buildoidvector(std::ptr::null(), 0)),
            schema.into(),
            pg_sys::Datum::null(),
        )
    };
    (found != Oid::INVALID).then_some(found)
}
