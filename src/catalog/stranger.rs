//! Whether the source of a vectorizer belongs to another role than the one that the vectorizer works for.
//!
//! Asked about each vectorizer whenever one is read: by Postgres' caches, as to plan a statement takes a millisecond.

use std::ffi::CStr;

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

/// The owner of a source where that is another role than the one that its vectorizer works for: the role of a
/// number in `owner_place`, where that is of this cluster and there is such a role, and the role of the name
/// `owner` otherwise. `None` where it is not another, or not known.
#[pg_extern(sql = false)]
fn stranger(source: Option<Oid>, owner: Option<&str>, owner_place: Option<&str>) -> Option<String> {
    let now = owner_of(source?)?;
    let name = name_of(now)?;
    let is_another = match owner_place
        .and_then(number_here)
        .filter(|number| name_of(*number).is_some())
    {
        Some(number) => number != now,
        None => owner.is_some_and(|owner| owner != name),
    };
    is_another.then_some(name)
}

/// The number of a role in a place, `<cluster>/<number>` as `own.sql` writes it, where that is of this cluster.
fn number_here(place: &str) -> Option<Oid> {
    // SAFETY: a look at what the server was started with.
    let cluster = unsafe { pg_sys::GetSystemIdentifier() }.cast_signed();
    let number = place.strip_prefix(&format!("{cluster}/"))?;
    let role: u32 = number.parse().ok()?;
    (role.to_string() == number).then(|| Oid::from(role))
}

/// Whose a relation is; `None` where it is gone.
pub fn owner_of(relation: Oid) -> Option<Oid> {
    // SAFETY: on the main thread, in a transaction; the entry is given back after it was looked at.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as i32, relation.into());
        if tuple.is_null() {
            return None;
        }
        let owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>()).relowner;
        pg_sys::ReleaseSysCache(tuple);
        Some(owner)
    }
}

/// The name of a role; `None` where it is gone.
fn name_of(role: Oid) -> Option<String> {
    // SAFETY: on the main thread, in a transaction; the name is a copy of its own, or null.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}
