//! What there has to be memory for before a row is read, as expressions over the row `s`, in bytes.

use ai_pipeline::config::Loading;
use ai_pipeline::format::python_growth;
use ai_pipeline::load::EXPECTED_BYTES;
use litemap::LiteMap;

use crate::postgres::statement::identifier;

/// Of the document, NULL where there is none, and of the columns that the template names. A URI counts with
/// these: memory for what is behind it is reserved by the task that loads it.
pub fn of_row(
    loading: &Loading,
    (document, is_bytes): (&str, bool),
    template_columns: &LiteMap<String, String>,
) -> (String, String) {
    let length = format!("octet_length({document})::bigint");
    let mut columns = vec!["0::bigint".to_owned()];
    let document = match loading {
        Loading::Uri { .. } => {
            columns.push(format!("coalesce({length}, 0)"));
            format!("CASE WHEN {document} IS NOT NULL THEN 0::bigint END")
        }
        // As few bytes may become a longer text.
        Loading::Column { .. } if is_bytes => {
            format!("CASE WHEN {length} < {EXPECTED_BYTES} THEN {EXPECTED_BYTES} ELSE {length} END")
        }
        Loading::Column { .. } => length,
    };
    let named = template_columns.iter();
    columns.extend(named.filter_map(|(name, kind)| of_column(&format!("s.{}", identifier(name)), kind)));
    (document, columns.join(" + "))
}

/// Of the text that is made of a column, 0 for NULL; `None` for types whose values are all short.
///
/// Of a text or `bytea` that is compressed or lies outside of its row this reads the length and no more. Of
/// other types only the text itself says how long it is, and is made for that, one row at a time: a few bytes
/// of `numeric` may have a hundred thousand digits, and a value that is compressed a hundred times its bytes.
fn of_column(value: &str, kind: &str) -> Option<String> {
    match kind {
        "boolean" | "smallint" | "integer" | "bigint" | "real" | "double precision" | "date" | "uuid" => None,
        "text" | "character varying" | "character" => Some(format!("coalesce(octet_length({value}), 0)")),
        // As Python shows it: b'\x00'.
        "bytea" => Some(format!("coalesce(4 * octet_length({value})::bigint, 0)")),
        // What Python shows of it may be longer.
        _ => Some(format!(
            "coalesce({}::bigint * octet_length(format('%s', {value})), 0)",
            python_growth(kind)
        )),
    }
}
