//! How a format is recognised and read.

use super::archive::Archive;
use super::bounds::ParseBounds;
use super::compound::Compound;
use super::{Error, Format, Parsed, xml};

/// A format beside text and PDF: its file has one of these.
pub(super) struct FormatReader {
    /// Whether a sample is of this format.
    pub is: fn(&Sample<'_>) -> bool,
    /// The text of bytes that are of this format; never empty ones.
    pub parse: fn(&[u8], &ParseBounds) -> Result<Parsed, Error>,
}

/// What is known of a document before it is parsed.
pub(super) struct Sample<'b> {
    /// What it begins with, in UTF-8 where it is text; none where it is binary.
    pub text: Option<&'b [u8]>,
    /// All bytes of a binary document.
    pub bytes: &'b [u8],
    /// The extension of its name in lower case.
    pub extension: Option<&'b str>,
    /// The media type in lower case.
    pub media_type: Option<&'b str>,
    /// What the parts of a package are said to be.
    package: Option<String>,
    /// The streams of a compound file.
    streams: Vec<String>,
}

/// The list of an archive, and the type of a book, have no more bytes than this.
const TYPES: usize = 4 * 1024 * 1024;

impl<'b> Sample<'b> {
    /// A text.
    pub fn text(text: &'b [u8], extension: Option<&'b str>, media_type: Option<&'b str>) -> Sample<'b> {
        Sample {
            text: Some(text),
            bytes: text,
            extension,
            media_type,
            package: None,
            streams: Vec::new(),
        }
    }

    /// Bytes that may be those of an archive, a compound file or something compressed.
    pub fn binary(bytes: &'b [u8], extension: Option<&'b str>, media_type: Option<&'b str>) -> Sample<'b> {
        let mut sample = Sample {
            text: None,
            bytes,
            extension,
            media_type,
            package: None,
            streams: Vec::new(),
        };
        if Archive::is_one(bytes) {
            sample.package = types(bytes);
        } else if Compound::is_one(bytes)
            && let Ok(compound) = Compound::open(bytes, "compound file", &ParseBounds::DOCUMENT)
        {
            sample.streams = compound.names().map(str::to_owned).collect();
        }
        sample
    }

    /// Whether it is a package with a part of that type, of which a word is given.
    pub fn is_package(&self, word: &str) -> bool {
        self.package.as_deref().is_some_and(|types| types.contains(word))
    }

    /// What a package says that it is, and its parts are.
    pub fn package_type(&self) -> Option<&str> {
        self.package.as_deref()
    }

    /// Whether it is a compound file with that stream.
    pub fn has_stream(&self, name: &str) -> bool {
        self.streams.iter().any(|stream| stream.eq_ignore_ascii_case(name))
    }

    /// The format that it has.
    pub fn format(&self) -> Option<Format> {
        Format::READ
            .iter()
            .find(|(_, reading)| (reading.is)(self))
            .map(|(format, _)| *format)
    }
}

/// The types of the parts of a package of any kind, as it says them itself.
fn types(bytes: &[u8]) -> Option<String> {
    let bounds = ParseBounds {
        entry_bytes: TYPES as u64,
        total_bytes: TYPES as u64,
        ..ParseBounds::DOCUMENT
    };
    let archive = Archive::open(bytes, "archive", &bounds).ok()?;
    if let Ok(Some(types)) = archive.read("[Content_Types].xml") {
        return Some(xml::decode(&types));
    }
    if let Ok(Some(kind)) = archive.read("mimetype") {
        return Some(String::from_utf8_lossy(kind.trim_ascii()).into_owned());
    }
    archive
        .has("META-INF/container.xml")
        .then(|| "application/epub+zip".to_owned())
}
