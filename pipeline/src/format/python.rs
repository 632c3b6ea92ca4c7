//! Column values as Python shows them: pgai renders templates with the `str()` of what psycopg 3 makes of a column.

mod array;
mod json;
mod moment;
mod network;
mod number;
mod quoted;
mod range;
mod vector;

use std::borrow::Cow;

use moment::{Moment, Timedelta};
use network::Family;

/// What Python's `str()` shows for a column value, given Postgres' text of the value (of its output function,
/// in UTC and the styles ISO and postgres; `None` is NULL) and the name of its type as `format_type` gives
/// it: `timestamp with time zone`, `numeric(10,2)`, `text[]`. Of a domain it takes the type below it.
///
/// | type | shown |
/// |---|---|
/// | any, NULL | `None` |
/// | `boolean` | `True`, `False` |
/// | `real`, `double precision` | as Python's `repr`: `1.0`, `1e+16`, `nan` |
/// | `numeric` | as Python's `Decimal`: `1.50`, `1E-7` |
/// | `timestamp`, `timestamptz`, `time`, `timetz` | `2024-01-06 00:00:00+00:00`; a fraction has six digits |
/// | `interval` | as `timedelta`, years of 365 and months of 30 days: `1 day, 2:03:04` |
/// | `bytea` | as `bytes`: `b'\x00a'` |
/// | `json`, `jsonb` | as dict, list or scalar: `{'a': [1, None]}` |
/// | `inet`, `cidr` | as `ipaddress` shows them |
/// | ranges, multiranges | `[1, 5)`, `{[1, 5), [7, None)}` |
/// | arrays | as list of what `repr()` shows: `['a', None]`, `[Decimal('1.5')]`, `[datetime.date(2024, 1, 6)]` |
/// | `vector`, `halfvec`, `sparsevec` | as pgvector 0.4 for Python has them: `[ 1.   2.5]`, `HalfVector([1.0])` |
/// | all others: enums, composites, `hstore`, ranges and arrays of types of one's own | Postgres' text |
///
/// What Python cannot hold (`infinity`, years BC or after 9999, JSON of more than 1,000 levels), where pgai
/// fails, is shown as Postgres' text. `tests/data/pgai/values.py` says what pgai itself makes of each type.
///
/// ```
/// use ai_pipeline::format::python_text;
/// assert_eq!(python_text(Some("2024-01-06 00:00:00+00"), "timestamp with time zone"), "2024-01-06 00:00:00+00:00");
/// assert_eq!(python_text(Some("{a,NULL}"), "text[]"), "['a', None]");
/// assert_eq!(python_text(Some("1"), "double precision"), "1.0");
/// assert_eq!(python_text(None, "integer"), "None");
/// ```
pub fn python_text<'t>(text: Option<&'t str>, type_name: &str) -> Cow<'t, str> {
    let Some(text) = text else {
        return Cow::Borrowed("None");
    };
    match Type::of(type_name) {
        Type::Scalar(kind) => kind.shown(text).unwrap_or(Cow::Borrowed(text)),
        Type::List(kind) => {
            let mut out = String::with_capacity(text.len());
            let shown = array::write_repr(&mut out, text, kind);
            shown.map_or(Cow::Borrowed(text), |()| Cow::Owned(out))
        }
    }
}

/// How many times the length of Postgres' text the text of [`python_text`] has at most, for values of more
/// than a few bytes.
pub fn python_growth(type_name: &str) -> u32 {
    match Type::of(type_name) {
        // `1,` becomes `Decimal('1'), `, and `::,` `IPv6Address('::'), `; times have the classes of their
        // zones with them.
        Type::List(PythonKind::Decimal | PythonKind::Network(_) | PythonKind::Time) => 7,
        // `1e15` becomes `1000000000000000.0`; and what is not printable four characters.
        Type::List(_) | Type::Scalar(PythonKind::Json | PythonKind::HalfVector | PythonKind::SparseVector) => 5,
        Type::Scalar(PythonKind::Bytes | PythonKind::Range(_) | PythonKind::Multirange(_) | PythonKind::Vector) => 2,
        Type::Scalar(_) => 1,
    }
}

enum Type {
    Scalar(PythonKind),
    List(PythonKind),
}

/// What Python makes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PythonKind {
    /// A `str`.
    Text,
    /// The same, but arrays of it are divided by semicolons.
    Box,
    Int,
    Bool,
    Float,
    Decimal,
    Date,
    Time,
    Timestamp,
    Interval,
    Uuid,
    Bytes,
    Json,
    Network(Family),
    Range(Bound),
    Multirange(Bound),
    Vector,
    HalfVector,
    SparseVector,
}

/// What a range is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Int,
    Decimal,
    Date,
    Timestamp,
}

impl From<Bound> for PythonKind {
    fn from(bound: Bound) -> PythonKind {
        match bound {
            Bound::Int => PythonKind::Int,
            Bound::Decimal => PythonKind::Decimal,
            Bound::Date => PythonKind::Date,
            Bound::Timestamp => PythonKind::Timestamp,
        }
    }
}

impl Type {
    /// Type modifiers, as in `timestamp(3) with time zone`, say nothing about the kind.
    fn of(type_name: &str) -> Type {
        let member = type_name.strip_suffix("[]");
        let element = member.unwrap_or(type_name);
        let bare = match (element.find('('), element.find(')')) {
            (Some(open), Some(close)) if open < close => [&element[..open], &element[close + 1..]].concat(),
            _ => element.to_owned(),
        };
        match (PythonKind::of(bare.trim_end()), member) {
            (Some(kind), Some(_)) => Type::List(kind),
            (Some(kind), None) => Type::Scalar(kind),
            // psycopg knows arrays of the types that it knows; others, as those of enums, it leaves as they are.
            (None, _) => Type::Scalar(PythonKind::Text),
        }
    }
}

impl PythonKind {
    /// Of the types that psycopg has in its registry; `None`: of others, and of their arrays, Python sees
    /// Postgres' text.
    fn of(name: &str) -> Option<PythonKind> {
        Some(match name {
            "smallint" | "integer" | "bigint" | "oid" => PythonKind::Int,
            "boolean" => PythonKind::Bool,
            "real" | "double precision" => PythonKind::Float,
            "numeric" => PythonKind::Decimal,
            "date" => PythonKind::Date,
            "time without time zone" | "time with time zone" => PythonKind::Time,
            "timestamp without time zone" | "timestamp with time zone" => PythonKind::Timestamp,
            "uuid" => PythonKind::Uuid,
            "bytea" => PythonKind::Bytes,
            "json" | "jsonb" => PythonKind::Json,
            "inet" => PythonKind::Network(Family::Inet),
            "cidr" => PythonKind::Network(Family::Cidr),
            "int4range" | "int8range" => PythonKind::Range(Bound::Int),
            "numrange" => PythonKind::Range(Bound::Decimal),
            "daterange" => PythonKind::Range(Bound::Date),
            "tsrange" | "tstzrange" => PythonKind::Range(Bound::Timestamp),
            "int4multirange" | "int8multirange" => PythonKind::Multirange(Bound::Int),
            "nummultirange" => PythonKind::Multirange(Bound::Decimal),
            "datemultirange" => PythonKind::Multirange(Bound::Date),
            "tsmultirange" | "tstzmultirange" => PythonKind::Multirange(Bound::Timestamp),
            "box" => PythonKind::Box,
            "text" | "character varying" | "character" | "bpchar" | "\"char\"" | "name" | "xml" | "money" | "bit"
            | "\"bit\"" | "bit varying" | "jsonpath" | "macaddr" | "macaddr8" | "point" | "line" | "lseg" | "path"
            | "polygon" | "circle" | "tsvector" | "tsquery" | "gtsvector" | "regproc" | "regprocedure" | "regoper"
            | "regoperator" | "regclass" | "regtype" | "regrole" | "regnamespace" | "regconfig" | "regdictionary"
            | "regcollation" | "xid" | "xid8" | "cid" | "tid" | "pg_lsn" | "txid_snapshot" | "int2vector"
            | "oidvector" | "refcursor" | "aclitem" => PythonKind::Text,
            _ if name == "interval" || name.starts_with("interval ") => PythonKind::Interval,
            // pgai registers those of pgvector, wherever they are.
            _ => match name.rsplit('.').next() {
                Some("vector") => PythonKind::Vector,
                Some("halfvec") => PythonKind::HalfVector,
                Some("sparsevec") => PythonKind::SparseVector,
                _ => return None,
            },
        })
    }

    /// What divides members of an array.
    fn delimiter(self) -> char {
        if self == PythonKind::Box { ';' } else { ',' }
    }

    /// `str()`. `None`: what Python cannot hold, or Postgres does not write so.
    fn shown(self, text: &str) -> Option<Cow<'_, str>> {
        Some(Cow::Owned(match self {
            PythonKind::Text | PythonKind::Box | PythonKind::Int | PythonKind::Uuid => {
                return Some(Cow::Borrowed(text));
            }
            PythonKind::Bool => return boolean(text).map(Cow::Borrowed),
            PythonKind::Float => number::float_text(text)?,
            PythonKind::Decimal => return Some(number::decimal(text).map_or(Cow::Borrowed(text), Cow::Owned)),
            PythonKind::Date => Moment::date(text)?.shown(),
            PythonKind::Time => Moment::time(text)?.shown(),
            PythonKind::Timestamp => Moment::timestamp(text)?.shown(),
            PythonKind::Interval => Timedelta::read(text)?.shown(),
            PythonKind::Bytes => quoted::bytes(text)?,
            PythonKind::Json => json::shown(text)?,
            PythonKind::Network(_) => network::shown(text)?,
            PythonKind::Range(bound) => range::shown(text, bound.into())?,
            PythonKind::Multirange(bound) => range::shown_many(text, bound.into())?,
            PythonKind::Vector => vector::shown(text)?,
            PythonKind::HalfVector => vector::half(text)?,
            PythonKind::SparseVector => vector::sparse(text)?,
        }))
    }

    /// `repr()`, which is what lists and ranges show of their members.
    fn write_repr(self, out: &mut String, text: &str) -> Option<()> {
        match self {
            PythonKind::Int
            | PythonKind::Bool
            | PythonKind::Float
            | PythonKind::Bytes
            | PythonKind::HalfVector
            | PythonKind::SparseVector => out.push_str(&self.shown(text)?),
            PythonKind::Text | PythonKind::Box => quoted::write_text(out, text),
            PythonKind::Decimal => call(out, "Decimal", &self.shown(text)?),
            PythonKind::Uuid => call(out, "UUID", text),
            PythonKind::Date => Moment::date(text)?.write_repr(out),
            PythonKind::Time => Moment::time(text)?.write_repr(out),
            PythonKind::Timestamp => Moment::timestamp(text)?.write_repr(out),
            PythonKind::Interval => Timedelta::read(text)?.write_repr(out),
            PythonKind::Json => return json::write_repr(out, text),
            PythonKind::Network(family) => return network::write_repr(out, text, family),
            PythonKind::Range(bound) => return range::write_repr(out, text, bound.into()),
            PythonKind::Multirange(bound) => return range::write_repr_of_many(out, text, bound.into()),
            PythonKind::Vector => vector::write_repr(out, text)?,
        }
        Some(())
    }
}

fn boolean(text: &str) -> Option<&'static str> {
    match text {
        "t" => Some("True"),
        "f" => Some("False"),
        _ => None,
    }
}

fn call(out: &mut String, name: &str, argument: &str) {
    out.push_str(name);
    out.push('(');
    quoted::write_text(out, argument);
    out.push(')');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that the types of `tests/data/python_values.json` have no place for.
    #[test]
    fn what_is_not_of_its_type_stays_postgres_text() {
        for (text, type_name) in [
            ("P1D", "interval"),
            ("9223372036854775807 years", "interval"),
            ("\\xabc", "bytea"),
            ("{1,x", "integer[]"),
            ("{\"a", "text[]"),
            ("{not a date}", "date[]"),
            ("[1,2", "int4range"),
            ("{[1,2", "int4multirange"),
            ("x", "boolean"),
            ("1.2.3", "inet"),
            ("[1,x]", "vector"),
            ("2024-01-06 12:00:00+02", "timestamp with time zone"),
        ] {
            assert_eq!(python_text(Some(text), type_name), text, "{text} as {type_name}");
        }
    }

    #[test]
    fn printable_characters_are_those_of_python() {
        assert_eq!(
            python_text(
                Some("{\u{e9}\u{65e5}\u{672c}\u{1f44d},\"\u{200b}\u{a0}\u{ad}\u{301}\u{2028}\u{e000}\u{e0001}\"}"),
                "text[]"
            ),
            "['\u{e9}\u{65e5}\u{672c}\u{1f44d}', '\\u200b\\xa0\\xad\u{301}\\u2028\\ue000\\U000e0001']",
        );
    }
}
