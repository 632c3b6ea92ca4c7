//! Arrays as Python's lists.

use super::PythonKind;

/// `repr()` of an array in Postgres' text, whose members are of `kind`. `None`: a member is something that
/// Python cannot hold.
pub fn write_repr(out: &mut String, text: &str, kind: PythonKind) -> Option<()> {
    // `[2:3]={…}` where it does not begin at 1.
    let text = match text.strip_prefix('[') {
        Some(bounds) => bounds.split_once('=')?.1,
        None => text,
    };
    let (mut rest, mut is_first) = (text, true);
    while let Some(c) = rest.chars().next() {
        if matches!(c, ',' | ';' if c == kind.delimiter()) {
            rest = &rest[1..];
            continue;
        }
        if c == '}' {
            out.push(']');
            (rest, is_first) = (&rest[1..], false);
            continue;
        }
        out.push_str(if is_first { "" } else { ", " });
        is_first = c == '{';
        rest = match c {
            '{' => {
                out.push('[');
                &rest[1..]
            }
            '"' => {
                let (member, after) = quoted(&rest[1..])?;
                kind.write_repr(out, &member)?;
                after
            }
            _ => {
                let end = rest.find([kind.delimiter(), '}'])?;
                match &rest[..end] {
                    "NULL" => out.push_str("None"),
                    member => kind.write_repr(out, member)?,
                }
                &rest[end..]
            }
        };
    }
    Some(())
}

/// A quoted member without its backslashes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut member = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => member.push(chars.next()?.1),
            '"' => return Some((member, &text[at + 1..])),
            _ => member.push(c),
        }
    }
    None
}
