//! JSON as the dicts, lists and scalars that Python reads from it: keys in the order of the text, the last of
//! equal ones in the place of the first, and each digit of an integer.
//!
//! Read and shown in one pass, without a tree: what is made is little longer than the text, whatever its nesting.

use super::{number, quoted};

/// Python's limit of recursion: deeper texts are an error there.
const DEEPEST: usize = 1000;
/// Python's limit of the digits of an integer.
const MOST_DIGITS: usize = 4300;
/// How many times its length may be copied where keys are repeated in nested objects.
const COPIES: usize = 16;

/// `str()` of a JSON text. `None`: what Python, or a text of Postgres, cannot hold.
pub fn shown(text: &str) -> Option<String> {
    let text = text.trim_matches(is_blank);
    if text.starts_with('"') {
        let (code_points, _) = string(text)?;
        return code_points
            .into_iter()
            .map(|code| char::from_u32(code).filter(|c| *c != '\0'))
            .collect();
    }
    let mut out = String::with_capacity(text.len());
    write_repr(&mut out, text)?;
    Some(out)
}

/// A list or a dict that is being written.
enum OpenContainer {
    List,
    Dict {
        /// Where in the output it begins.
        begin: usize,
        members: Vec<DictMember>,
    },
}

/// Where in the output a member of a dict is.
struct DictMember {
    key: usize,
    key_end: usize,
    end: usize,
}

/// `repr()` of a JSON text.
pub fn write_repr(out: &mut String, text: &str) -> Option<()> {
    let mut open: Vec<OpenContainer> = Vec::new();
    let mut copies = text.len().saturating_mul(COPIES);
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_blank);
        let first = rest.as_bytes().first()?;
        (open.len() < DEEPEST || !matches!(first, b'[' | b'{')).then_some(())?;
        rest = match first {
            b'[' => {
                out.push('[');
                let inner = rest[1..].trim_start_matches(is_blank);
                if !inner.starts_with(']') {
                    open.push(OpenContainer::List);
                    rest = inner;
                    continue;
                }
                out.push(']');
                &inner[1..]
            }
            b'{' => {
                let begin = out.len();
                out.push('{');
                let inner = rest[1..].trim_start_matches(is_blank);
                if !inner.starts_with('}') {
                    let mut members = Vec::new();
                    rest = key(out, inner, &mut members)?;
                    open.push(OpenContainer::Dict { begin, members });
                    continue;
                }
                out.push('}');
                &inner[1..]
            }
            b'"' => {
                let (code_points, after) = string(rest)?;
                quoted::write_code_points(out, code_points.into_iter());
                after
            }
            _ => scalar(out, rest)?,
        };
        match close(out, rest, &mut open, &mut copies)? {
            After::Member(text) => rest = text,
            After::All(text) => return text.is_empty().then_some(()),
        }
    }
}

/// What follows a value.
enum After<'t> {
    /// Another value of what it is in.
    Member(&'t str),
    /// Nothing that it could be in.
    All(&'t str),
}

/// What follows a value closes what it is in, or goes on with it.
fn close<'t>(out: &mut String, text: &'t str, open: &mut Vec<OpenContainer>, copies: &mut usize) -> Option<After<'t>> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_blank);
        let Some(last) = open.last_mut() else {
            return Some(After::All(rest));
        };
        let (mark, after) = (*rest.as_bytes().first()?, &rest[1..]);
        rest = after;
        if let OpenContainer::Dict { members, .. } = last {
            members.last_mut()?.end = out.len();
        }
        match (mark, last) {
            (b',', OpenContainer::List) => {
                out.push_str(", ");
                return Some(After::Member(rest));
            }
            (b',', OpenContainer::Dict { members, .. }) => {
                out.push_str(", ");
                let rest = key(out, rest.trim_start_matches(is_blank), members)?;
                return Some(After::Member(rest));
            }
            (b']', OpenContainer::List) => out.push(']'),
            (b'}', OpenContainer::Dict { begin, members }) => {
                *copies = copies.checked_sub(without_repeated(out, *begin, members))?;
                out.push('}');
            }
            _ => return None,
        }
        open.pop();
    }
}

/// Writes `'key': `; what follows the colon.
fn key<'t>(out: &mut String, text: &'t str, members: &mut Vec<DictMember>) -> Option<&'t str> {
    let (code_points, rest) = string(text)?;
    let begin = out.len();
    quoted::write_code_points(out, code_points.into_iter());
    members.push(DictMember {
        key: begin,
        key_end: out.len(),
        end: 0,
    });
    out.push_str(": ");
    rest.trim_start_matches(is_blank).strip_prefix(':')
}

/// Of members of a dict with equal keys the last value takes the place of the first. How many bytes were
/// copied for that.
fn without_repeated(out: &mut String, begin: usize, members: &[DictMember]) -> usize {
    let name = |index: usize| &out[members[index].key..members[index].key_end];
    let mut by_name: Vec<usize> = (0..members.len()).collect();
    by_name.sort_by(|a, b| name(*a).cmp(name(*b)).then(a.cmp(b)));
    let equal: Vec<&[usize]> = by_name.chunk_by(|a, b| name(*a) == name(*b)).collect();
    if equal.len() == members.len() {
        return 0;
    }
    let mut kept: Vec<(usize, usize)> = equal
        .into_iter()
        .filter_map(|same| Some((*same.first()?, *same.last()?)))
        .collect();
    kept.sort_unstable();
    let mut dict = "{".to_owned();
    for (index, (first, last)) in kept.into_iter().enumerate() {
        dict.push_str(if index > 0 { ", " } else { "" });
        dict.push_str(name(first));
        dict.push_str(&out[members[last].key_end..members[last].end]);
    }
    let copied = out.len() - begin;
    out.truncate(begin);
    out.push_str(&dict);
    copied
}

/// Writes a number or a word; what follows it.
fn scalar<'t>(out: &mut String, text: &'t str) -> Option<&'t str> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
        .unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    match word {
        "null" => out.push_str("None"),
        "true" => out.push_str("True"),
        "false" => out.push_str("False"),
        // An integer has no sign of zero.
        "-0" => out.push('0'),
        _ if word.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
            && word.contains(['.', 'e', 'E']) =>
        {
            out.push_str(&number::float(word.parse().ok()?))
        }
        _ if is_integer(word) => {
            out.push_str(word);
        }
        _ => return None,
    }
    Some(rest)
}

fn is_integer(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    (1..=MOST_DIGITS).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

/// The code points of the string that a text begins with, and what follows it.
fn string(text: &str) -> Option<(Vec<u32>, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut found = Vec::new();
    loop {
        let plain = rest.find(['"', '\\'])?;
        found.extend(rest[..plain].chars().map(u32::from));
        let after = &rest[plain + 1..];
        if rest.as_bytes()[plain] == b'"' {
            return Some((found, after));
        }
        let escape = after.chars().next()?;
        rest = &after[escape.len_utf8()..];
        found.push(match escape {
            'b' => 0x8,
            'f' => 0xc,
            'n' => 0xa,
            'r' => 0xd,
            't' => 0x9,
            'u' => {
                let high = hex(rest)?;
                rest = &rest[4..];
                let low = rest
                    .strip_prefix(r"\u")
                    .and_then(hex)
                    .filter(|low| (0xdc00..0xe000).contains(low));
                match (high, low) {
                    (0xd800..0xdc00, Some(low)) => {
                        rest = &rest[6..];
                        0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                    }
                    _ => high,
                }
            }
            other => u32::from(other),
        });
    }
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text.get(..4)?, 16).ok()
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_cannot_read_is_not_shown() {
        for text in [
            "",
            "[",
            "{\"a\":}",
            "{\"a\" 1}",
            "nul",
            "[1,]",
            "\"\\u00\"",
            "1 2",
            "\"\\u0000\"",
            "\"\\ud800\"",
            "[1}",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
        assert_eq!(shown(&"9".repeat(MOST_DIGITS + 1)), None);
    }

    /// Texts that would take a tree, a stack or a copy for each level.
    #[test]
    fn deep_and_repeated_texts_end_soon() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(shown(&deep(DEEPEST)), Some(deep(DEEPEST)));
        assert_eq!(shown(&deep(DEEPEST + 1)), None);
        assert_eq!(shown(&deep(1_000_000)), None);
        let objects = r#"{"a":"#.repeat(100_000) + "1" + &"}".repeat(100_000);
        assert_eq!(shown(&objects), None);
        // Each level is copied once more: a thousand times a long text in all.
        let repeated = r#"{"a":0,"a":"#.repeat(900) + &format!("\"{}\"", "x".repeat(1 << 20)) + &"}".repeat(900);
        assert_eq!(shown(&repeated), None);
        let few = r#"{"a":0,"a":"#.repeat(3) + "1" + &"}".repeat(3);
        assert_eq!(shown(&few).as_deref(), Some("{'a': {'a': {'a': 1}}}"));
        let many = format!("{{{}}}", vec![r#""a":1"#; 100_000].join(","));
        assert_eq!(shown(&many).as_deref(), Some("{'a': 1}"));
    }
}
