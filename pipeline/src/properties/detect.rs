//! Formats of documents: any bytes have one or none, and what is taken for text can be read.

use super::{Dice, hold};
use crate::parse::{Format, detect, parse};

const PARTS: [&[u8]; 24] = [
    b"%PDF-1.7",
    b"<!DOCTYPE html>",
    b"<?xml version='1.0'?>",
    b"<svg>",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"\0",
    b"\xff\xfe\0\0",
    b"# Title\n",
    b"From: a@b.c\r\n",
    b"To: d@e.f\r\n",
    b"MIME-Version: 1.0\r\n",
    b"\r\n\r\n",
    b"{\\rtf1",
    b"\x1b$B$$$m\x1b(B",
    b"caf\xe9 ",
    b"naive text. ",
    b"iVBORw0KGgoAAAANSUhEUgAA\n",
    b"+AGkA-",
    b"=ybegin line=128 size=9 name=a\r\n",
];
const NAMES: [&str; 9] = [
    "a",
    "a.txt",
    "a.md",
    "a.pdf",
    "a.eml",
    "s3://b/a.HTML",
    ".",
    "a.",
    "%2e%ff.pdf",
];
const TYPES: [&str; 6] = [
    "text/plain",
    "application/pdf",
    "text/markdown; charset=x",
    "message/rfc822",
    ";",
    "é",
];

fn document(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..dice.below(8) {
        let part = dice.one(&PARTS);
        let times = if dice.once_in(8) { 1 + dice.below(200) } else { 1 };
        bytes.extend(part.repeat(times));
        if dice.once_in(4) {
            bytes.extend(dice.bytes(20));
        }
    }
    bytes
}

#[test]
fn what_is_taken_for_text_can_be_read() {
    hold(|dice| {
        let bytes = document(dice);
        let name = (!dice.once_in(3)).then(|| dice.one(&NAMES));
        let media_type = dice.once_in(3).then(|| dice.one(&TYPES));
        let format = detect(&bytes, name, media_type);
        assert_eq!(format, detect(&bytes, name, media_type), "it is always the same");
        // To read PDFs takes a process with limits.
        if let Ok(format @ (Format::Text | Format::Markdown)) = format
            && let Ok(parsed) = parse(&bytes, format)
        {
            assert!(!parsed.text.contains('\0'), "{bytes:?}");
            let is_sound = |at: u32| parsed.text.is_char_boundary(at as usize);
            assert!(parsed.marks.iter().all(|mark| is_sound(mark.at)), "{bytes:?}");
            let again = parse(parsed.text.as_bytes(), Format::Text);
            // What looks like another charset once it is decoded is another matter.
            if let Ok(again) = again {
                assert!(again.text.len() <= parsed.text.len().max(3) * 3, "{bytes:?}");
            }
        }
    });
}
