//! Column values as Python shows them: pgai renders templates with the `str()` of what psycopg 3 makes of a column.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::{Map, Number, Value};

/// What Python's `str()` shows for a column value, given the value as Postgres' `to_jsonb` gives it and the name of its
/// type as `format_type` gives it (`timestamp with time zone`, `numeric(10,2)`, `text[]`).
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
/// | `json`, `jsonb` | as dict, list or scalar: `{'a': [1, None]}`; keys in the order of jsonb |
/// | arrays | as list: `['a', 'it\'s', None]` |
/// | all others | their text |
///
/// **Numbers.** A JSON number is held as 64-bit integer or float, so a `numeric` would lose digits and trailing zeros:
/// the caller passes `numeric` values (also those in arrays) as JSON *strings*. A `numeric` that is passed as a number is
/// shown as that number. Reading floats exactly takes serde_json's feature `float_roundtrip`, which this package has on.
/// Integers inside jsonb beyond 64 bits are shown as floats, where Python shows every digit.
///
/// **Other differences from psycopg.** Times and intervals inside an array are shown as their quoted text, not as
/// constructor calls; ranges and composites as their text or as a dict; what Python cannot hold (`infinity`, years BC or
/// after 9999), where pgai fails, as Postgres' text.
///
/// ```
/// use ai_pipeline::format::python_text;
/// use serde_json::json;
/// assert_eq!(python_text(&json!("2024-01-06T00:00:00+00:00"), "timestamp with time zone"), "2024-01-06 00:00:00+00:00");
/// assert_eq!(python_text(&json!(["a", null]), "text[]"), "['a', None]");
/// assert_eq!(python_text(&json!(1), "double precision"), "1.0");
/// ```
pub fn python_text(value: &Value, type_name: &str) -> String {
    let (kind, is_array) = Kind::of(type_name);
    if let (Value::String(text), false) = (value, is_array) {
        return shown(text, kind).into_owned();
    }
    let mut out = String::new();
    write_repr(&mut out, value, kind);
    out
}

/// What Python makes of a type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Float,
    Decimal,
    Date,
    Clock,
    Interval,
    Uuid,
    Bytes,
    /// Text, or what the JSON value itself says.
    Other,
}

impl Kind {
    /// Type modifiers, as in `timestamp(3) with time zone`, say nothing about the kind.
    fn of(type_name: &str) -> (Kind, bool) {
        let element = type_name.trim_end_matches("[]");
        let bare = match (element.find('('), element.find(')')) {
            (Some(open), Some(close)) if open < close => [&element[..open], &element[close + 1..]].concat(),
            _ => element.to_owned(),
        };
        let kind = match bare.trim_end() {
            "real" | "double precision" => Kind::Float,
            "numeric" => Kind::Decimal,
            "date" => Kind::Date,
            "timestamp without time zone"
            | "timestamp with time zone"
            | "time without time zone"
            | "time with time zone" => Kind::Clock,
            "uuid" => Kind::Uuid,
            "bytea" => Kind::Bytes,
            name if name == "interval" || name.starts_with("interval ") => Kind::Interval,
            _ => Kind::Other,
        };
        (kind, element.len() < type_name.len())
    }
}

/// `str()` of a value that JSON holds as a string.
fn shown(text: &str, kind: Kind) -> Cow<'_, str> {
    let other = match kind {
        Kind::Float => match text {
            "NaN" => Some("nan".to_owned()),
            "Infinity" => Some("inf".to_owned()),
            "-Infinity" => Some("-inf".to_owned()),
            _ => text.parse().ok().map(float),
        },
        Kind::Decimal => decimal(text),
        Kind::Clock => Some(clock(text)),
        Kind::Interval => interval(text),
        Kind::Bytes => bytes(text),
        Kind::Date | Kind::Uuid | Kind::Other => None,
    };
    other.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// `repr()` of a value, which is what lists and dicts show of their members.
fn write_repr(out: &mut String, value: &Value, kind: Kind) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => out.push_str(&number_text(number, kind)),
        Value::String(text) => {
            let text = shown(text, kind);
            match kind {
                Kind::Float | Kind::Bytes => out.push_str(&text),
                Kind::Decimal => call(out, "Decimal", &text),
                Kind::Uuid => call(out, "UUID", &text),
                Kind::Date => date(out, &text),
                Kind::Clock | Kind::Interval | Kind::Other => write_quoted(out, &text),
            }
        }
        Value::Array(members) => {
            out.push('[');
            for (index, member) in members.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write_repr(out, member, kind);
            }
            out.push(']');
        }
        Value::Object(members) => write_dict(out, members),
    }
}

fn write_dict(out: &mut String, members: &Map<String, Value>) {
    // serde_json sorts keys by their bytes; jsonb, and with it Python, has the short ones first.
    let mut members: Vec<(&String, &Value)> = members.iter().collect();
    members.sort_by_key(|(key, _)| (key.len(), *key));
    out.push('{');
    for (index, (key, value)) in members.into_iter().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        write_quoted(out, key);
        out.push_str(": ");
        write_repr(out, value, Kind::Other);
    }
    out.push('}');
}

fn call(out: &mut String, name: &str, argument: &str) {
    out.push_str(name);
    out.push('(');
    write_quoted(out, argument);
    out.push(')');
}

fn date(out: &mut String, text: &str) {
    let numbers: Option<Vec<u32>> = text.split('-').map(|part| part.parse().ok()).collect();
    match numbers.as_deref() {
        Some([year, month, day]) => out.push_str(&format!("datetime.date({year}, {month}, {day})")),
        _ => write_quoted(out, text),
    }
}

fn number_text(number: &Number, kind: Kind) -> String {
    match number.as_f64() {
        Some(value) if kind == Kind::Float || number.is_f64() => float(value),
        _ => number.to_string(),
    }
}

/// Python's `repr` of a float: the shortest digits that read back the same, with an exponent below 1e-4 and from 1e16.
fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let shortest = format!("{value:e}");
    let precision = shortest
        .bytes()
        .take_while(|b| *b != b'e')
        .filter(u8::is_ascii_digit)
        .count()
        - 1;
    // Of two shortest forms that are equally near, Python (and Postgres) takes the even one, the standard library the
    // greater: 850295978874678.25 is ...8.2. Asked for a number of digits, the standard library takes the even one too.
    let even = format!("{value:.precision$e}");
    let scientific = if even.parse() == Ok(value) { even } else { shortest };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        return format!(
            "{mantissa}e{}{:02}",
            if exponent < 0 { '-' } else { '+' },
            exponent.abs()
        );
    }
    let (sign, mantissa) = mantissa
        .strip_prefix('-')
        .map_or(("", mantissa), |mantissa| ("-", mantissa));
    let mut digits = mantissa.replace('.', "");
    let before_point = if exponent < 0 {
        digits.insert_str(0, &"0".repeat(exponent.unsigned_abs() as usize));
        1
    } else {
        exponent as usize + 1
    };
    while digits.len() <= before_point {
        digits.push('0');
    }
    digits.insert(before_point, '.');
    format!("{sign}{digits}")
}

/// Python's `str` of a `Decimal` that was made from Postgres' text: with an exponent where more than six digits would be
/// nothing but zeros behind the point. `None`: as it is.
fn decimal(text: &str) -> Option<String> {
    let (sign, number) = text.strip_prefix('-').map_or(("", text), |number| ("-", number));
    let (whole, fraction) = number.split_once('.')?;
    let digits = [whole, fraction].concat();
    if !digits.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    let significant = if significant.is_empty() { "0" } else { significant };
    let exponent = significant.len() as i64 - 1 - fraction.len() as i64;
    if exponent >= -6 {
        return None;
    }
    let (first, rest) = significant.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    Some(format!("{sign}{first}{point}{rest}E{exponent}"))
}

/// A point in time as Python's `datetime` and `time` show it: a blank for the `T`, six digits of a fraction, minutes in
/// the offset.
fn clock(text: &str) -> String {
    let mut text = text.replacen('T', " ", 1);
    if let Some(point) = text.find('.') {
        let digits = text[point + 1..].bytes().take_while(u8::is_ascii_digit).count();
        text.insert_str(point + 1 + digits, &"0".repeat(6usize.saturating_sub(digits)));
    }
    // Only `time with time zone` has hours alone: JSON has no form of its own for it.
    let offset = text
        .rfind(['+', '-'])
        .filter(|sign| text.len() == sign + 3 && text[..*sign].contains(':'));
    if offset.is_some() {
        text.push_str(":00");
    }
    text
}

/// An interval in Postgres' own style as psycopg's `timedelta` shows it. `None`: not understood.
fn interval(text: &str) -> Option<String> {
    const SECOND: i64 = 1_000_000;
    const DAY: i64 = 86_400 * SECOND;
    let mut micros: i64 = 0;
    let mut words = text.split_ascii_whitespace();
    while let Some(word) = words.next() {
        let part = if word.contains(':') {
            time_of_day(word)?
        } else {
            let days = match words.next()? {
                "year" | "years" => 365,
                "mon" | "mons" => 30,
                "day" | "days" => 1,
                _ => return None,
            };
            word.parse::<i64>().ok()?.checked_mul(days * DAY)?
        };
        micros = micros.checked_add(part)?;
    }
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let mut shown = String::new();
    if days != 0 {
        shown = format!("{days} day{}, ", if days.abs() == 1 { "" } else { "s" });
    }
    let (seconds, fraction) = (rest / SECOND, rest % SECOND);
    let _ = write!(shown, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        let _ = write!(shown, ".{fraction:06}");
    }
    Some(shown)
}

/// Microseconds of `[+-]HH:MM:SS[.ffffff]`.
fn time_of_day(word: &str) -> Option<i64> {
    let (sign, time) = match word.strip_prefix('-') {
        Some(time) => (-1, time),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let micros: i64 = format!("{fraction:0<6}").parse().ok()?;
    let mut seconds: i64 = 0;
    for part in time.split(':') {
        seconds = seconds.checked_mul(60)?.checked_add(part.parse().ok()?)?;
    }
    seconds.checked_mul(1_000_000)?.checked_add(micros)?.checked_mul(sign)
}

/// Postgres' `\x6162` as Python's `b'ab'`. `None`: not that form.
fn bytes(text: &str) -> Option<String> {
    let digits = text
        .strip_prefix(r"\x")
        .filter(|digits| digits.is_ascii() && digits.len() % 2 == 0)?;
    let bytes: Option<Vec<u8>> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect();
    let bytes = bytes?;
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        '"'
    } else {
        '\''
    };
    let mut out = format!("b{quote}");
    for byte in bytes {
        match byte {
            b' '..=b'~' => write_char(&mut out, char::from(byte), quote),
            b'\t' | b'\n' | b'\r' => write_char(&mut out, char::from(byte), quote),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push(quote);
    Some(out)
}

/// Python's `repr` of a text.
fn write_quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        write_char(out, c, quote);
    }
    out.push(quote);
}

fn write_char(out: &mut String, c: char, quote: char) {
    match c {
        '\n' => out.push_str(r"\n"),
        '\r' => out.push_str(r"\r"),
        '\t' => out.push_str(r"\t"),
        '\\' => out.push_str(r"\\"),
        _ if c == quote => {
            out.push('\\');
            out.push(c);
        }
        _ if printable(c) => out.push(c),
        _ => {
            let _ = match u32::from(c) {
                code @ ..=0xff => write!(out, "\\x{code:02x}"),
                code @ ..=0xffff => write!(out, "\\u{code:04x}"),
                code => write!(out, "\\U{code:08x}"),
            };
        }
    }
}

/// Python's `str.isprintable`: neither control, format, private, unassigned nor separator. The standard library escapes
/// the very same categories, except that it also escapes combining characters at the start of a text.
fn printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let text = String::from_iter(['a', c]);
    !text.escape_debug().skip(1).eq(c.escape_unicode())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::python_text;

    /// The right side of each line is Python's `str()` of the value that psycopg makes of the column.
    #[test]
    fn values_are_shown_as_in_python() {
        for (value, type_name, text) in [
            ("null", "text", "None"),
            ("null", "text[]", "None"),
            ("null", "jsonb", "None"),
            ("true", "boolean", "True"),
            ("false", "boolean", "False"),
            ("[true,null]", "boolean[]", "[True, None]"),
            ("0", "bigint", "0"),
            ("-7", "bigint", "-7"),
            ("9223372036854775807", "bigint", "9223372036854775807"),
            (r##""42""##, "oid", "42"),
            ("1", "double precision", "1.0"),
            ("0", "double precision", "0.0"),
            ("-2.5", "double precision", "-2.5"),
            ("0.1", "double precision", "0.1"),
            ("1000000000000000", "double precision", "1000000000000000.0"),
            ("10000000000000000", "double precision", "1e+16"),
            ("123456789012345.6", "double precision", "123456789012345.6"),
            ("1.2345678901234568e+17", "double precision", "1.2345678901234568e+17"),
            ("0.0001", "double precision", "0.0001"),
            ("1e-05", "double precision", "1e-05"),
            ("1.5e-07", "double precision", "1.5e-07"),
            ("1e+300", "double precision", "1e+300"),
            ("5e-324", "double precision", "5e-324"),
            ("850295978874678.25", "double precision", "850295978874678.2"),
            ("2.979491062738484e-10", "double precision", "2.979491062738484e-10"),
            ("-0.00012", "double precision", "-0.00012"),
            ("1234.5", "real", "1234.5"),
            ("100", "double precision", "100.0"),
            ("1e+22", "double precision", "1e+22"),
            ("-3e-05", "double precision", "-3e-05"),
            (r##""NaN""##, "real", "nan"),
            (r##""Infinity""##, "double precision", "inf"),
            (r##""-Infinity""##, "double precision", "-inf"),
            (r##"[1,2.5,"NaN"]"##, "double precision[]", "[1.0, 2.5, nan]"),
            (r##""1.50""##, "numeric(40,10)", "1.50"),
            (r##""0""##, "numeric(40,10)", "0"),
            (r##""0.00""##, "numeric(40,10)", "0.00"),
            (
                r##""123456789012345678901234567890.10""##,
                "numeric(40,10)",
                "123456789012345678901234567890.10",
            ),
            (r##""0.000001""##, "numeric(40,10)", "0.000001"),
            (r##""0.0000001""##, "numeric(40,10)", "1E-7"),
            (r##""0.00000010""##, "numeric(40,10)", "1.0E-7"),
            (r##""-0.00000012345""##, "numeric(40,10)", "-1.2345E-7"),
            (r##""0.00000000""##, "numeric(40,10)", "0E-8"),
            (r##""NaN""##, "numeric(40,10)", "NaN"),
            (r##""Infinity""##, "numeric(40,10)", "Infinity"),
            (
                r##""-1000000000000000000000""##,
                "numeric(40,10)",
                "-1000000000000000000000",
            ),
            (r##"["1.50",null]"##, "numeric(10,2)[]", "[Decimal('1.50'), None]"),
            (
                r##""2024-01-06T00:00:00+00:00""##,
                "timestamp with time zone",
                "2024-01-06 00:00:00+00:00",
            ),
            (
                r##""2024-01-06T10:11:12.5+02:00""##,
                "timestamp(3) with time zone",
                "2024-01-06 10:11:12.500000+02:00",
            ),
            (
                r##""1880-01-06T10:11:12-00:53:28""##,
                "timestamp with time zone",
                "1880-01-06 10:11:12-00:53:28",
            ),
            (
                r##""2024-01-06T10:11:12.000001""##,
                "timestamp without time zone",
                "2024-01-06 10:11:12.000001",
            ),
            (
                r##""2024-01-06T10:11:00""##,
                "timestamp without time zone",
                "2024-01-06 10:11:00",
            ),
            (r##""2024-01-06""##, "date", "2024-01-06"),
            (r##"["2024-01-06"]"##, "date[]", "[datetime.date(2024, 1, 6)]"),
            (r##""10:11:12.25""##, "time without time zone", "10:11:12.250000"),
            (r##""10:11:12+02""##, "time(0) with time zone", "10:11:12+02:00"),
            (
                r##""10:11:12.5-03:30""##,
                "time with time zone",
                "10:11:12.500000-03:30",
            ),
            (r##""00:00:00""##, "interval", "0:00:00"),
            (r##""1 day""##, "interval", "1 day, 0:00:00"),
            (r##""1 day 02:03:04""##, "interval", "1 day, 2:03:04"),
            (
                r##""1 year 2 mons 3 days 04:05:06.5""##,
                "interval",
                "428 days, 4:05:06.500000",
            ),
            (r##""-1 days +02:03:04""##, "interval", "-1 day, 2:03:04"),
            (r##""-00:00:00.000001""##, "interval", "-1 day, 23:59:59.999999"),
            (r##""100:00:00""##, "interval", "4 days, 4:00:00"),
            (r##""-2 years -1 mons""##, "interval", "-760 days, 0:00:00"),
            (r##""1 day""##, "interval day to second(3)", "1 day, 0:00:00"),
            (
                r##""6f1c9f3e-0d5b-4a51-9d53-0a6e1f8f5c11""##,
                "uuid",
                "6f1c9f3e-0d5b-4a51-9d53-0a6e1f8f5c11",
            ),
            (
                r##"["6f1c9f3e-0d5b-4a51-9d53-0a6e1f8f5c11"]"##,
                "uuid[]",
                "[UUID('6f1c9f3e-0d5b-4a51-9d53-0a6e1f8f5c11')]",
            ),
            (r##""\\x""##, "bytea", "b''"),
            (r##""\\x616200ff0a095c""##, "bytea", r##"b'ab\x00\xff\n\t\\'"##),
            (r##""\\x69742773""##, "bytea", r##"b"it's""##),
            (r##""\\x6974277320227822""##, "bytea", r##"b'it\'s "x"'"##),
            (r##"["\\x6100"]"##, "bytea[]", r##"[b'a\x00']"##),
            ("[]", "text[]", "[]"),
            (r##"["a", "b c"]"##, "text[]", "['a', 'b c']"),
            (
                r##"["it's", "say \"x\"", "both ' and \"", null]"##,
                "text[]",
                r##"["it's", 'say "x"', 'both \' and "', None]"##,
            ),
            (
                "[\"tab\\t nl\\n cr\\r back\\\\ nul\\u0001 del\u{7f}\"]",
                "text[]",
                r##"['tab\t nl\n cr\r back\\ nul\x01 del\x7f']"##,
            ),
            (
                "[\"\u{e9}\u{65e5}\u{672c}\u{1f44d}\", \"\u{200b}\u{a0}\u{ad}\u{301}\u{2028}\u{e000}\u{e0001}\"]",
                "text[]",
                "['\u{e9}\u{65e5}\u{672c}\u{1f44d}', '\\u200b\\xa0\\xad\u{301}\\u2028\\ue000\\U000e0001']",
            ),
            (r##"[["a"], ["b"]]"##, "text[]", "[['a'], ['b']]"),
            (r##"["x"]"##, "character varying(10)[]", "['x']"),
            ("[1,2,null]", "integer[]", "[1, 2, None]"),
            (
                r##"{"b": 1, "a": [1.0, 2.5, null, true], "aa": {"x": "it's"}}"##,
                "jsonb",
                r##"{'a': [1.0, 2.5, None, True], 'b': 1, 'aa': {'x': "it's"}}"##,
            ),
            ("[]", "jsonb", "[]"),
            ("{}", "jsonb", "{}"),
            (r##""text""##, "jsonb", "text"),
            ("1", "jsonb", "1"),
            ("1.0", "jsonb", "1.0"),
            ("1e+20", "jsonb", "1e+20"),
            ("true", "jsonb", "True"),
            (r##"[{"k": "v"}]"##, "jsonb", "[{'k': 'v'}]"),
            (
                r##"{"ä": 0, "zz": 1, "éé": 2, "": 3}"##,
                "jsonb",
                "{'': 3, 'zz': 1, 'ä': 0, 'éé': 2}",
            ),
            (r##"[{"a":1},null]"##, "jsonb[]", "[{'a': 1}, None]"),
            (r##""plain 'text'""##, "text", "plain 'text'"),
            (r##""happy""##, "mood", "happy"),
            ("7", "posint", "7"),
        ] {
            let value = serde_json::from_str(value).unwrap();
            assert_eq!(python_text(&value, type_name), text, "{value} as {type_name}");
        }
    }

    #[test]
    fn what_python_cannot_hold_stays_postgres_text() {
        assert_eq!(python_text(&json!("infinity"), "timestamp with time zone"), "infinity");
        assert_eq!(python_text(&json!("0044-03-15 BC"), "date"), "0044-03-15 BC");
        assert_eq!(python_text(&json!(["0044-03-15 BC"]), "date[]"), "['0044-03-15 BC']");
        assert_eq!(python_text(&json!("P1D"), "interval"), "P1D");
        assert_eq!(
            python_text(&json!(i64::MAX.to_string() + " years"), "interval"),
            "9223372036854775807 years"
        );
        assert_eq!(python_text(&json!("\\xabc"), "bytea"), "\\xabc");
    }

    #[test]
    fn a_numeric_that_is_passed_as_a_number_is_shown_as_that_number() {
        assert_eq!(python_text(&json!(1.5), "numeric(10,2)"), "1.5");
        assert_eq!(python_text(&json!(3), "numeric"), "3");
    }
}
