//! What pgai itself made of columns of each type: `data/python_values.json`, which `tests/data/pgai/values.py` writes.

use ai_pipeline::format::{python_growth, python_text};
use serde::Deserialize;

#[derive(Deserialize)]
struct Value {
    /// The type of the column.
    r#type: String,
    /// That below its domains.
    base: String,
    text: Option<String>,
    /// `None`: pgai fails.
    python: Option<String>,
}

fn values() -> Vec<Value> {
    serde_json::from_str(include_str!("data/python_values.json")).expect("the file is what its script writes")
}

#[test]
fn columns_are_shown_as_pgai_shows_them() {
    let values = values();
    let mut types: Vec<&str> = values.iter().map(|value| value.r#type.as_str()).collect();
    types.dedup();
    assert!(types.len() > 150, "{types:?}");
    let differences: Vec<String> = values
        .iter()
        .filter_map(|value| {
            let shown = python_text(value.text.as_deref(), &value.base);
            // Where pgai fails, a document should not: it gets Postgres' text.
            let wanted = value
                .python
                .as_ref()
                .or(value.text.as_ref())
                .map_or("None", String::as_str);
            (shown != wanted).then(|| format!("{} {:?}\n  pgai: {wanted}\n  here: {shown}", value.r#type, value.text))
        })
        .collect();
    assert!(
        differences.is_empty(),
        "{} of {}:\n{}",
        differences.len(),
        values.len(),
        differences.join("\n")
    );
}

/// Types whose values a move from pgai must not change: the plain ones, and of arrays, ranges, multiranges,
/// composites, domains and extensions what is written otherwise than one would think.
const MOVED: [&str; 72] = [
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "real",
    "double precision",
    "numeric",
    "numeric(10,2)",
    "money",
    "text",
    "character varying(10)",
    "character(5)",
    "\"char\"",
    "name",
    "citext",
    "xml",
    "bytea",
    "bit(4)",
    "bit varying",
    "date",
    "time",
    "time with time zone",
    "timestamp",
    "timestamp with time zone",
    "interval",
    "uuid",
    "json",
    "jsonb",
    "jsonpath",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "point",
    "line",
    "box",
    "path",
    "polygon",
    "circle",
    "tsvector",
    "tsquery",
    "oid",
    "regclass",
    "pg_lsn",
    "int4range",
    "int8range",
    "numrange",
    "daterange",
    "tsrange",
    "tstzrange",
    "int4multirange",
    "nummultirange",
    "tstzmultirange",
    "mood",
    "pair",
    "hstore",
    "price",
    "vector",
    "halfvec",
    "sparsevec",
    "integer[]",
    "real[]",
    "numeric[]",
    "text[]",
    "bytea[]",
    "date[]",
    "timestamp with time zone[]",
    "interval[]",
    "uuid[]",
    "json[]",
    "jsonb[]",
    "tstzrange[]",
];

/// By name, to be read: `cargo test -p ai-pipeline --test format -- --nocapture`.
#[test]
fn the_types_of_a_move_agree() {
    let values = values();
    let mut agreeing = 0;
    for name in MOVED {
        let of_type: Vec<&Value> = values.iter().filter(|value| value.r#type == name).collect();
        let agrees = |value: &&Value| {
            let wanted = value.python.as_ref().or(value.text.as_ref());
            python_text(value.text.as_deref(), &value.base) == wanted.map_or("None", String::as_str)
        };
        let (right, all) = (of_type.iter().copied().filter(agrees).count(), of_type.len());
        println!("{name}: {right} of {all} values are as pgai shows them");
        assert!(all > 0, "{name} has values");
        agreeing += usize::from(right == all);
    }
    println!("{agreeing} of {} types agree", MOVED.len());
    assert_eq!(agreeing, MOVED.len());
}

/// Memory is reserved by this before the text is made.
#[test]
fn no_text_grows_beyond_what_is_reckoned_with() {
    for value in values() {
        let Some(text) = &value.text else { continue };
        let most = python_growth(&value.base) as usize * text.len() + 64;
        let shown = python_text(Some(text), &value.base);
        assert!(
            shown.len() <= most,
            "{} {text:?}: {} of {most}",
            value.r#type,
            shown.len()
        );
    }
    for (member, type_name) in [
        ("1", "numeric"),
        ("t", "boolean"),
        ("::", "inet"),
        ("::/0", "cidr"),
        ("1e+15", "double precision"),
        ("\u{1}", "text"),
        ("2024-01-01", "date"),
        ("\"2024-01-01 00:00:00+00\"", "timestamp with time zone"),
        ("\"1 day\"", "interval"),
        ("\"(,)\"", "int4range"),
        ("\"{}\"", "int4multirange"),
        ("00:00:00-00:00:01", "time with time zone"),
    ] {
        let text = format!("{{{}}}", vec![member; 1000].join(","));
        let type_name = format!("{type_name}[]");
        let shown = python_text(Some(&text), &type_name);
        assert!(shown.len() > text.len(), "{type_name}");
        assert!(
            shown.len() <= python_growth(&type_name) as usize * text.len(),
            "{type_name}: {}",
            shown.len()
        );
    }
    for text in ["1e15", "\"\u{200b}\"", "\"\\b\"", "{}", "{\"\":0}"] {
        let text = format!("[{}]", vec![text; 1000].join(","));
        assert!(
            python_text(Some(&text), "json").len() <= python_growth("json") as usize * text.len(),
            "{text:.20}"
        );
    }
}
