//! The primary key of a source table, in the SQL of the tables that know it.

use std::collections::HashMap;

use pgrx::pg_sys::{self, Oid};
use serde_json::Value;

use crate::postgres::relation::hear_of_changes;
use crate::postgres::statement::{self, identifier};
use crate::postgres::types::{self, Equality};

/// The tables that hold a primary key. Each may know its columns by other names: a queue has columns of its own, and a
/// source may be altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum In {
    Source,
    /// The queue, the failed queue and the intake.
    Queue,
    Target,
}

/// What the columns of a primary key are called in a queue, with the types that they have in the source, from
/// the `source_pk` that the catalogue keeps, without asking the database; `None` where that is of no key, or
/// the source, which has columns of these numbers and types, has lost one of them.
pub fn names_in_queue(source_pk: &Value, source_columns: &[(i16, Oid)]) -> Option<Vec<(String, Oid)>> {
    let number = |number: &Value| i16::try_from(number.as_i64()?).ok();
    let named = |column: &Value| {
        let number_there = number(&column["attnum"])?;
        let (_, kind) = source_columns.iter().find(|(known, _)| *known == number_there)?;
        let name = column["queued"].as_str().or_else(|| column["attname"].as_str())?;
        Some((number(&column["pknum"])?, (name.to_owned(), *kind)))
    };
    let mut columns: Vec<(i16, (String, Oid))> = source_pk.as_array()?.iter().map(named).collect::<Option<_>>()?;
    columns.sort_by_key(|(place, _)| *place);
    (!columns.is_empty()).then(|| columns.into_iter().map(|(_, column)| column).collect())
}

/// The columns of a primary key, in its order.
#[derive(Clone, Debug)]
pub struct PrimaryKey(Vec<KeyColumn>);

#[derive(Clone, Debug)]
struct KeyColumn {
    source: String,
    queued: String,
    stored: String,
    /// The operator that its index calls equality, wherever its type comes from.
    equals: String,
    /// What that operator takes, where the type of the column is another.
    cast: Option<String>,
    /// It may hold a null of JSON, which is none of SQL.
    is_json: bool,
    length: Length,
}

/// How long the values of a column are.
#[derive(Clone, Copy, Debug, Default)]
enum Length {
    /// All of them a few bytes.
    #[default]
    Short,
    /// What `octet_length` says.
    Counted,
    /// What their text takes.
    OfText,
}

impl KeyColumn {
    /// A column by its names in the three tables.
    fn new(source: String, queued: &str, stored: &str) -> KeyColumn {
        KeyColumn {
            source,
            queued: queued.to_owned(),
            stored: stored.to_owned(),
            equals: String::new(),
            cast: None,
            is_json: false,
            length: Length::default(),
        }
    }

    fn called(&self, table: In) -> &str {
        match table {
            In::Source => &self.source,
            In::Queue => &self.queued,
            In::Target => &self.stored,
        }
    }

    fn name(&self, table: In) -> String {
        identifier(self.called(table))
    }
}

impl PrimaryKey {
    /// From the `source_pk` that the catalogue keeps, before anything has been renamed.
    pub fn new(source: Oid, source_pk: &Value) -> PrimaryKey {
        let mut columns: Vec<&Value> = source_pk.as_array().into_iter().flatten().collect();
        columns.sort_by_key(|column| column["pknum"].as_i64());
        let columns = columns.into_iter().map(|column| {
            let name = column["attname"].as_str().unwrap_or_default();
            let queued = column["queued"].as_str().unwrap_or(name);
            KeyColumn::new(name.to_owned(), queued, name)
        });
        PrimaryKey(columns.collect()).with_equality(source)
    }

    /// From the `source_pk` that the catalogue keeps, with the names that the columns of the source have now;
    /// `None` when one of them is gone.
    pub fn current(source: Oid, source_pk: &Value) -> Option<PrimaryKey> {
        hear_of_changes();
        // A dump may have been written by hand.
        let place = |number: &Value| number.as_i64().and_then(|number| i16::try_from(number).ok());
        let mut columns = source_pk
            .as_array()?
            .iter()
            .map(|column| {
                let (number, order) = (place(&column["attnum"])?, place(&column["pknum"])?);
                let (queued, stored) = (column["queued"].as_str(), column["stored"].as_str());
                let made = column["attname"].as_str();
                let name = types::Column::name_of(source, number)?;
                Some((order, KeyColumn::new(name, queued.or(made)?, stored.or(made)?)))
            })
            .collect::<Option<Vec<(i16, KeyColumn)>>>()?;
        columns.sort_by_key(|(order, _)| *order);
        let columns: Vec<KeyColumn> = columns.into_iter().map(|(_, column)| column).collect();
        (!columns.is_empty()).then(|| PrimaryKey(columns).with_equality(source))
    }

    fn with_equality(mut self, source: Oid) -> PrimaryKey {
        let sql = include_str!("../../sql/query/source/equality.sql");
        let classes = statement::rows(sql, &[source.into()], |row| {
            (row.must("number"), row.get::<Oid>("opclass"))
        });
        let operators = classes.into_iter().filter_map(|(number, class)| {
            let name = types::Column::name_of(source, number)?;
            let column = types::Column::of(source, &name)?;
            let equality = Equality::of(column, class?)?;
            let length = match column.kind {
                _ if column.length > 0 => Length::Short,
                pg_sys::TEXTOID | pg_sys::VARCHAROID | pg_sys::BYTEAOID => Length::Counted,
                _ => Length::OfText,
            };
            Some((name, (equality.operator, equality.cast, column.holds_json(), length)))
        });
        let mut operators: HashMap<String, (String, Option<String>, bool, Length)> = operators.collect();
        for column in &mut self.0 {
            // Before pg_restore has made the key: what follows from it must not change with that.
            let plain = || ("OPERATOR(pg_catalog.=)".to_owned(), None, false, Length::OfText);
            (column.equals, column.cast, column.is_json, column.length) =
                operators.remove(&column.source).unwrap_or_else(plain);
        }
        self
    }

    /// Whether a column of the source belongs to the key.
    pub fn has(&self, source_column: &str) -> bool {
        self.0.iter().any(|column| column.source == source_column)
    }

    /// Its columns, as they are called in a table.
    pub fn names(&self, table: In) -> Vec<String> {
        self.0.iter().map(|column| column.called(table).to_owned()).collect()
    }

    /// `a, b`, each behind `prefix`.
    pub fn list(&self, prefix: &str, table: In) -> String {
        let names = self.0.iter().map(|column| format!("{prefix}{}", column.name(table)));
        names.collect::<Vec<_>>().join(", ")
    }

    /// `l.a = r.a AND l.b = r.b`, for two tables under their aliases.
    pub fn same(&self, (left, in_left): (&str, In), (right, in_right): (&str, In)) -> String {
        let pairs = self.0.iter().map(|column| {
            let (name, other) = (column.name(in_left), column.name(in_right));
            let cast = column
                .cast
                .as_ref()
                .map_or_else(String::new, |kind| format!("::{kind}"));
            format!("{left}.{name}{cast} {} {right}.{other}{cast}", column.equals)
        });
        pairs.collect::<Vec<_>>().join(" AND ")
    }

    /// How many bytes of a key are more than a few, of a row under its alias: `0`, or an expression. Where Postgres
    /// knows the length of a value without reading it, it is not read.
    pub fn bytes(&self, (alias, table): (&str, In)) -> String {
        let columns = self.0.iter().filter_map(|column| {
            let value = format!("{alias}.{}", column.name(table));
            match column.length {
                Length::Short => None,
                Length::Counted => Some(format!("octet_length({value})")),
                Length::OfText => Some(format!("octet_length({value}::text)")),
            }
        });
        let columns: Vec<String> = columns.collect();
        if columns.is_empty() {
            "0".to_owned()
        } else {
            format!("({})", columns.join(" + "))
        }
    }

    /// `'a', q.a, 'b', q.b`: the names of the source and the values of a row, for people.
    pub fn labelled(&self, (alias, table): (&str, In)) -> String {
        let pairs = self.0.iter().map(|column| {
            let label = statement::literal(&column.source);
            format!("{label}, {alias}.{}", column.name(table))
        });
        pairs.collect::<Vec<_>>().join(", ")
    }

    /// `'queued a', named.k -> 'a', …`: an object of the names in the source, with the names in the queue.
    pub fn renamed(&self, object: &str) -> String {
        let pairs = self.0.iter().map(|column| {
            let (queued, source) = (statement::literal(&column.queued), statement::literal(&column.source));
            format!("{queued}, {object} -> {source}")
        });
        pairs.collect::<Vec<_>>().join(", ")
    }

    /// `r.a, coalesce(r.b, 'null') AS b, …`: the columns of the queue in a record that was made of JSON,
    /// where a null of JSON has become one of SQL, which a key has not.
    pub fn restored(&self, record: &str) -> String {
        let columns = self.0.iter().map(|column| {
            let name = column.name(In::Queue);
            if column.is_json {
                format!("coalesce({record}.{name}, 'null'::jsonb) AS {name}")
            } else {
                format!("{record}.{name}")
            }
        });
        columns.collect::<Vec<_>>().join(", ")
    }

    /// `a int4 NOT NULL, …` for a table that is to be made; `types` are the columns of the source in their order, which
    /// is also the order here, as pgai has it.
    pub fn definitions(&self, table: In, types: &[(String, String)]) -> String {
        let columns = types.iter().filter_map(|(name, kind)| {
            let column = self.0.iter().find(|column| column.source == *name)?;
            Some(format!("{} {kind} NOT NULL", column.name(table)))
        });
        columns.collect::<Vec<_>>().join(",\n    ")
    }
}
