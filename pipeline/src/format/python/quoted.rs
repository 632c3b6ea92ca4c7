//! Texts and bytes as Python's `repr` quotes them.

use std::fmt::Write;

/// Python's `repr` of a text.
pub fn write_text(out: &mut String, text: &str) {
    write_code_points(out, text.chars().map(u32::from));
}

/// The same of code points, of which some may be halves of a pair: JSON has such texts, and so has Python.
pub fn write_code_points(out: &mut String, text: impl Iterator<Item = u32> + Clone) {
    let has = |quote: char| text.clone().any(|code| code == u32::from(quote));
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    out.push(quote);
    for code in text {
        match char::from_u32(code) {
            Some(c) => write_char(out, c, quote),
            None => write_escape(out, code),
        }
    }
    out.push(quote);
}

/// Postgres' `\x6162` as Python's `b'ab'`. `None`: not that form.
pub fn bytes(text: &str) -> Option<String> {
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
            b' '..=b'~' | b'\t' | b'\n' | b'\r' => write_char(&mut out, char::from(byte), quote),
            _ => write_escape(&mut out, u32::from(byte)),
        }
    }
    out.push(quote);
    Some(out)
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
        _ => write_escape(out, u32::from(c)),
    }
}

fn write_escape(out: &mut String, code: u32) {
    let _ = match code {
        ..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
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
