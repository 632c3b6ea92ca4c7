//! Bytes in some charset → text.

use bytes::Bytes;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::Encoding;
use file_format::FileFormat;

use super::Error;
use super::charset::{self, Charset, DetectedCharset};

/// Valid UTF-8 without control characters, the line and page breaks, tabs and escapes of honest
/// text aside.
///
/// Such bytes are text already: nothing is parsed, so no process of its own is needed to keep the
/// server safe.
pub fn is_clean(bytes: &[u8]) -> bool {
    !bytes.iter().any(|byte| is_control(*byte))
        && !charset::has_escapes(bytes)
        && charset::wide_word(bytes).is_none()
        && std::str::from_utf8(bytes).is_ok()
}

/// Whether the bytes are something else than text in some charset.
///
/// A byte order mark speaks for text, and so do charsets that are recognised without one. Otherwise
/// control characters speak against it: they may be every third byte of valid UTF-8, which binary
/// data is not by chance, but only every 64th of other bytes. Where there are any, a known
/// signature of a binary format settles it (a tar archive of text files is valid UTF-8). Without
/// any, signatures are not asked: a Russian text in windows-1251 may well begin as a bitmap does.
pub fn is_binary(bytes: &[u8]) -> bool {
    match mark(bytes) {
        Some(_) => false,
        None => is_unmarked_binary(bytes) && unmarked(bytes).is_none(),
    }
}

/// [`is_binary`] where no charset is recognised.
fn is_unmarked_binary(bytes: &[u8]) -> bool {
    let controls = bytes.iter().filter(|byte| is_control(**byte)).count();
    if controls == 0 {
        return false;
    }
    let spacing = if std::str::from_utf8(bytes).is_ok() { 3 } else { 64 };
    controls * spacing > bytes.len() || has_signature(FileFormat::from_bytes(bytes))
}

/// The charset that a byte order mark tells, and how long the mark is.
fn mark(bytes: &[u8]) -> Option<(Charset, usize)> {
    // The mark of one UTF-32 begins with that of a UTF-16.
    charset::marked_utf32(bytes).or_else(|| match Encoding::for_bom(bytes)? {
        (encoding, length) if encoding == encoding_rs::UTF_16LE => Some((Charset::Utf16Little, length)),
        (encoding, length) if encoding == encoding_rs::UTF_16BE => Some((Charset::Utf16Big, length)),
        (_, length) => Some((Charset::Utf8, length)),
    })
}

/// The charset that is recognised without a mark. Of bytes that are binary by their signature there
/// is none.
pub fn unmarked(bytes: &[u8]) -> Option<DetectedCharset> {
    if mark(bytes).is_some() {
        return None;
    }
    let found = charset::find(bytes)?;
    let is_other = bytes.iter().any(|byte| is_control(*byte)) && has_known_signature(bytes);
    (!is_other).then_some(found)
}

/// The name of what binary bytes hold, for people.
pub fn name_of_binary(bytes: &[u8]) -> String {
    let format = FileFormat::from_bytes(bytes);
    if has_signature(format) {
        format.name().to_owned()
    } else {
        "binary data of no known format".to_owned()
    }
}

/// The text in whichever charset it is: by its byte order mark; UTF-8 where it is valid, or was but
/// for a few bytes; else what is likeliest from the bytes. What cannot be decoded becomes U+FFFD;
/// U+0000 and the mark are removed.
///
/// # Errors
///
/// [`Error::NotText`] where the bytes are binary; [`Error::Charset`].
pub fn decode(bytes: &[u8]) -> Result<String, Error> {
    if is_binary(bytes) {
        return Err(Error::NotText {
            seen: name_of_binary(bytes),
        });
    }
    let mut text = match (mark(bytes), unmarked(bytes)) {
        (Some((charset, length)), _) => charset.decode(&bytes[length..]),
        (None, Some(DetectedCharset::Readable(charset))) => charset.decode(bytes),
        (None, Some(DetectedCharset::Unreadable(name))) => return Err(Error::Charset { name }),
        (None, None) if is_mostly_utf8(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        (None, None) => guess(bytes).decode_without_bom_handling(bytes).0.into_owned(),
    };
    if text.contains('\0') {
        text.retain(|character| character != '\0');
    }
    Ok(text)
}

/// The text of bytes that are clean (see [`is_clean`]): as by [`decode`], but the bytes become the
/// text, where nobody else holds them, instead of being copied.
///
/// # Errors
///
/// Those of [`decode`].
pub fn of_clean(bytes: Bytes) -> Result<String, Error> {
    match Encoding::for_bom(&bytes) {
        Some(_) => decode(&bytes),
        None => String::from_utf8(bytes.into()).or_else(|error| decode(error.as_bytes())),
    }
}

fn is_control(byte: u8) -> bool {
    matches!(byte, 0x00..=0x07 | 0x0E..=0x1A | 0x1C..=0x1F)
}

/// Whether bytes begin as those of a known binary format.
pub fn has_known_signature(bytes: &[u8]) -> bool {
    has_signature(FileFormat::from_bytes(bytes))
}

fn has_signature(format: FileFormat) -> bool {
    !matches!(
        format,
        FileFormat::ArbitraryBinaryData | FileFormat::PlainText | FileFormat::Empty
    ) && !format.media_type().starts_with("text/")
}

/// One bad byte must not turn a whole UTF-8 document into another charset's rubbish. Letters of the
/// old charsets form a valid sequence of UTF-8 only by accident, so four of those to one that is
/// broken do not happen there.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let (mut good, mut broken) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().chars().filter(|character| !character.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    good >= 4 * broken
}

/// ISO-2022-JP is none of these: [`charset::find`] asks for more than that its bytes are possible.
fn guess(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Deny)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_byte_does_not_change_the_charset_of_the_rest() {
        let mut bytes = "Ёлки зелёные, что за документ".as_bytes().to_vec();
        bytes.insert("Ёлки ".len(), 0xFF);
        let text = decode(&bytes).unwrap();
        assert_eq!(text.replace('\u{FFFD}', ""), "Ёлки зелёные, что за документ");
        assert_eq!(text.matches('\u{FFFD}').count(), 1);
    }

    #[test]
    fn control_characters_and_signatures_tell_binary_from_text() {
        assert!(is_binary(
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0"
        ));
        assert!(is_binary(&[0_u8; 64]));
        assert!(!is_binary(b"a\0b"));
        assert!(!is_binary(b"\x1b[1mbold\x1b[0m\x0c\tnext page"));
        // "БМ" of windows-1251 aside, "BM" alone is the signature of a bitmap.
        assert!(!is_binary(b"BM \xEF\xF0\xE8\xE2\xE5\xF2"));
        assert!(is_clean("naïve\r\n".as_bytes()));
        assert!(!is_clean(b"a\0b"));
    }

    #[test]
    fn clean_bytes_become_the_text_that_decoding_makes_of_them() {
        for text in ["naïve\r\n", "\u{feff}with a mark", ""] {
            let bytes = Bytes::from(text.as_bytes().to_vec());
            assert_eq!(of_clean(bytes.clone()).unwrap(), decode(&bytes).unwrap());
        }
        let bytes = Bytes::from(b"nobody else has it".to_vec());
        let place = bytes.as_ptr();
        let text = of_clean(bytes).unwrap();
        assert_eq!(text.as_ptr(), place);
    }

    #[test]
    fn an_archive_of_texts_is_not_a_text() {
        let mut tar = vec![0_u8; 512];
        tar[..5].copy_from_slice(b"a.txt");
        tar[257..265].copy_from_slice(b"ustar\x0000");
        tar.extend("honest text\n".repeat(1000).bytes());
        assert!(is_binary(&tar));
        assert_eq!(name_of_binary(&tar), "Tape Archive");
    }
}
