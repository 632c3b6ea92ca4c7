//! What is written for programs, in letters: mail with its MIME parts, and files that were made
//! letters to travel by mail.
//!
//! A message is read (`eml`); mailboxes, and what else was made letters, are better refused than cut
//! into thousands of chunks of base64. All are recognised by what their readers go by, so that a
//! text that speaks of mail, or holds a key, stays a text.

use std::borrow::Cow;

/// The headers of a message, its first parts, and the beginnings of further messages are looked for
/// within so many bytes. Headers are long where each server on the way, or each filter, has added
/// some.
const HEAD: usize = 4 * 1024 * 1024;
/// A header block has no more lines than this.
const MOST_LINES: usize = 50_000;
/// Messages of a mailbox that are looked at.
const MOST_MESSAGES: usize = 100;

/// A document longer than [`WHOLE`] is looked at in so many places, each of so many bytes.
const PLACES: usize = 64;
const PLACE: usize = 64 * 1024;
const WHOLE: usize = PLACES * PLACE;

/// Lines of base64 are that long at least: those of MIME have 76 characters, those of PEM 64, and
/// others anything at all.
const LINE: usize = 50;
/// That many lines of one length are no list of keys or hashes.
const LINES: usize = 4;
/// A single word of base64 is longer than any hash (SHA-512 takes 88 characters).
const WORD: usize = 128;
/// Less of it is a key, and no file.
const FILE: usize = 1024;
/// A document has more text than this beside a picture in a `data:` URI.
const TEXT: usize = 100;

/// What a document is instead of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    /// A message, or several.
    Mail(&'static str),
    /// A web page with all that belongs to it.
    WebArchive,
    /// Parts with headers of their own, as in mail.
    Parts,
    /// Something else than text, in letters.
    Encoded(&'static str),
}

pub(super) const MESSAGE: Letters = Letters::Mail("a mail message");
pub(super) const MAILBOX_NAME: &str = "a mailbox";
const MAILBOX: Letters = Letters::Mail(MAILBOX_NAME);

/// What the name or the media type of a document say.
pub fn by_name(extension: Option<&str>, media_type: Option<&str>) -> Option<Letters> {
    match extension {
        Some("eml" | "emlx") => return Some(MESSAGE),
        Some("mbox" | "mbx") => return Some(MAILBOX),
        Some("mht" | "mhtml") => return Some(Letters::WebArchive),
        _ => (),
    }
    match media_type? {
        "message/rfc822" | "message/global" | "message/news" | "message/partial" => Some(MESSAGE),
        "application/mbox" => Some(MAILBOX),
        "application/x-mimearchive" | "multipart/related" => Some(Letters::WebArchive),
        "multipart/mixed"
        | "multipart/alternative"
        | "multipart/signed"
        | "multipart/encrypted"
        | "multipart/report"
        | "multipart/digest" => Some(MESSAGE),
        _ => None,
    }
}

/// Whether the bytes of a text are those of a message by its headers.
pub fn is_message(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    of_head(bytes[..bytes.len().min(HEAD)].trim_ascii_start()) == Some(MESSAGE)
}

/// What the bytes of a text say.
pub fn by_content(bytes: &[u8]) -> Option<Letters> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let head = &bytes[..bytes.len().min(HEAD)];
    of_head(head.trim_ascii_start()).or_else(|| encoding(bytes).map(Letters::Encoded))
}

fn of_head(head: &[u8]) -> Option<Letters> {
    if let Some(rest) = head.strip_prefix(b"From ") {
        return of_mailbox(rest);
    }
    if head.starts_with(b"--") {
        return has_parts(head).then_some(Letters::Parts);
    }
    let headers = MailHeaders::read(head)?;
    match headers.is_mail() {
        true if headers.is_web_archive() => Some(Letters::WebArchive),
        true if headers.is_mime() => Some(MESSAGE),
        _ if headers.has_boundary_in(head) => Some(Letters::Parts),
        _ => None,
    }
}

/// Messages one after the other, each after a line that says who sent it. Git writes patches so, as
/// a text to be read.
fn of_mailbox(head: &[u8]) -> Option<Letters> {
    let first = head.split(|byte| *byte == b'\n').next()?;
    let is_patch = first.len() > 40 && first[..40].iter().all(u8::is_ascii_hexdigit);
    let mut rest = head;
    for _ in 0..MOST_MESSAGES {
        let line = rest.iter().position(|byte| *byte == b'\n')?;
        rest = &rest[line + 1..];
        if let Some(headers) = MailHeaders::read(rest)
            && headers.is_mail()
            && headers.is_mime()
            && !(is_patch && headers.is_plain())
        {
            return Some(MAILBOX);
        }
        let next = rest
            .windows(7)
            .position(|window| window == b"\n\nFrom " || window == b"\r\nFrom ")?;
        rest = &rest[next + 2..];
    }
    None
}

/// Whether parts come one after the other, each after a line that no text has and with headers of
/// its own.
fn has_parts(head: &[u8]) -> bool {
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else {
        return false;
    };
    let line = head[..end].trim_ascii_end();
    let rest = &head[end + 1..];
    let headers = MailHeaders::read(rest);
    line.len() >= 10
        && headers.is_some_and(|headers| {
            headers.get("content-type").is_some() || headers.get("content-disposition").is_some()
        })
        && rest.windows(line.len()).any(|window| window == line)
}

/// The fields before the first empty line, by RFC 5322: names in lower case, values in one line.
struct MailHeaders(Vec<(String, String)>);

impl MailHeaders {
    /// None where a line is neither a field nor the rest of one.
    fn read(bytes: &[u8]) -> Option<MailHeaders> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n').take(MOST_LINES) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            let value = |bytes: &[u8]| String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
            if line[0] == b' ' || line[0] == b'\t' {
                let (_, last) = fields.last_mut()?;
                last.push(' ');
                last.push_str(&value(line));
                continue;
            }
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = &line[..colon];
            if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
                return None;
            }
            fields.push((
                String::from_utf8_lossy(name).to_ascii_lowercase(),
                value(&line[colon + 1..]),
            ));
        }
        Some(MailHeaders(fields))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// The media type and the encoding of the body, in lower case.
    fn content(&self) -> (Cow<'_, str>, String) {
        let kind = self.get("content-type").unwrap_or("text/plain");
        let essence = kind.split(';').next().unwrap_or_default().trim();
        let encoding = self.get("content-transfer-encoding").unwrap_or_default();
        (
            essence.to_ascii_lowercase().into(),
            encoding.trim().to_ascii_lowercase(),
        )
    }

    fn is_mail(&self) -> bool {
        const NAMES: [&str; 12] = [
            "from",
            "to",
            "subject",
            "date",
            "message-id",
            "received",
            "return-path",
            "delivered-to",
            "sender",
            "reply-to",
            "dkim-signature",
            "newsgroups",
        ];
        NAMES.iter().filter(|name| self.get(name).is_some()).count() >= 2
    }

    /// Whether the body is in one of MIME's forms. A memo has a sender and a subject, too.
    fn is_mime(&self) -> bool {
        let (kind, encoding) = self.content();
        self.get("mime-version").is_some()
            || !encoding.is_empty()
            || kind.starts_with("multipart/")
            || kind.starts_with("message/")
    }

    /// Whether the body is a text as it stands there.
    fn is_plain(&self) -> bool {
        let (kind, encoding) = self.content();
        kind == "text/plain" && matches!(encoding.as_str(), "" | "7bit" | "8bit" | "binary")
    }

    fn is_web_archive(&self) -> bool {
        self.content().0 == "multipart/related"
            && (self.get("snapshot-content-location").is_some() || self.get("content-location").is_some())
    }

    /// Whether the body has the parts that the header announces.
    fn has_boundary_in(&self, head: &[u8]) -> bool {
        let Some(kind) = self
            .get("content-type")
            .filter(|kind| kind.to_ascii_lowercase().starts_with("multipart/"))
        else {
            return false;
        };
        let Some((_, rest)) = kind.split_once("oundary=") else {
            return false;
        };
        let boundary = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => rest.split([';', ' ']).next(),
        };
        let line = format!("--{}", boundary.unwrap_or_default());
        line.len() > 2 && head.windows(line.len()).any(|window| window == line.as_bytes())
    }
}

/// How a file was made letters that more than half of the document is of.
fn encoding(bytes: &[u8]) -> Option<&'static str> {
    if starts_line(bytes, b"=ybegin line=") {
        return Some("yEnc");
    }
    if starts_line(bytes, b"(This file must be converted with BinHex") {
        return Some("BinHex");
    }
    let mut census = ByteCounts::default();
    if bytes.len() <= WHOLE {
        census.count(bytes);
    } else {
        for place in 0..PLACES {
            let from = (bytes.len() - PLACE) / (PLACES - 1) * place;
            census.count(&bytes[from..from + PLACE]);
        }
    }
    let is_most = |part: usize| part >= FILE && part * 2 > census.letters - census.inline;
    if is_most(census.base64) || census.inline >= FILE && census.letters - census.inline < TEXT {
        Some("base64")
    } else if is_most(census.uuencoded) {
        Some("uuencode")
    } else {
        None
    }
}

fn starts_line(bytes: &[u8], what: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(4096)];
    head.split(|byte| *byte == b'\n').any(|line| line.starts_with(what))
}

/// How many bytes of a document are what.
#[derive(Default)]
struct ByteCounts {
    /// All but white space.
    letters: usize,
    base64: usize,
    /// Of `data:` URIs, which are pictures beside the text: no text is refused for those.
    inline: usize,
    uuencoded: usize,
}

impl ByteCounts {
    fn count(&mut self, bytes: &[u8]) {
        self.letters += bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let is_full = line.len() == 61 && line[0] == b'M' && line.iter().all(|byte| (b' '..=b'`').contains(byte));
            self.uuencoded += if is_full { line.len() } else { 0 };
        }
        let mut run = WordRun::default();
        let mut at = 0;
        while at < bytes.len() {
            let length = bytes[at..].iter().take_while(|byte| is_base64(**byte)).count();
            let word = &bytes[at..at + length];
            let after = bytes.get(at + length).copied();
            if word.iter().any(u8::is_ascii_alphanumeric) {
                if length >= WORD && bytes[..at].ends_with(b";base64,") {
                    self.inline += length;
                    run = WordRun::default();
                } else {
                    self.base64 += run.take(word, after == Some(b'='));
                }
            }
            at += length + 1;
            // A line break within a string of JSON is no letter of the next word.
            if after == Some(b'\\') && matches!(bytes.get(at), Some(b'n' | b'r')) {
                at += 1;
            }
        }
    }
}

/// A letter of base64, or of its variety for addresses (RFC 4648, 5).
fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || is_sign(byte)
}

fn is_sign(byte: u8) -> bool {
    matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Words of one length, one after the other.
#[derive(Default)]
struct WordRun<'w> {
    last: &'w [u8],
    length: usize,
    words: usize,
    /// Those that look like bytes in base64.
    random: usize,
}

impl<'w> WordRun<'w> {
    /// How many bytes of base64 a word shows that there are.
    fn take(&mut self, word: &'w [u8], is_padded: bool) -> usize {
        let (length, is_random) = (word.len(), is_random(word) && !begins_alike(self.last, word));
        self.last = word;
        if length >= WORD {
            *self = WordRun::default();
            return if is_random { length } else { 0 };
        }
        // The last line is shorter, or ends with padding.
        let is_last = self.words >= LINES && (length < self.length || is_padded && length == self.length);
        if is_last || is_padded || length < LINE {
            *self = WordRun::default();
            return if is_last { length } else { 0 };
        }
        if length != self.length {
            *self = WordRun {
                last: word,
                ..WordRun::default()
            };
        }
        self.length = word.len();
        self.words += 1;
        self.random += usize::from(is_random);
        if self.random * 2 < self.words {
            return 0;
        }
        match self.words {
            ..LINES => 0,
            LINES => self.length * LINES,
            _ => self.length,
        }
    }
}

/// Bytes in base64 have letters of both cases and digits. A quarter are capitals at least, whatever
/// the bytes are, and in names of classes and files hardly a sixth; the two signs are rare, and the
/// separators of paths are not.
fn is_random(word: &[u8]) -> bool {
    let count = |is: fn(&u8) -> bool| word.iter().filter(|byte| is(byte)).count();
    let signs = count(|byte| is_sign(*byte));
    let (plain, of_addresses) = (
        count(|byte| matches!(byte, b'+' | b'/')),
        count(|byte| matches!(byte, b'-' | b'_')),
    );
    count(u8::is_ascii_lowercase) > 0
        && count(u8::is_ascii_uppercase) * 4 >= word.len()
        && count(u8::is_ascii_digit) > 0
        && signs * 8 <= word.len()
        && (plain == 0 || of_addresses == 0)
}

/// Whether two words are equal up to a sign and beyond: directories of paths, and prefixes of keys
/// and hashes.
fn begins_alike(one: &[u8], other: &[u8]) -> bool {
    let mut alike = std::iter::zip(one, other).take_while(|(one, other)| one == other);
    one != other && alike.any(|(byte, _)| is_sign(*byte))
}
