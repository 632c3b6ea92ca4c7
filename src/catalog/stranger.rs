//! Whether the source of a vectorizer belongs to another role than the one that the vectorizer works for.
//!
//! Asked about each vectorizer whenever one is read: by Postgres' caches, as to plan a statement takes a millisecond.

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use crate::postgres::relation::{owner_of, role_name};

/// The owner of a source where that is another role than the one that its vectorizer works for: the role of a
/// number in `owner_place`, where that is of this cluster and there is such a role, and the role of the name
/// `owner` otherwise. `None` where it is not another, or not known.
#[pg_extern(sql = false)]
pub(super) fn stranger(source: Option<Oid>, owner: Option<&str>, owner_place: Option<&str>) -> Option<String> {
    let now = owner_of(source?)?;
    let name = role_name(now)?;
    let is_another = match owner_place
        .and_then(number_here)
        .filter(|number| role_name(*number).is_some())
    {
        Some(number) => number != now,
        None => owner.is_some_and(|owner| owner != name),
    };
    is_another.then_some(name)
}

/// The number of a role in a place, `<cluster>/<number>` as `own.sql` writes it, where that is of this cluster.
fn number_here(place: &str) -> Option<Oid> {
    let number = place.strip_prefix(&format!("{}/", cluster()))?;
    let role: u32 = number.parse().ok()?;
    (role.to_string() == number).then(|| Oid::from(role))
}

/// Where a number of a role holds, as `owner_place` has it.
pub(super) fn place_of(role: Oid) -> String {
    format!("{}/{}", cluster(), role.to_u32())
}

/// The number of this cluster, as `pg_control_system` writes it.
pub(super) fn cluster() -> i64 {
    // SAFETY: a look at what the server was started with.
    unsafe { pg_sys::GetSystemIdentifier() }.cast_signed()
}
