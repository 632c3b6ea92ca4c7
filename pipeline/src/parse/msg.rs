//! Messages as Outlook saves them.
//!
//! Read: as of other mail, subject, sender, recipients, date, the body once, and the names of attachments.

use super::bounds::ParseBounds;
use super::compound::{Compound, long, utf16};
use super::markdown::{Markdown, one_line};
use super::reading::FormatReader;
use super::{Error, Parsed, html, text};

const NAME: &str = "Outlook message (MSG)";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| sample.has_stream("__properties_version1.0") && !sample.has_stream("WordDocument"),
    parse,
};

/// Attachments whose names are written.
const ATTACHMENTS: usize = 1000;
/// The properties of a message have so many bytes before them.
const HEAD: usize = 32;
const SENT: u32 = 0x0039_0040;
const DELIVERED: u32 = 0x0E06_0040;

fn parse(bytes: &[u8], bounds: &ParseBounds) -> Result<Parsed, Error> {
    let file = Compound::open(bytes, NAME, bounds)?;
    let mut out = Markdown::default();
    let word = |storage: &str, property: &str| -> Result<String, Error> {
        Ok(property_text(&file, storage, property)?
            .map(|text| one_line(&text))
            .unwrap_or_default())
    };
    out.heading(1, &word("", "0037")?);
    let (name, address) = (word("", "0C1A")?, word("", "5D01")?);
    let from = match address.contains('@') && address != name {
        true => format!("{name} <{address}>"),
        false => name,
    };
    let to = [word("", "0E04")?, word("", "0E03")?];
    let to = to
        .into_iter()
        .filter(|people| !people.is_empty())
        .collect::<Vec<_>>()
        .join(", ");
    let arrow = if to.is_empty() { "" } else { " \u{2192} " };
    let date = file
        .read("__properties_version1.0")?
        .and_then(|list| date(&list))
        .unwrap_or_default();
    out.paragraph(&format!("{from}{arrow}{to}\n{date}"));
    let plain = property_text(&file, "", "1000")?.unwrap_or_default();
    let page = file.read("__substg1.0_10130102")?;
    match page {
        Some(page) if plain.trim().is_empty() => html::add(&html::decode(&page)?, false, bounds, &mut out),
        _ => out.plain(&plain.replace("\r\n", "\n")),
    }
    for number in 0..ATTACHMENTS {
        let storage = format!("__attach_version1.0_#{number:08X}/");
        if !file.names().any(|name| name.starts_with(&storage)) {
            break;
        }
        let long = word(&storage, "3707")?;
        let name = if long.is_empty() { word(&storage, "3704")? } else { long };
        if !name.is_empty() {
            out.paragraph(&format!("Attachment: {name}"));
        }
    }
    Ok(out.finish())
}

/// A property that is a text, in Unicode or in a charset that is guessed.
fn property_text(file: &Compound<'_>, storage: &str, property: &str) -> Result<Option<String>, Error> {
    if let Some(wide) = file.read(&format!("{storage}__substg1.0_{property}001F"))? {
        return Ok(Some(utf16(&wide)));
    }
    match file.read(&format!("{storage}__substg1.0_{property}001E"))? {
        Some(narrow) => text::decode(&narrow).map(Some),
        None => Ok(None),
    }
}

/// The day on which a message was sent, from the list of its properties.
fn date(list: &[u8]) -> Option<String> {
    let entries = list.get(HEAD..)?.as_chunks::<16>().0;
    let of = |tag| entries.iter().find(|entry| long(*entry, 0) == tag);
    let entry = of(SENT).or_else(|| of(DELIVERED))?;
    let ticks = u64::from(long(entry, 8)) | u64::from(long(entry, 12)) << 32;
    // Tenths of microseconds since 1601.
    let days = i64::try_from(ticks / 864_000_000_000).ok()? - 134_774;
    let (year, month, day) = super::sheet::civil(days);
    Some(format!("{year:04}-{month:02}-{day:02}"))
}
