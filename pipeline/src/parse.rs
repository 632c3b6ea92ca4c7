//! Bytes of a document → text.
//!
//! The bytes are untrusted, and no parser is safe against all of them: whatever is not already text is parsed
//! by a child process ([`Parser`] starts it, [`child`] is what it runs) with limits on time and memory.
//!
//! What the text is: line ends as they are in the document, no byte order mark, and no U+0000, which Postgres cannot
//! store. Where a format has structure that Markdown can show, the text is Markdown.

mod charset;
pub mod child;
mod detect;
mod error;
mod mail;
mod parsed;
mod parser;
mod pdf;
mod text;

pub use detect::detect;
pub use error::Error;
pub use parsed::{Mark, MarkKind, Marks, Parsed};
pub use parser::{Hints, Measured, Parser, ParserLimits};

/// A format of documents that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text without markup, in any charset of the Encoding Standard.
    Text,
    /// Text that is Markdown. Read as it is.
    Markdown,
    /// Portable Document Format with a text layer.
    Pdf,
}

/// The text of `bytes`, which are taken to be of that format, and what the format says of places in it.
///
/// Pure: no limits on time and memory, which only a process of its own can hold ([`Parser::parse`]). An empty document
/// has an empty text, whatever its format.
///
/// # Errors
///
/// Those of the document: [`Error::NotText`], [`Error::NotPdf`], [`Error::DamagedPdf`], [`Error::Encrypted`],
/// [`Error::NoTextLayer`], [`Error::Unsupported`], [`Error::Charset`].
///
/// ```
/// use ai_pipeline::parse::{parse, Format};
/// assert_eq!(parse(b"\xEF\xBB\xBFna\xC3\xAFve\r\n", Format::Text).unwrap().text, "naïve\r\n");
/// assert_eq!(parse(b"na\xEFve caf\xE9", Format::Text).unwrap().text, "naïve café");
/// ```
pub fn parse(bytes: &[u8], format: Format) -> Result<Parsed, Error> {
    if bytes.is_empty() {
        return Ok(Parsed::default());
    }
    let text = match format {
        Format::Text | Format::Markdown => text::decode(bytes),
        Format::Pdf => pdf::text(bytes),
    };
    text.map(Parsed::from)
}
