//! PowerPoint presentations of the years before 2007.
//!
//! Read: of each slide its title as a heading, its texts, and the speaker's notes. Left out: comments, diagrams,
//! pictures. Tables are texts one after the other: the file does not say more in words. Each slide is marked as a page.

use std::collections::HashMap;

use super::bounds::ParseBounds;
use super::compound::{Compound, long, short, utf16};
use super::markdown::Markdown;
use super::reading::FormatReader;
use super::{Error, Parsed};

const NAME: &str = "PowerPoint presentation (PPT)";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| sample.has_stream("PowerPoint Document"),
    parse,
};

const DOCUMENT: u16 = 0x03E8;
const SLIDE_LIST: u16 = 0x0FF0;
const SLIDE_PLACE: u16 = 0x03F3;
const NOTES_OF: u16 = 0x03F1;
const TEXT_KIND: u16 = 0x0F9F;
const TEXT_WIDE: u16 = 0x0FA0;
const TEXT_NARROW: u16 = 0x0FA8;
const TEXT_ELSEWHERE: u16 = 0x0F9E;
const LAST_EDIT: u16 = 0x0FF5;
const PLACES: u16 = 0x1772;
/// What stands in `Current User` where the file is encrypted.
const ENCRYPTED: u32 = 0xF3D1_C4DF;
/// Saved edits that are looked through.
const EDITS: usize = 10_000;
const DEPTH: usize = 64;

/// A record: its kind, its instance, whether it has records in it, and its bytes.
#[derive(Clone, Copy)]
struct PptRecord<'b> {
    kind: u16,
    instance: u16,
    has_records: bool,
    body: &'b [u8],
}

fn record(bytes: &[u8]) -> Option<(PptRecord<'_>, &[u8])> {
    let head = bytes.get(..8)?;
    let rest = &bytes[8..];
    let (body, rest) = rest.split_at((long(head, 4) as usize).min(rest.len()));
    let version = short(head, 0);
    Some((
        PptRecord {
            kind: short(head, 2),
            instance: version >> 4,
            has_records: version & 0xF == 0xF,
            body,
        },
        rest,
    ))
}

impl<'b> PptRecord<'b> {
    fn records(self) -> impl Iterator<Item = PptRecord<'b>> {
        let mut rest = if self.has_records { self.body } else { &[] };
        std::iter::from_fn(move || {
            let (record, after) = record(rest)?;
            rest = after;
            Some(record)
        })
    }
}

/// A text and its kind: 0 and 6 are titles.
struct SlideText {
    kind: u32,
    text: String,
}

fn parse(bytes: &[u8], bounds: &ParseBounds) -> Result<Parsed, Error> {
    let file = Compound::open(bytes, NAME, bounds)?;
    let main = file.read_needed("PowerPoint Document")?;
    let user = file.read("Current User")?.unwrap_or_default();
    if long(&user, 12) == ENCRYPTED {
        return Err(Error::Locked { of: NAME });
    }
    let damaged = || Error::Damaged {
        of: NAME,
        what: "its list of slides cannot be read",
    };
    let (document, places) = places(&main, long(&user, 16)).ok_or_else(damaged)?;
    let at = |place: u32| Some(record(main.get(*places.get(&place)? as usize..)?)?.0);
    let document = at(document)
        .filter(|record| record.kind == DOCUMENT)
        .ok_or_else(damaged)?;
    let mut notes: HashMap<u32, Vec<SlideText>> = HashMap::new();
    let lists = || document.records().filter(|record| record.kind == SLIDE_LIST);
    for entry in lists().filter(|list| list.instance == 2).flat_map(entries) {
        let Some(page) = at(entry.place) else { continue };
        let of = page
            .records()
            .find(|record| record.kind == NOTES_OF)
            .map_or(0, |record| long(record.body, 0));
        let mut texts = Vec::new();
        add_texts(page, &entry.texts, 0, &mut texts);
        texts.retain(|text| text.kind == 2);
        notes.insert(of, texts);
    }
    let mut out = Markdown::default();
    for (number, entry) in (1..).zip(lists().filter(|list| list.instance == 0).flat_map(entries)) {
        out.page(number);
        let mut texts = Vec::new();
        match at(entry.place) {
            Some(slide) => add_texts(slide, &entry.texts, 0, &mut texts),
            None => texts.extend(entry.texts),
        }
        texts.sort_by_key(|text| !matches!(text.kind, 0 | 6));
        texts.extend(notes.remove(&entry.id).unwrap_or_default());
        texts.iter().for_each(|text| write(text, &mut out));
    }
    Ok(out.finish())
}

fn write(text: &SlideText, out: &mut Markdown) {
    match text.kind {
        0 | 6 => out.heading(2, &text.text),
        1 | 7 | 8 if text.text.trim().contains('\r') => {
            text.text
                .split('\r')
                .for_each(|line| out.item(0, None, &line.replace('\x0B', "\n")));
        }
        _ => text
            .text
            .split('\r')
            .for_each(|line| out.paragraph(&line.replace('\x0B', "\n"))),
    }
}

/// The number of the document among the places, and where each of those begins.
fn places(main: &[u8], last: u32) -> Option<(u32, HashMap<u32, u32>)> {
    let mut places = HashMap::new();
    let mut document = None;
    let mut at = last;
    for _ in 0..EDITS {
        let (edit, _) = record(main.get(at as usize..)?)?;
        if edit.kind != LAST_EDIT {
            break;
        }
        document = document.or(Some(long(edit.body, 16)));
        let (list, _) = record(main.get(long(edit.body, 12) as usize..)?)?;
        let mut rest = if list.kind == PLACES { list.body } else { &[] };
        while rest.len() >= 4 {
            let head = long(rest, 0);
            let (first, count) = (head & 0xF_FFFF, head >> 20);
            for (number, place) in (first..first.saturating_add(count)).zip(rest[4..].as_chunks::<4>().0) {
                places.entry(number).or_insert(u32::from_le_bytes(*place));
            }
            rest = rest.get(4 + 4 * count as usize..).unwrap_or_default();
        }
        at = long(edit.body, 8);
        if at == 0 {
            break;
        }
    }
    Some((document?, places))
}

/// A slide in a list: its place, its number, and the texts of its outline.
struct SlideEntry {
    place: u32,
    id: u32,
    texts: Vec<SlideText>,
}

fn entries(list: PptRecord<'_>) -> Vec<SlideEntry> {
    let mut entries: Vec<SlideEntry> = Vec::new();
    let mut kind = 0;
    for record in list.records() {
        match record.kind {
            SLIDE_PLACE => {
                let (place, id) = (long(record.body, 0), long(record.body, 12));
                entries.push(SlideEntry {
                    place,
                    id,
                    texts: Vec::new(),
                });
            }
            TEXT_KIND => kind = long(record.body, 0),
            _ => {
                if let (Some(text), Some(entry)) = (text(record), entries.last_mut()) {
                    entry.texts.push(SlideText { kind, text });
                }
            }
        }
    }
    entries
}

fn text(record: PptRecord<'_>) -> Option<String> {
    match record.kind {
        TEXT_WIDE => Some(utf16(record.body)),
        TEXT_NARROW => Some(record.body.iter().map(|byte| char::from(*byte)).collect()),
        _ => None,
    }
}

/// The texts of a slide, in the order of its shapes.
fn add_texts(page: PptRecord<'_>, outline: &[SlideText], depth: usize, texts: &mut Vec<SlideText>) {
    let mut kind = 4;
    for record in page.records() {
        match record.kind {
            TEXT_KIND => kind = long(record.body, 0),
            TEXT_ELSEWHERE => {
                if let Some(SlideText { kind, text }) = outline.get(long(record.body, 0) as usize) {
                    texts.push(SlideText {
                        kind: *kind,
                        text: text.clone(),
                    });
                }
            }
            _ if record.has_records && depth < DEPTH => add_texts(record, outline, depth + 1, texts),
            _ => texts.extend(text(record).map(|text| SlideText { kind, text })),
        }
    }
}
