//! `Content-Encoding`: what was done to the bytes of a document for the way, which is undone.

use std::io::{ErrorKind, Read};

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use flate2::read::{DeflateDecoder, ZlibDecoder};

use super::error::Error;

/// More is done on a thread that may take its time.
const AT_ONCE: usize = 64 * 1024;
/// Encodings on top of each other, of which one or two make sense.
const MOST: usize = 4;

/// The encodings that exist and cannot be undone. Another name says nothing about the bytes: many an object
/// has `utf-8` there.
const OTHERS: [&str; 8] = [
    "br",
    "zstd",
    "compress",
    "x-compress",
    "dcb",
    "dcz",
    "exi",
    "pack200-gzip",
];

/// The bytes of a document as they were before `encodings` were applied, in their order; `limit` bytes at
/// most, of which a few encoded bytes may be all.
///
/// # Errors
///
/// [`Error::Encoding`], [`Error::Damaged`], [`Error::TooLarge`].
pub(super) async fn undo(bytes: Bytes, encodings: Option<&str>, limit: u64, location: &str) -> Result<Bytes, Error> {
    let encodings = encodings.unwrap_or_default().to_ascii_lowercase();
    let encodings: Vec<&str> = encodings
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let mut bytes = bytes;
    if encodings.len() > MOST {
        return Err(Error::Encoding {
            location: location.to_owned(),
            encoding: "several encodings".to_owned(),
        });
    }
    for encoding in encodings.iter().rev() {
        let Some(how) = compression(encoding, &bytes, location)? else {
            continue;
        };
        let decoded = inflate(how, &bytes, limit).await;
        bytes = match decoded {
            Inflated::Whole(decoded) => decoded,
            // Without a header nothing tells that it is compressed at all.
            Inflated::Damaged if how == Compression::Deflate => bytes,
            Inflated::Damaged => {
                return Err(Error::Damaged {
                    location: location.to_owned(),
                    encoding: (*encoding).to_owned(),
                });
            }
            Inflated::Larger => {
                return Err(Error::TooLarge {
                    location: location.to_owned(),
                    size: None,
                    limit,
                });
            }
        };
    }
    Ok(bytes)
}

/// How bytes are to be decompressed that are said to be encoded so, where they are to be.
fn compression(encoding: &str, bytes: &[u8], location: &str) -> Result<Option<Compression>, Error> {
    Ok(match encoding {
        // A server may say so of bytes that it has stored as they are.
        "gzip" | "x-gzip" if bytes.starts_with(&[0x1F, 0x8B]) => Some(Compression::Gzip),
        // Both are called so: with a header, as the standard has it, and without.
        "deflate" if has_zlib_header(bytes) => Some(Compression::Zlib),
        "deflate" if !bytes.is_empty() => Some(Compression::Deflate),
        other if OTHERS.contains(&other) => {
            return Err(Error::Encoding {
                location: location.to_owned(),
                encoding: format!("{other:?}"),
            });
        }
        // `identity`, `aws-chunked`, which the SDK has undone, and what is no encoding.
        _ => None,
    })
}

/// Decompresses here what takes a moment, and the rest on tokio's blocking pool.
async fn inflate(how: Compression, bytes: &Bytes, limit: u64) -> Inflated {
    if bytes.len() <= AT_ONCE && limit <= AT_ONCE as u64 * 16 {
        return how.inflate(bytes, limit);
    }
    let encoded = bytes.clone();
    match tokio::task::spawn_blocking(move || how.inflate(&encoded, limit)).await {
        Ok(inflated) => inflated,
        // Memory ran out, for the code that waits for this task to see.
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // It ends early only where the runtime does, and this task with it.
        Err(_) => Inflated::Damaged,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compression {
    Gzip,
    Zlib,
    Deflate,
}

enum Inflated {
    Whole(Bytes),
    Damaged,
    Larger,
}

impl Compression {
    fn inflate(self, bytes: &[u8], limit: u64) -> Inflated {
        match self {
            Compression::Gzip => read(Members(Some(GzDecoder::new(bytes))), limit),
            Compression::Zlib => read(ZlibDecoder::new(bytes), limit),
            Compression::Deflate => read(DeflateDecoder::new(bytes), limit),
        }
    }
}

/// A gzip file: one member after the other, and zeros, which tapes and block devices leave at its end, and
/// gzip(1) ignores.
struct Members<'b>(Option<GzDecoder<&'b [u8]>>);

impl Read for Members<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let length = member.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            let rest = *member.get_ref();
            let is_over = rest.iter().all(|byte| *byte == 0);
            self.0 = (!is_over).then(|| GzDecoder::new(rest));
        }
        Ok(0)
    }
}

fn read(decoder: impl Read, limit: u64) -> Inflated {
    let mut decoded = Vec::new();
    match decoder.take(limit.saturating_add(1)).read_to_end(&mut decoded) {
        Ok(length) if length as u64 > limit => Inflated::Larger,
        Ok(_) => Inflated::Whole(decoded.into()),
        Err(error) if error.kind() == ErrorKind::OutOfMemory => Inflated::Larger,
        Err(_) => Inflated::Damaged,
    }
}

/// RFC 1950: the method is deflate, and the check of the first two bytes is right.
fn has_zlib_header(bytes: &[u8]) -> bool {
    matches!(bytes, [first, second, ..] if first & 0x0F == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression as Level;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const TEXT: &[u8] = b"A text that is a text again and again and again.";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Level::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Level::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn undone(bytes: &[u8], encodings: &str, limit: u64) -> Result<Bytes, Error> {
        undo(Bytes::copy_from_slice(bytes), Some(encodings), limit, "here").await
    }

    #[tokio::test]
    async fn what_was_done_is_undone() {
        let two = [gzip(&TEXT[..20]), gzip(&TEXT[20..])].concat();
        for (bytes, encodings) in [
            (gzip(TEXT), "gzip"),
            (gzip(TEXT), " X-GZIP ,"),
            (two.clone(), "gzip"),
            ([&gzip(TEXT)[..], &[0; 512]].concat(), "gzip"),
            ([&two[..], &[0]].concat(), "gzip"),
            ([gzip(b""), gzip(TEXT), gzip(b"")].concat(), "gzip"),
            (zlib(TEXT), "deflate"),
            (deflate(TEXT), "deflate"),
            (gzip(TEXT), "gzip, aws-chunked"),
            (gzip(&zlib(TEXT)), "deflate, gzip"),
            (gzip(&gzip(TEXT)), "gzip,gzip"),
            // What was stored as it is.
            (TEXT.to_vec(), ""),
            (TEXT.to_vec(), "identity"),
            (TEXT.to_vec(), "aws-chunked"),
            (TEXT.to_vec(), "utf-8"),
            (TEXT.to_vec(), "gzip"),
            (TEXT.to_vec(), "deflate"),
        ] {
            assert_eq!(undone(&bytes, encodings, 100).await.unwrap(), TEXT, "{encodings}");
        }
        assert_eq!(undone(b"", "gzip", 0).await.unwrap(), "");
        assert_eq!(undo(Bytes::from_static(TEXT), None, 48, "here").await.unwrap(), TEXT);
    }

    #[tokio::test]
    async fn what_is_neither_a_member_nor_padding_is_damage() {
        for rest in [&b"x"[..], b"\0\0x", b"\x1f\x8b", &gzip(TEXT)[..20]] {
            let bytes = [&gzip(TEXT)[..], rest].concat();
            assert!(
                matches!(undone(&bytes, "gzip", 1000).await, Err(Error::Damaged { .. })),
                "{rest:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_bomb_ends_at_the_limit() {
        let bomb = gzip(&vec![0; 10_000_000]);
        for (bytes, encodings, limit) in [
            (&bomb, "gzip", 9_999_999),
            (&gzip(&bomb), "gzip, gzip", 1_000_000),
            (&zlib(&vec![b' '; 5000]), "deflate", 4999),
        ] {
            let error = undone(bytes, encodings, limit).await.unwrap_err();
            assert!(matches!(error, Error::TooLarge { size: None, .. }), "{error}");
        }
        assert_eq!(undone(&bomb, "gzip", 10_000_000).await.unwrap().len(), 10_000_000);
        let error = undone(&bomb, "gzip,gzip,gzip,gzip,gzip", 10).await.unwrap_err();
        assert!(matches!(error, Error::Encoding { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_be_undone_is_named() {
        for encoding in ["br", "zstd", "gzip, BR"] {
            let error = undone(TEXT, encoding, 1000).await.unwrap_err();
            assert_eq!(error.class(), crate::error::Class::Permanent);
            assert!(error.hint().is_some_and(|hint| hint.contains("gzip")), "{error}");
        }
        let error = undone(TEXT, "br", 1000).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "document here has the Content-Encoding \"br\", which cannot be undone"
        );
        let whole = gzip(TEXT);
        let error = undone(&whole[..30], "gzip", 1000).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "document here is damaged: it cannot be decoded by its Content-Encoding gzip"
        );
    }
}
