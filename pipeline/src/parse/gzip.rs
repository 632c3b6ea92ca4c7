//! Documents that are compressed by gzip: what is inside is read.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::bounds::ParseBounds;
use super::reading::FormatReader;
use super::{Error, Parsed, detect};

const NAME: &str = "gzip file";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| sample.bytes.starts_with(b"\x1F\x8B\x08"),
    parse,
};

fn parse(bytes: &[u8], bounds: &ParseBounds) -> Result<Parsed, Error> {
    let decoder = MultiGzDecoder::new(bytes);
    let name = decoder
        .header()
        .and_then(|header| header.filename())
        .map(|name| String::from_utf8_lossy(name).into_owned());
    unwrap(decoder, NAME, name.as_deref(), bounds)
}

/// Parses what a decoder gives, as the document with that name.
pub(super) fn unwrap(
    decoder: impl Read,
    of: &'static str,
    name: Option<&str>,
    bounds: &ParseBounds,
) -> Result<Parsed, Error> {
    let nesting = bounds.nesting.checked_sub(1);
    let nesting = nesting.ok_or(Error::Excessive {
        of,
        what: "files are compressed again and again",
    })?;
    let mut inner = Vec::new();
    let damaged = Error::Damaged {
        of,
        what: "it cannot be inflated",
    };
    decoder
        .take(bounds.entry_bytes + 1)
        .read_to_end(&mut inner)
        .map_err(|_| damaged)?;
    if inner.len() as u64 > bounds.entry_bytes {
        return Err(Error::Excessive {
            of,
            what: "it inflates to more than 128 MB",
        });
    }
    let extension = name.and_then(detect::extension);
    let format = detect::detect_by(&inner, extension.as_deref(), None)?;
    super::parse_within(&inner, format, &ParseBounds { nesting, ..*bounds })
}
