//! What is written down about vectorizers beside their definitions: pauses, failures and runs.

use std::collections::HashMap;

use crate::postgres::statement;

/// What is written down about a vectorizer beside its definition.
#[derive(Default)]
pub struct Condition {
    pub paused: bool,
    /// How long until it is tried again, in seconds.
    pub retry_in: Option<f64>,
    pub has_notes: bool,
    pub refusals: u32,
    /// How long until its next run, in seconds.
    pub runs_in: Option<f64>,
}

/// What is written down about these vectorizers.
pub fn conditions(ids: &[i32]) -> HashMap<i32, Condition> {
    let sql = include_str!("../../sql/query/vectorizer/conditions.sql");
    let conditions = statement::rows(sql, &[ids.to_vec().into()], |row| {
        let condition = Condition {
            paused: row.get("paused") == Some(true),
            retry_in: row.get("retry_in"),
            has_notes: row.must("has_notes"),
            refusals: row.must::<i32>("refusals").unsigned_abs(),
            runs_in: row.get("runs_in"),
        };
        (row.must("id"), condition)
    });
    conditions.into_iter().collect()
}
