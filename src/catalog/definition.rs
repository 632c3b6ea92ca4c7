//! What the catalogue keeps of a vectorizer: its row of `ai._vectorizer`, and nothing else.

use pgrx::pg_sys::Oid;
use serde_json::Value;

use crate::postgres::statement;

/// A row of `ai._vectorizer`. It may have been changed by hand: what is in JSON may be anything.
#[derive(Debug)]
pub struct Definition {
    pub id: i32,
    pub name: String,
    pub source: Oid,
    /// The columns of the primary key, with the numbers and names that they had when it was written.
    pub source_pk: Value,
    pub queue: Oid,
    pub failed: Oid,
    /// `None` in a row of version 0.1.0, until its triggers are made anew.
    pub intake: Option<Oid>,
    /// The table of chunks; `None` where a column of the source takes the vectors.
    pub target: Option<Oid>,
    pub view: Option<Oid>,
    /// The function of its triggers, with its schema, as SQL writes it.
    pub trigger_function: String,
    pub trigger_name: String,
    /// The configuration as text; `None` where it is larger than one may be.
    pub config: Option<String>,
    pub disabled: bool,
    /// The numbers of the columns of the source that the configuration names.
    pub columns: Value,
    /// Where these numbers hold: cluster, database and source.
    pub place: String,
    /// The role that it works for; `None` in a row of version 0.1.0, until it is read first.
    pub owner: Option<String>,
    /// Where the number of that role holds: cluster and role.
    pub owner_place: String,
}

/// The rows of these vectorizers (`None`: of all), by their numbers.
pub fn definitions(ids: Option<&[i32]>) -> Vec<Definition> {
    let json = |text: String| serde_json::from_str(&text).unwrap_or_default();
    let sql = include_str!("../../sql/query/vectorizer/definitions.sql");
    statement::rows(sql, &[ids.map(<[i32]>::to_vec).into()], |row| Definition {
        id: row.must("id"),
        name: row.must("name"),
        source: row.must("source"),
        source_pk: json(row.must("source_pk")),
        queue: row.must("queue"),
        failed: row.must("failed"),
        intake: row.get("intake"),
        target: row.get("target"),
        view: row.get("view"),
        trigger_function: row.must("trigger_function"),
        trigger_name: row.must("trigger_name"),
        config: row.get("config"),
        disabled: row.must("disabled"),
        columns: json(row.must("columns")),
        place: row.must("place"),
        owner: row.get("owner"),
        owner_place: row.must("owner_place"),
    })
}

/// The row of a vectorizer; `None` where there is none.
pub fn definition(id: i32) -> Option<Definition> {
    definitions(Some(&[id])).pop()
}

impl Definition {
    /// The configuration; `None` where it is none that can be read.
    pub fn config(&self) -> Option<Value> {
        serde_json::from_str(self.config.as_deref()?).ok()
    }

    /// The tables that the worker works with: source, queue, failed queue, intake and, where there is one, that of
    /// chunks.
    pub fn relations(&self) -> Vec<Oid> {
        let tables = [
            Some(self.source),
            Some(self.queue),
            Some(self.failed),
            self.intake,
            self.target,
        ];
        tables.into_iter().flatten().collect()
    }
}
