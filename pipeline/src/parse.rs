//! Bytes of a document → text.
//!
//! The bytes are untrusted, and no parser is safe against all of them: whatever is not already text is parsed
//! by a child process ([`Parser`] starts it, [`child`] is what it runs) with limits on time and memory.
//!
//! What the text is: line ends as they are in the document, no byte order mark, and no U+0000, which Postgres cannot
//! store. Where a format has structure that Markdown can show, the text is Markdown.

mod alt;
mod archive;
mod bounds;
mod charset;
pub mod child;
mod compound;
mod csv;
mod detect;
mod doc;
mod docx;
mod eml;
mod epub;
mod error;
mod gzip;
mod html;
mod mail;
mod markdown;
mod msg;
mod odf;
mod odp;
mod ods;
mod odt;
mod package;
mod parsed;
mod parser;
mod pdf;
mod ppt;
mod pptx;
mod reading;
mod rtf;
mod sheet;
mod text;
mod xls;
mod xlsx;
mod xml;
mod zstd;

use bounds::ParseBounds;
pub use detect::detect;
pub use error::Error;
pub use parsed::{Mark, MarkKind, Marks, Parsed};
pub use parser::{Hints, Measured, Parser, ParserLimits};
use reading::FormatReader;

/// Declares [`Format`] with the module that each format has: a new one is a file and a line here.
macro_rules! formats {
    ($($(#[$says:meta])+ $format:ident = $module:ident),+ $(,)?) => {
        /// A format of documents that can be read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Format {
            /// Text without markup, in any charset of the Encoding Standard.
            Text,
            /// Text that is Markdown. Read as it is.
            Markdown,
            /// Portable Document Format with a text layer.
            Pdf,
            $($(#[$says])+ $format,)+
        }

        impl Format {
            /// The formats with a module of their own, in the order in which they are asked.
            const READ: &[(Format, &FormatReader)] = &[$((Format::$format, &$module::READING)),+];
        }
    };
}

formats! {
    /// Word documents and templates (Office Open XML).
    Docx = docx,
    /// Excel workbooks and templates (Office Open XML).
    Xlsx = xlsx,
    /// PowerPoint presentations and templates (Office Open XML).
    Pptx = pptx,
    /// OpenDocument texts and templates.
    Odt = odt,
    /// OpenDocument spreadsheets and templates.
    Ods = ods,
    /// OpenDocument presentations and templates.
    Odp = odp,
    /// Word documents of the years before 2007.
    Doc = doc,
    /// Excel workbooks of the years before 2007.
    Xls = xls,
    /// PowerPoint presentations of the years before 2007.
    Ppt = ppt,
    /// Messages of Outlook.
    Msg = msg,
    /// EPUB books.
    Epub = epub,
    /// Mail messages (RFC 5322, MIME).
    Eml = eml,
    /// Rich Text Format.
    Rtf = rtf,
    /// HTML and XHTML.
    Html = html,
    /// Tables as text.
    Csv = csv,
    /// Any of the others, compressed by gzip.
    Gzip = gzip,
    /// Any of the others, compressed by Zstandard.
    Zstd = zstd,
}

impl Format {
    /// Whether its bytes are the text already, in whichever charset.
    pub fn is_text(self) -> bool {
        matches!(self, Format::Text | Format::Markdown)
    }

    /// How it is read, where it is neither text nor PDF.
    fn reading(self) -> Option<&'static FormatReader> {
        let (_, reading) = Format::READ.iter().find(|(format, _)| *format == self)?;
        Some(reading)
    }
}

/// The text of `bytes`, which are taken to be of that format, and what the format says of places in it.
///
/// Pure: no limits on time and memory, which only a process of its own can hold ([`Parser::parse`]). An empty document
/// has an empty text, whatever its format.
///
/// # Errors
///
/// Those of the document: [`Error::NotText`], [`Error::NotPdf`], [`Error::DamagedPdf`], [`Error::Encrypted`],
/// [`Error::NoTextLayer`], [`Error::Unsupported`], [`Error::Charset`], [`Error::Damaged`], [`Error::Locked`],
/// [`Error::Excessive`].
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
    parse_within(bytes, format, &ParseBounds::DOCUMENT)
}

/// [`parse`] within other bounds: of a document within another.
fn parse_within(bytes: &[u8], format: Format, bounds: &ParseBounds) -> Result<Parsed, Error> {
    match format.reading() {
        Some(reading) => (reading.parse)(bytes, bounds),
        None if format == Format::Pdf => pdf::text(bytes).map(Parsed::from),
        None => text::decode(bytes).map(Parsed::from),
    }
}
