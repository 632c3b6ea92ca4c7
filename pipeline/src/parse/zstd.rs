//! Documents that are compressed by Zstandard: what is inside is read.

use ruzstd::decoding::StreamingDecoder;

use super::bounds::Bounds;
use super::reading::Reading;
use super::{Error, Parsed, gzip};

const NAME: &str = "Zstandard file";

pub(super) const READING: Reading = Reading {
    is: |sample| sample.bytes.starts_with(b"\x28\xB5\x2F\xFD"),
    parse,
};

fn parse(bytes: &[u8], bounds: &Bounds) -> Result<Parsed, Error> {
    let damaged = |_| Error::Damaged {
        of: NAME,
        what: "it cannot be inflated",
    };
    let decoder = StreamingDecoder::new(bytes).map_err(damaged)?;
    gzip::unwrap(decoder, NAME, None, bounds)
}
