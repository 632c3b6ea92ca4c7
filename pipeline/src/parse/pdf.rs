//! PDF → text, as far as lopdf goes.

mod font;
mod page;

use std::panic::{AssertUnwindSafe, catch_unwind};

use lopdf::{DecompressError, Document, LoadOptions};

use super::Error;

/// Greatest size of one inflated stream. The contents of a page have kilobytes, seldom megabytes; a
/// bomb has gigabytes.
const STREAM_BYTES: usize = 64 * 1024 * 1024;

/// The text of all pages in order, a blank line between them.
///
/// A page that cannot be read is left out where others give text: part of a document is found more
/// often than nothing.
pub fn text(bytes: &[u8]) -> Result<String, Error> {
    let options = LoadOptions {
        max_decompressed_size: Some(STREAM_BYTES),
        ..LoadOptions::default()
    };
    let document = Document::load_mem_with_options(bytes, options).map_err(|error| read_error(&error))?;
    if document.is_encrypted() {
        return Err(Error::Encrypted);
    }
    let pages = document.get_pages();
    let mut text = String::new();
    let mut first_error = None;
    for page in pages.values() {
        // The document is only read, so a page that panics leaves nothing half done for the next
        // one.
        let page_text = match catch_unwind(AssertUnwindSafe(|| page::text(&document, *page))) {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => {
                first_error = first_error.or(Some(read_error(&error)));
                continue;
            }
            Err(_) => {
                first_error = first_error.or(Some(Error::DamagedPdf {
                    what: "a page of it cannot be read",
                }));
                continue;
            }
        };
        let page_text = page_text.trim();
        if !page_text.is_empty() {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            text.push_str(page_text);
        }
    }
    match first_error {
        _ if !text.is_empty() => Ok(text),
        Some(error) => Err(error),
        None if pages.is_empty() => Err(Error::DamagedPdf {
            what: "it has no pages",
        }),
        None => Err(Error::NoTextLayer { pages: pages.len() }),
    }
}

/// lopdf's error in words of our own: its texts may quote the document.
fn read_error(error: &lopdf::Error) -> Error {
    let what = match error {
        lopdf::Error::InvalidPassword
        | lopdf::Error::Decryption(_)
        | lopdf::Error::UnsupportedSecurityHandler(_)
        | lopdf::Error::AlreadyEncrypted => return Error::Encrypted,
        lopdf::Error::Decompress(DecompressError::MemoryLimitExceeded { .. }) => {
            "a stream of it inflates to more than 64 MB"
        }
        lopdf::Error::Decompress(_) => "a stream of it cannot be inflated",
        lopdf::Error::Xref(_) | lopdf::Error::MissingXrefEntry | lopdf::Error::InvalidOffset(_) => {
            "its table of objects cannot be read"
        }
        lopdf::Error::Parse(_) => "it does not follow the syntax of PDF",
        lopdf::Error::ReferenceCycle(_) | lopdf::Error::ReferenceLimit | lopdf::Error::RecursionLimit => {
            "its objects refer to each other in a circle"
        }
        _ => "its objects cannot be read",
    };
    Error::DamagedPdf { what }
}
