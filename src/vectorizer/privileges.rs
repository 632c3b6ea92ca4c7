//! Who may do what with the parts of a vectorizer: privileges that others have are taken from them.

use pgrx::pg_sys::{self, Oid};

use crate::postgres::statement;

/// Takes privileges on a relation, or a function, from all but its owner.
pub fn revoke(privileges: &str, object: Oid, name: &str) {
    let sql = include_str!("../../sql/query/owner/grantees.sql");
    let class = if privileges.ends_with("FUNCTION") {
        pg_sys::ProcedureRelationId
    } else {
        pg_sys::RelationRelationId
    };
    let grantees: Vec<String> = statement::rows(sql, &[object.into(), class.into()], |row| row.must(1));
    if !grantees.is_empty() {
        let grantees = grantees.join(", ");
        statement::run(&format!("REVOKE {privileges} {name} FROM {grantees} CASCADE"), &[]);
    }
}

/// Takes what the default privileges of the role that made a table, or a function, have given to others.
pub fn keep_alone(kind: &str, name: &str) {
    if kind == "FUNCTION" {
        let function = statement::row("SELECT to_regprocedure($1)::oid", &[name.into()], |row| {
            row.get::<Oid>(1)
        });
        revoke("ALL ON FUNCTION", function.flatten().unwrap_or(Oid::INVALID), name);
        return;
    }
    let relation = statement::row("SELECT to_regclass($1)::oid", &[name.into()], |row| row.get::<Oid>(1));
    let relation = relation.flatten().unwrap_or(Oid::INVALID);
    revoke("ALL ON", relation, name);
    let sql = include_str!("../../sql/query/owner/identity_sequences.sql");
    let sequences = statement::rows(sql, &[relation.into()], |row| (row.must(1), row.must::<String>(2)));
    for (sequence, name) in sequences {
        revoke("ALL ON SEQUENCE", sequence, &name);
    }
}
