//! Which format a document has.

use super::archive::Archive;
use super::bounds::ParseBounds;
use super::charset::DetectedCharset;
use super::compound::Compound;
use super::mail::{self, Letters};
use super::reading::Sample;
use super::{Error, Format, html, text};

/// How far from its beginning a PDF may have its header (ISO 32000-1, annex H, note 13).
const PDF_HEADER_WITHIN: usize = 1024;

/// How much of a text in UTF-16 or UTF-32 is decoded to see what it is.
const HEAD: usize = 64 * 1024;

/// The format of a document from its bytes, its name (a path or URL; only the extension counts) and
/// the media type that came with it.
///
/// The bytes have the last word: a PDF is one whatever it is called, and text is recognised by its
/// bytes alone. Name and type tell Markdown from text, and betray a PDF that is none. Bytes that
/// are valid UTF-8 without control characters are compared with a few signatures, and looked
/// through for lines of base64: nothing is parsed, so this is safe to run on them in any process.
///
/// # Errors
///
/// [`Error::Unsupported`] with the name of what was seen; [`Error::NotPdf`]; [`Error::Mail`] and
/// [`Error::Encoded`] for text that was written for programs; [`Error::Charset`].
///
/// ```
/// use ai_pipeline::parse::{detect, Format};
/// assert_eq!(detect(b"%PDF-1.7 ...", Some("scan.txt"), None), Ok(Format::Pdf));
/// assert_eq!(detect(b"# Title", Some("s3://bucket/Read%20me.MD"), None), Ok(Format::Markdown));
/// assert!(detect(b"<!DOCTYPE html><p>sign in first", Some("report.pdf"), None).is_err());
/// ```
pub fn detect(bytes: &[u8], name: Option<&str>, media_type: Option<&str>) -> Result<Format, Error> {
    let extension = name.and_then(extension);
    let media_type = media_type.and_then(essence);
    detect_by(bytes, extension.as_deref(), media_type.as_deref())
}

/// [`detect`] with what counts of the name and the media type.
pub(super) fn detect_by(bytes: &[u8], extension: Option<&str>, media_type: Option<&str>) -> Result<Format, Error> {
    if bytes.is_empty() {
        return Ok(Format::Text);
    }
    let clean = text::is_clean(bytes);
    if has_pdf_header(bytes, clean) {
        return Ok(Format::Pdf);
    }
    if !clean {
        let sample = Sample::binary(bytes, extension, media_type);
        if sample.has_stream("EncryptedPackage") {
            return Err(Error::Locked { of: "office document" });
        }
        if let Some(format) = sample.format() {
            return Ok(format);
        }
        // Of a file that was cut short only the end is missing, which says what is in it.
        if Archive::is_one(bytes) {
            Archive::open(bytes, "office document or archive", &ParseBounds::DOCUMENT)?;
        } else if Compound::is_one(bytes) {
            Compound::open(bytes, "office document", &ParseBounds::DOCUMENT)?;
        }
    }
    let charset = text::unmarked(bytes);
    let binary = !clean && charset.is_none() && text::is_binary(bytes);
    let decoded;
    let bytes = match charset {
        Some(DetectedCharset::Readable(charset)) => {
            decoded = charset.decode(&bytes[..bytes.len().min(HEAD)]);
            decoded.as_bytes()
        }
        _ => bytes,
    };
    let markup = if binary { None } else { markup(bytes) };
    if extension == Some("pdf") || matches!(media_type, Some("application/pdf" | "application/x-pdf")) {
        let seen = match markup {
            Some(markup) => markup.to_owned(),
            None if binary => text::name_of_binary(bytes),
            None => "text".to_owned(),
        };
        return Err(Error::NotPdf { seen });
    }
    let called = mail::by_name(extension, media_type);
    // Attachments may stand in a message as they are.
    let is_message = called == Some(mail::MESSAGE) && !text::has_known_signature(bytes);
    if is_message && !matches!(charset, Some(DetectedCharset::Unreadable(_))) {
        return Ok(Format::Eml);
    }
    if binary {
        // Attachments may stand in a message as they are.
        return Err(match called {
            Some(letters) if !text::has_known_signature(bytes) => refusal(letters),
            _ => Error::Unsupported {
                seen: text::name_of_binary(bytes),
            },
        });
    }
    if let Some(DetectedCharset::Unreadable(name)) = charset {
        return Err(Error::Charset { name });
    }
    if let Some(letters) = called.filter(|letters| *letters != mail::MESSAGE) {
        return Err(refusal(letters));
    }
    if let Some(format) = Sample::text(bytes, extension, media_type).format() {
        return Ok(format);
    }
    if let Some(markup) = markup {
        return Err(Error::Unsupported {
            seen: markup.to_owned(),
        });
    }
    if let Some(letters) = mail::by_content(bytes) {
        return Err(refusal(letters));
    }
    match (media_type, extension) {
        (Some("text/markdown" | "text/x-markdown"), _) | (_, Some("md" | "markdown" | "mkd" | "mdown")) => {
            Ok(Format::Markdown)
        }
        _ => Ok(Format::Text),
    }
}

fn refusal(letters: Letters) -> Error {
    match letters {
        Letters::Mail(seen) => Error::Mail { seen },
        Letters::WebArchive => Error::Unsupported {
            seen: "a web archive (MHTML)".to_owned(),
        },
        Letters::Parts => Error::Encoded { how: "MIME parts" },
        Letters::Encoded(how) => Error::Encoded { how },
    }
}

/// The extension of a name, path or URL in lower case, without query and fragment; none where it is
/// no plain word.
pub(super) fn extension(name: &str) -> Option<String> {
    let path = name.split(['?', '#']).next().unwrap_or_default();
    let file = path.rsplit('/').next().unwrap_or_default();
    let (_, extension) = file.rsplit_once('.')?;
    let word = (1..=16).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    word.then(|| extension.to_ascii_lowercase())
}

/// The media type in lower case, without parameters; none where it is malformed.
pub(super) fn essence(media_type: &str) -> Option<String> {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/+-._".contains(&byte);
    ((1..=128).contains(&essence.len()) && essence.bytes().all(plain)).then(|| essence.to_ascii_lowercase())
}

/// Some PDFs have rubbish in front of their header. A clean text that merely speaks of the header
/// is not one of them.
fn has_pdf_header(bytes: &[u8], clean: bool) -> bool {
    let within = &bytes[..bytes.len().min(PDF_HEADER_WITHIN)];
    start(within).starts_with(b"%PDF-") || !clean && within.windows(5).any(|window| window == b"%PDF-")
}

/// The format of text that is a document format in disguise.
fn markup(bytes: &[u8]) -> Option<&'static str> {
    let head = start(&bytes[..bytes.len().min(8)]).to_ascii_lowercase();
    if head.starts_with(b"{\\rtf") {
        Some("Rich Text Format")
    } else if head.starts_with(b"%!ps") {
        Some("PostScript")
    } else if html::is_markup(bytes) {
        Some("HTML")
    } else {
        None
    }
}

/// The bytes after a byte order mark and white space.
fn start(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(bytes: &[u8], name: Option<&str>, media_type: Option<&str>) -> String {
        match detect(bytes, name, media_type) {
            Err(Error::Unsupported { seen }) => seen,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bytes_come_before_names() {
        assert_eq!(
            detect(b"\n%PDF-1.4\n", Some("a.md"), Some("text/plain")),
            Ok(Format::Pdf)
        );
        assert_eq!(
            detect(b"\x01\x02rubbish %PDF-1.4\n\xE2\xE3", None, None),
            Ok(Format::Pdf)
        );
        assert_eq!(detect(b"A header reads %PDF-1.4", None, None), Ok(Format::Text));
        assert_eq!(
            detect(b"plain", Some("a.docx"), Some("application/octet-stream")),
            Ok(Format::Text)
        );
        assert_eq!(detect(b"", Some("a.pdf"), None), Ok(Format::Text));
    }

    #[test]
    fn a_pdf_by_name_or_type_that_is_none_says_what_it_is() {
        let not_pdf = |seen: &str| Err(Error::NotPdf { seen: seen.to_owned() });
        assert_eq!(
            detect(b"Not found", Some("https://host/a.PDF?version=2"), None),
            not_pdf("text")
        );
        assert_eq!(
            detect(b" <html><p>", None, Some("Application/PDF; x=y")),
            not_pdf("HTML")
        );
        assert_eq!(
            detect(b"GIF89a\x01\0\x01\0", Some("a.pdf"), None),
            not_pdf("Graphics Interchange Format")
        );
    }

    #[test]
    fn documents_that_are_text_inside_are_not_taken_for_text() {
        assert_eq!(detect(b" {\\rtf1\\ansi text}", Some("a.txt"), None), Ok(Format::Rtf));
        assert_eq!(seen(b"%!PS-Adobe-3.0\n", None, None), "PostScript");
        assert_eq!(detect(b"<?xml version='1.0'?><data/>", None, None), Ok(Format::Text));
    }

    #[test]
    fn pages_are_known_by_what_they_begin_with_their_names_and_their_types() {
        let html = |bytes: &[u8], name, media_type| assert_eq!(detect(bytes, name, media_type), Ok(Format::Html));
        html(b"<?xml version='1.0'?>\n<!DOCTYPE html>", None, None);
        html(b"\xEF\xBB\xBF <HTML><p>", Some("a.txt"), Some("text/plain"));
        html(b"<!-- saved from a browser --><html>", None, None);
        html(b"<p>a fragment", Some("a.htm"), None);
        html(b"<p>a fragment", None, Some("text/html; charset=utf-8"));
        assert_eq!(detect(b"<p>a fragment", None, None), Ok(Format::Text));
    }

    #[test]
    fn binary_data_is_named() {
        assert_eq!(
            seen(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Some("a.txt"), None),
            "Portable Network Graphics"
        );
        assert_eq!(
            seen(&[1, 2, 3, 0xFE, 0xFD, 0, 0, 7], None, None),
            "binary data of no known format"
        );
    }

    #[test]
    fn only_plain_words_of_names_and_types_are_kept() {
        assert_eq!(extension("s3://bucket/dir.d/a.tar.GZ#x.pdf").as_deref(), Some("gz"));
        assert_eq!(extension("s3://bucket.pdf/readme"), None);
        assert_eq!(extension("a.--memory"), None);
        assert_eq!(essence("text/HTML ; charset=x").as_deref(), Some("text/html"));
        assert_eq!(essence("--extension pdf"), None);
    }
}
