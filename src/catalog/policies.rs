//! Row security that applies to the owner of a source, as whom its vectorizer is worked on. What a policy
//! hides is missing in every answer, as if it were deleted: nothing may follow from such an answer.

use ai_pipeline::error::{Class, Failure, Step};
use pgrx::prelude::*;

use crate::postgres::statement;

/// What is wrong where row security filters one of the tables of a vectorizer for its owner. To be called as
/// the extension.
pub fn filtered(vectorizer_id: i32) -> Option<Failure> {
    let sql = include_str!("../../sql/query/owner/filtered.sql");
    let found = statement::row(sql, &[vectorizer_id.into()], |row| {
        (row.must::<String>(1), row.must::<String>(2), row.must::<bool>(3))
    });
    found.map(|(table, role, is_own)| Failure {
        step: Step::Loading,
        class: Class::Configuration,
        reason: format!(
            "row-level security of {table} applies to {role}, the owner of the source: rows that it hides would be taken for \
             deleted ones"
        ),
        hint: Some(if is_own {
            format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, or give the role BYPASSRLS.")
        } else {
            "Give the table to the owner of the source (ALTER TABLE ... OWNER TO), or give that role BYPASSRLS.".to_owned()
        }),
    })
}

/// Warns the session that makes or alters a vectorizer that it will stand still for that. To be called as the
/// extension.
pub fn warn_if_filtered(vectorizer_id: i32) {
    if let Some(Failure { reason, hint, .. }) = filtered(vectorizer_id) {
        let message = format!("the vectorizer stands still: {reason}");
        let report = pgrx::pg_sys::panic::ErrorReport::new(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            message,
            "ai",
        );
        report.set_hint(hint.unwrap_or_default()).report(PgLogLevel::WARNING);
    }
}
