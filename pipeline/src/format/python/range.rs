//! Ranges and multiranges as psycopg's classes show them.

use std::borrow::Cow;
use std::fmt::Write;

use super::{PythonKind, quoted};

/// A range as Postgres writes it, whose bounds are of `kind`.
struct Range<'t> {
    kind: PythonKind,
    /// Both `None` and empty bounds: an empty range.
    lower: Option<Cow<'t, str>>,
    upper: Option<Cow<'t, str>>,
    bounds: String,
}

/// `str()` of a range.
pub fn shown(text: &str, kind: PythonKind) -> Option<String> {
    let (range, rest) = Range::read(text, kind)?;
    rest.is_empty().then(|| range.shown())?
}

/// `repr()` of a range.
pub fn write_repr(out: &mut String, text: &str, kind: PythonKind) -> Option<()> {
    let (range, rest) = Range::read(text, kind)?;
    if rest.is_empty() { range.write_repr(out) } else { None }
}

/// `str()` of a multirange.
pub fn shown_many(text: &str, kind: PythonKind) -> Option<String> {
    let mut out = "{".to_owned();
    for (index, range) in ranges(text, kind)?.iter().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        out.push_str(&range.shown()?);
    }
    out.push('}');
    Some(out)
}

/// `repr()` of a multirange.
pub fn write_repr_of_many(out: &mut String, text: &str, kind: PythonKind) -> Option<()> {
    out.push_str("Multirange([");
    for (index, range) in ranges(text, kind)?.iter().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        range.write_repr(out)?;
    }
    out.push_str("])");
    Some(())
}

fn ranges(text: &str, kind: PythonKind) -> Option<Vec<Range<'_>>> {
    let mut rest = text.strip_prefix('{')?;
    let mut found = Vec::new();
    while rest != "}" {
        let (range, after) = Range::read(rest, kind)?;
        found.push(range);
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Some(found)
}

impl<'t> Range<'t> {
    /// The range at the beginning of a text, and what follows it.
    fn read(text: &'t str, kind: PythonKind) -> Option<(Range<'t>, &'t str)> {
        if let Some(rest) = text.strip_prefix("empty") {
            let (lower, upper, bounds) = (None, None, String::new());
            return Some((
                Range {
                    kind,
                    lower,
                    upper,
                    bounds,
                },
                rest,
            ));
        }
        let opening = text.chars().next().filter(|c| matches!(c, '(' | '['))?;
        let (lower, rest) = bound(&text[1..], &[','])?;
        let (upper, rest) = bound(rest.strip_prefix(',')?, &[')', ']'])?;
        let closing = rest.chars().next().filter(|c| matches!(c, ')' | ']'))?;
        // What has no end includes none.
        let bounds = [
            if lower.is_none() { '(' } else { opening },
            if upper.is_none() { ')' } else { closing },
        ];
        let range = Range {
            kind,
            lower,
            upper,
            bounds: bounds.iter().collect(),
        };
        Some((range, &rest[1..]))
    }

    fn shown(&self) -> Option<String> {
        if self.bounds.is_empty() {
            return Some("empty".to_owned());
        }
        let shown = |bound: &Option<Cow<str>>| match bound {
            Some(text) => self.kind.shown(text).map(Cow::into_owned),
            None => Some("None".to_owned()),
        };
        let (opening, closing) = self.bounds.split_at(1);
        Some(format!(
            "{opening}{}, {}{closing}",
            shown(&self.lower)?,
            shown(&self.upper)?
        ))
    }

    fn write_repr(&self, out: &mut String) -> Option<()> {
        out.push_str("Range(");
        if self.bounds.is_empty() {
            out.push_str("empty=True)");
            return Some(());
        }
        for bound in [&self.lower, &self.upper] {
            match bound {
                Some(text) => self.kind.write_repr(out, text)?,
                None => out.push_str("None"),
            }
            out.push_str(", ");
        }
        quoted::write_text(out, &self.bounds);
        let _ = out.write_char(')');
        Some(())
    }
}

/// A bound, quoted or not, up to one of the `ends`; `None` inside where there is none.
fn bound<'t>(text: &'t str, ends: &[char]) -> Option<(Option<Cow<'t, str>>, &'t str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(ends)?;
        let bound = (end > 0).then(|| Cow::Borrowed(&text[..end]));
        return Some((bound, &text[end..]));
    };
    let mut bound = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        let next = quoted[at + 1..].chars().next().filter(|_| matches!(c, '"' | '\\'));
        match c {
            // Doubled.
            '"' | '\\' if next == Some(c) => {
                bound.push(c);
                chars.next();
            }
            '"' => return Some((Some(Cow::Owned(bound)), &quoted[at + 1..])),
            _ => bound.push(c),
        }
    }
    None
}
