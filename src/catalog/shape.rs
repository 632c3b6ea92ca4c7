//! Whether the tables of a vectorizer are what they were made: they belong to the owner of its source, who
//! may alter them.

use crate::postgres::statement;

/// # Errors
/// What the owner has altered: statements on it would fail, or read something else.
pub fn check(vectorizer: i32) -> Result<(), String> {
    let sql = include_str!("../../sql/query/source/altered_table.sql");
    let altered = statement::row(sql, &[vectorizer.into()], |row| {
        (row.must::<String>(1), row.must::<String>(2), row.get::<String>(3))
    });
    match altered {
        None => Ok(()),
        Some((table, column, None)) => Err(format!("its table {table} has no column {column} any more")),
        Some((table, column, Some(kind))) => Err(format!(
            "its table {table} is not as it was made: the column {column} is of type {kind}"
        )),
    }
}
