//! Mail messages.
//!
//! Read: subject, sender, recipients and date, the body once (as plain text, or as HTML where that says much more), and
//! messages within it. Attachments are named and not read. Left out: all other headers.

use mail_parser::{Address, Message, MessageParser, MimeHeaders, PartType};

use super::bounds::ParseBounds;
use super::mail::{self, Letters};
use super::markdown::{Markdown, one_line};
use super::reading::{FormatReader, Sample};
use super::{Error, Parsed, html};

const NAME: &str = "mail message";

pub(super) const READING: FormatReader = FormatReader { is: is_message, parse };

/// Messages within a message, one in the other or one after the other.
const MESSAGES: usize = 1000;

/// By its name or media type, where its headers do not speak against it, or by its headers.
fn is_message(sample: &Sample<'_>) -> bool {
    match mail::by_name(sample.extension, sample.media_type) {
        Some(Letters::Mail(kind)) => kind != mail::MAILBOX_NAME,
        Some(_) => false,
        None => sample.text.is_some_and(mail::is_message),
    }
}

fn parse(bytes: &[u8], bounds: &ParseBounds) -> Result<Parsed, Error> {
    let damaged = Error::Damaged {
        of: NAME,
        what: "it has no headers",
    };
    // Apple's files have their length before them.
    let first = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let is_number = first > 0 && bytes[..first].trim_ascii().iter().all(u8::is_ascii_digit);
    let bytes = if is_number { &bytes[first + 1..] } else { bytes };
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    // Those are parsed by recursion.
    let inner = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .map(|(at, _)| &bytes[..at]);
    let inner = inner.filter(|before| before.len() >= 7 && before[before.len() - 7..].eq_ignore_ascii_case(b"message"));
    if inner.take(MESSAGES + 1).count() > MESSAGES {
        return Err(Error::Excessive {
            of: NAME,
            what: "it has more than 1,000 messages in it",
        });
    }
    let message = MessageParser::default().parse(bytes).ok_or(damaged)?;
    let mut out = Markdown::default();
    add(&message, 1, bounds, &mut out);
    Ok(out.finish())
}

/// Writes a message, which stands within `level - 1` others.
fn add(message: &Message<'_>, level: usize, bounds: &ParseBounds, out: &mut Markdown) {
    out.heading(level, message.subject().unwrap_or_default());
    let person = |address: Option<&Address<'_>>| address.map(people).unwrap_or_default();
    let to = [message.to(), message.cc()].map(person);
    let to = to
        .into_iter()
        .filter(|people| !people.is_empty())
        .collect::<Vec<_>>()
        .join(", ");
    // An arrow says what two labels would, which are words that each message would have.
    let arrow = if to.is_empty() { "" } else { " \u{2192} " };
    let mut head = format!("{}{arrow}{to}", person(message.from()));
    if let Some(date) = message.date() {
        head.push_str(&format!("\n{:04}-{:02}-{:02}", date.year, date.month, date.day));
    }
    out.paragraph(&head);
    body(message, bounds, out);
    for part in message.attachments() {
        if let PartType::Message(inner) = &part.body {
            if level < bounds.nesting {
                add(inner, level + 1, bounds, out);
            }
        } else if let Some(name) = part.attachment_name() {
            out.paragraph(&format!("Attachment: {}", one_line(name)));
        }
    }
}

fn people(address: &Address<'_>) -> String {
    let one = |person: &mail_parser::Addr<'_>| match (person.name(), person.address()) {
        (Some(name), Some(address)) => format!("{} <{address}>", one_line(name)),
        (name, address) => one_line(name.or(address).unwrap_or_default()),
    };
    address.iter().take(1000).map(one).collect::<Vec<_>>().join(", ")
}

fn body(message: &Message<'_>, bounds: &ParseBounds, out: &mut Markdown) {
    let (mut plain, mut page) = (Markdown::default(), Markdown::default());
    let mut last = "";
    for part in message.text_bodies() {
        if let PartType::Text(text) = &part.body
            && text.trim() != last
        {
            last = text.trim();
            plain.plain(&text.replace("\r\n", "\n"));
        }
    }
    for part in message.html_bodies() {
        match &part.body {
            PartType::Html(text) => {
                let mut one = Markdown::default();
                html::add(text, false, bounds, &mut one);
                page.append(one);
            }
            PartType::Text(text) => page.plain(&text.replace("\r\n", "\n")),
            _ => (),
        }
    }
    let words = |markdown: &Markdown| markdown.as_str().split_whitespace().count();
    // The plain body of some messages says only that there is another one.
    out.append(if words(&page) > 4 * words(&plain) { page } else { plain });
}
