//! Documents that are compressed by Zstandard: what is inside is read.

use ruzstd::decoding::StreamingDecoder;

use super::bounds::ParseBounds;
use super::reading::FormatReader;
use super::{Error, Parsed, gzip};

const NAME: &str = "Zstandard file";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| sample.bytes.starts_with(b"\x28\xB5\x2F\xFD"),
    parse,
};

fn parse(bytes: &[u8], bounds: &ParseBounds) -> Result<Parsed, Error> {
    let damaged = |_| Error::Damaged {
        of: NAME,
        what: "it cannot be inflated",
    };
    let decoder = StreamingDecoder::new(bytes).map_err(damaged)?;
    gzip::unwrap(decoder, NAME, None, bounds)
}
