//! Charsets that nothing announces, beside those that bytes are usually guessed to be in.
//!
//! UTF-16 and UTF-32 without a byte order mark, and ISO-2022-JP, are recognised so that they can be
//! decoded; EBCDIC, UTF-7, HZ-GB-2312, ISO-2022-KR and ISO-2022-CN so that they can be named. What
//! is text in another charset must never pass for one of them, so each has to show more than that
//! its bytes are possible: one script, and what texts in that script have.

use encoding_rs::{Encoding, GBK, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE};

/// A text shows what it is within so many bytes.
const SAMPLE: usize = 64 * 1024;

/// The byte order marks of UTF-32, which the Encoding Standard does not know. The first begins with
/// that of UTF-16LE.
const UTF_32_MARKS: [(Charset, &[u8]); 2] = [
    (Charset::Utf32Little, b"\xFF\xFE\x00\x00"),
    (Charset::Utf32Big, b"\x00\x00\xFE\xFF"),
];

/// What is as frequent in Chinese and Japanese texts as `the` is in English ones: four of ten
/// characters of a Chinese text. Pairs of bytes that are other text seldom look like one of them.
const COMMON_HAN: &str = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然\
    家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知\
    全三又关点正业外将两高间由问很最重并物手应向头文体美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原\
    東這個們來為國時說會對過發後裡經麼學現當沒動還進樣開從實軍無與長機業將兩間問應頭體見產話內給門兒語者何入社員";

/// Bytes of a [`wide_word`]: of a longer text some are not those of ASCII.
const GREATEST_WORD: usize = 16;

/// A charset that can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    Utf8,
    Utf16Little,
    Utf16Big,
    Utf32Little,
    Utf32Big,
    Iso2022Jp,
}

/// What bytes turn out to be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectedCharset {
    Readable(Charset),
    /// By its name: it cannot be decoded.
    Unreadable(&'static str),
}

impl Charset {
    /// The text; what cannot be decoded becomes U+FFFD.
    pub fn decode(self, bytes: &[u8]) -> String {
        let by = |encoding: &'static Encoding| encoding.decode_without_bom_handling(bytes).0.into_owned();
        match self {
            Charset::Utf8 => by(UTF_8),
            Charset::Utf16Little => by(UTF_16LE),
            Charset::Utf16Big => by(UTF_16BE),
            Charset::Iso2022Jp => by(ISO_2022_JP),
            Charset::Utf32Little | Charset::Utf32Big => units32(self, bytes)
                .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect(),
        }
    }
}

/// The charset of UTF-32 with a byte order mark, and the length of the mark.
pub fn marked_utf32(bytes: &[u8]) -> Option<(Charset, usize)> {
    let (charset, mark) = UTF_32_MARKS.iter().find(|(_, mark)| bytes.starts_with(mark))?;
    Some((*charset, mark.len()))
}

/// The charset of bytes without a byte order mark, where it is one of those that this module knows.
pub fn find(bytes: &[u8]) -> Option<DetectedCharset> {
    let sample = &bytes[..bytes.len().min(SAMPLE)];
    if let Some(found) = escaped(sample) {
        return Some(found);
    }
    let is_utf8 = match std::str::from_utf8(sample) {
        Ok(_) => true,
        // The sample may end within a character.
        Err(error) => error.error_len().is_none() && sample.len() == SAMPLE,
    };
    if let Some(charset) = wide_word(bytes) {
        return Some(DetectedCharset::Readable(charset));
    }
    if is_utf8 && !sample.iter().any(|byte| is_low(*byte)) {
        return in_ascii(sample).map(DetectedCharset::Unreadable);
    }
    if let Some(charset) = wide(sample, is_utf8) {
        return Some(DetectedCharset::Readable(charset));
    }
    (!is_utf8 && is_ebcdic(sample)).then_some(DetectedCharset::Unreadable("EBCDIC"))
}

/// Whether bytes may be in a charset that changes its meaning by escape sequences: no terminal has
/// those.
pub fn has_escapes(bytes: &[u8]) -> bool {
    if !bytes.contains(&0x1B) {
        return false;
    }
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == 0x1B) {
        if rest.get(at + 1) == Some(&b'$') {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// The charsets of ISO 2022.
fn escaped(sample: &[u8]) -> Option<DetectedCharset> {
    if !has_escapes(sample) {
        return None;
    }
    let has = |sequence: &[u8]| sample.windows(sequence.len()).any(|window| window == sequence);
    // Their escape sequence stands once at the beginning, and the text is between shifts.
    let shifts = sample.contains(&0x0E);
    if shifts && has(b"\x1B$)C") {
        return Some(DetectedCharset::Unreadable("ISO-2022-KR"));
    }
    if shifts && (has(b"\x1B$)A") || has(b"\x1B$)G")) {
        return Some(DetectedCharset::Unreadable("ISO-2022-CN"));
    }
    if !sample.is_ascii() || !(has(b"\x1B$B") || has(b"\x1B$@")) {
        return None;
    }
    let census = CharacterCounts::of(ISO_2022_JP.decode_without_bom_handling(sample).0.chars().map(Some));
    (census.ascii < census.total && census.bad * 50 <= census.total)
        .then_some(DetectedCharset::Readable(Charset::Iso2022Jp))
}

/// A word or two in UTF-16 whose bytes are all those of ASCII: "`O}Y" is 你好. Only where each pair
/// of bytes is one of the most frequent ideographs, and the bytes would be no word in ASCII.
pub fn wide_word(bytes: &[u8]) -> Option<Charset> {
    let is_word = (4..=GREATEST_WORD).contains(&bytes.len())
        && bytes.len().is_multiple_of(2)
        && bytes.iter().all(u8::is_ascii_graphic)
        && bytes.iter().any(u8::is_ascii_punctuation);
    if !is_word {
        return None;
    }
    let is_common = |character: Option<char>| character.is_some_and(|character| COMMON_HAN.contains(character));
    if units16(bytes, u16::from_le_bytes).all(is_common) {
        Some(Charset::Utf16Little)
    } else if units16(bytes, u16::from_be_bytes).all(is_common) {
        Some(Charset::Utf16Big)
    } else {
        None
    }
}

/// What looks like ASCII, and writes other characters with it.
fn in_ascii(sample: &[u8]) -> Option<&'static str> {
    if !sample.is_ascii() {
        None
    } else if is_utf7(sample) {
        Some("UTF-7")
    } else if is_hz(sample) {
        Some("HZ-GB-2312")
    } else {
        None
    }
}

/// UTF-16 or UTF-32.
fn wide(sample: &[u8], is_utf8: bool) -> Option<Charset> {
    if sample.len() >= 8 && sample.len().is_multiple_of(4) {
        for charset in [Charset::Utf32Little, Charset::Utf32Big] {
            // A quarter of the bytes is zero at least: no other text has that.
            if CharacterCounts::of(units32(charset, sample)).is_text_by_its_zeros() {
                return Some(charset);
            }
        }
    }
    // Some programs write the zero at the end of their strings along.
    let mut sample = sample;
    while let Some(shorter) = sample.strip_suffix(&[0, 0]).filter(|_| sample.len().is_multiple_of(2)) {
        sample = shorter;
    }
    let little = CharacterCounts::of(units16(sample, u16::from_le_bytes));
    let big = CharacterCounts::of(units16(sample, u16::from_be_bytes));
    let zeros = sample.contains(&0);
    match (
        little.is_utf16(zeros, is_utf8),
        big.is_utf16(zeros, is_utf8),
        little.score() >= big.score(),
    ) {
        (true, false, _) | (true, true, true) => Some(Charset::Utf16Little),
        (false, true, _) | (true, true, false) => Some(Charset::Utf16Big),
        (false, false, _) => None,
    }
}

fn units16(bytes: &[u8], read: fn([u8; 2]) -> u16) -> impl Iterator<Item = Option<char>> {
    let units = bytes.chunks_exact(2).map(move |pair| read([pair[0], pair[1]]));
    char::decode_utf16(units).map(Result::ok)
}

fn units32(charset: Charset, bytes: &[u8]) -> impl Iterator<Item = Option<char>> {
    bytes.chunks(4).map(move |unit| {
        let unit = unit.try_into().ok()?;
        char::from_u32(match charset {
            Charset::Utf32Big => u32::from_be_bytes(unit),
            _ => u32::from_le_bytes(unit),
        })
    })
}

/// How many scripts are told apart: see [`script`].
const SCRIPTS: usize = 32;
const LATIN: usize = 0;
const EAST: usize = 1;
const HANGUL: usize = 2;
/// From here on, nine scripts of India and that of Sri Lanka, each in its own block.
const INDIC: usize = 3;
const FIRST_OTHER: usize = 13;

/// What the characters of a text are.
#[derive(Debug, Default)]
struct CharacterCounts {
    total: usize,
    /// Control characters, and what is no character or for private use.
    bad: usize,
    /// Characters of ASCII, which are half zeros.
    ascii: usize,
    /// Characters whose higher byte is a control character.
    low: usize,
    /// Letters by script.
    scripts: [usize; SCRIPTS],
    /// Of [`EAST`].
    east: usize,
    /// Of these, kana, punctuation and the most frequent ideographs.
    east_common: usize,
    /// Of these, what hardly any text has.
    east_rare: usize,
}

impl CharacterCounts {
    fn of(characters: impl Iterator<Item = Option<char>>) -> CharacterCounts {
        let mut census = CharacterCounts::default();
        for character in characters {
            census.total += 1;
            match character {
                Some(character) if !is_odd(character) => census.count(character),
                _ => census.bad += 1,
            }
        }
        census.east = census.scripts[EAST];
        census
    }

    fn count(&mut self, character: char) {
        self.ascii += usize::from(character.is_ascii());
        self.low += usize::from(u8::try_from(u32::from(character) >> 8).is_ok_and(is_low));
        let Some(script) = script(character) else { return };
        self.scripts[script] += 1;
        if script == EAST {
            match u32::from(character) {
                0x3000..=0x301F | 0x3040..=0x30FF | 0xFF01 | 0xFF08..=0xFF0C | 0xFF0E | 0xFF1A..=0xFF1F => {
                    self.east_common += 1
                }
                0x4E00..=0x9FFF => self.east_common += usize::from(COMMON_HAN.contains(character)),
                0xFF00..=0xFFEF => (),
                _ => self.east_rare += 1,
            }
        }
    }

    /// Its script beside Latin, and whether there is one script only.
    fn script(&self) -> (usize, usize, bool) {
        let others = || self.scripts.iter().enumerate().skip(1);
        let (script, number) = others()
            .max_by_key(|(_, number)| **number)
            .map_or((LATIN, 0), |(s, n)| (s, *n));
        let strangers = others().map(|(_, number)| number).sum::<usize>() - number;
        (script, number, strangers * 50 <= self.total)
    }

    /// What speaks for it, to be compared with another reading of the same bytes.
    fn score(&self) -> usize {
        let (script, number, _) = self.script();
        self.ascii + if script == EAST { self.east_common } else { number }
    }

    fn is_clean(&self) -> bool {
        self.total >= 2 && self.bad * 100 <= self.total
    }

    /// Whether these are characters of a text, of which each has a zero byte or two.
    fn is_text_by_its_zeros(&self) -> bool {
        let (_, number, is_one) = self.script();
        self.is_clean() && is_one && (number + self.scripts[LATIN] + self.ascii) * 2 >= self.total
    }

    /// Whether these are the characters of a text in UTF-16. Its bytes may be valid UTF-8, and may
    /// have zeros.
    fn is_utf16(&self, zeros: bool, is_utf8: bool) -> bool {
        if !self.is_clean() {
            return false;
        }
        let (script, number, is_one) = self.script();
        if !is_one || self.east_rare * 50 > self.total {
            return false;
        }
        // A quarter of the bytes is zero.
        let is_latin = self.ascii * 2 >= self.total;
        match script {
            _ if number * 10 <= self.total => is_latin,
            // Letters of ASCII, two at a time, are ideographs, and rare ones: "Bush hid the facts".
            EAST if is_utf8 => self.east_common >= 2 && self.east_common * 2 >= self.east,
            EAST if zeros => self.east_common * 8 >= self.east,
            EAST => self.east_common >= 3 && self.east_common * 4 >= self.east,
            // Half of what a double-byte charset can write is Hangul, too; but there are no zeros.
            HANGUL => zeros && self.ascii * 40 >= self.total && (number + self.ascii) * 10 >= self.total * 9,
            // These blocks have the numbers of tabs and line breaks: cells of a table with one
            // digit each.
            INDIC..FIRST_OTHER => self.ascii * 40 >= self.total && zeros && number >= 4,
            _ => self.low * 4 >= self.total * 3 && (number + self.ascii) * 2 >= self.total,
        }
    }
}

/// A control character, as a byte, that texts in other charsets do not have.
fn is_low(byte: u8) -> bool {
    matches!(byte, 0x00..=0x07 | 0x0E..=0x1A | 0x1C..=0x1F)
}

/// What no text has, but for line and page breaks, tabs and escapes.
fn is_odd(character: char) -> bool {
    let code = u32::from(character);
    matches!(code,
        0..=0x08 | 0x0E..=0x1A | 0x1C..=0x1F | 0x7F..=0x84 | 0x86..=0x9F | 0xE000..=0xF8FF | 0xFDD0..=0xFDEF
        | 0xFFF0..=0xFFFF | 0x1FFFE..=0x1FFFF | 0x32000..)
}

/// The script of a letter; none for what all scripts share.
fn script(character: char) -> Option<usize> {
    let other = |number: usize| Some(FIRST_OTHER + number);
    match u32::from(character) {
        0x41..=0x5A | 0x61..=0x7A | 0xC0..=0x2AF | 0x1E00..=0x1EFF => Some(LATIN),
        0..=0xBF | 0x2B0..=0x36F | 0x2000..=0x2BFF | 0xFE00..=0xFE0F | 0xFEFF | 0x1F000..=0x1FAFF => None,
        0x370..=0x3FF | 0x1F00..=0x1FFF => other(0),
        0x400..=0x52F | 0x1C80..=0x1C8F | 0x2DE0..=0x2DFF | 0xA640..=0xA69F => other(1),
        0x530..=0x58F => other(2),
        0x590..=0x5FF | 0xFB1D..=0xFB4F => other(3),
        0x600..=0x6FF | 0x750..=0x77F | 0x8A0..=0x8FF | 0xFB50..=0xFDFF | 0xFE70..=0xFEFE => other(4),
        0x700..=0x74F => other(5),
        0x780..=0x7BF => other(6),
        code @ 0x900..=0xDFF => Some(INDIC + (code as usize - 0x900) / 0x80),
        0xE00..=0xE7F => other(7),
        0xE80..=0xEFF => other(8),
        0xF00..=0xFFF => other(9),
        0x1000..=0x109F => other(10),
        0x10A0..=0x10FF | 0x1C90..=0x1CBF | 0x2D00..=0x2D2F => other(11),
        0x1200..=0x139F => other(12),
        0x13A0..=0x13FF => other(13),
        0x1780..=0x17FF => other(14),
        0x1800..=0x18AF => other(15),
        0x1100..=0x11FF | 0x3130..=0x318F | 0xAC00..=0xD7A3 => Some(HANGUL),
        0x2E80..=0x312F | 0x3190..=0x9FFF | 0xF900..=0xFAFF | 0xFF00..=0xFFEF | 0x20000.. => Some(EAST),
        _ => other(16),
    }
}

/// English, or a language with its letters, in any code page of EBCDIC: these agree in letters,
/// digits and spaces.
fn is_ebcdic(sample: &[u8]) -> bool {
    let mut counts = [0_usize; 256];
    for byte in sample {
        counts[usize::from(*byte)] += 1;
    }
    let of = |bytes: &[u8]| bytes.iter().map(|byte| counts[usize::from(*byte)]).sum::<usize>();
    let within = |from: u8, to: u8| counts[usize::from(from)..=usize::from(to)].iter().sum::<usize>();
    let small = within(0x81, 0x89) + within(0x91, 0x99) + within(0xA2, 0xA9);
    let capitals = within(0xC1, 0xC9) + within(0xD1, 0xD9) + within(0xE2, 0xE9);
    let digits = within(0xF0, 0xF9);
    // Space, the breaks of lines, and . , - / ( ) ' " = : ? ! ; _ of all code pages.
    let marks = of(b"\x40\x05\x0C\x0D\x15\x25\x4B\x6B\x60\x61\x4D\x5D\x7D\x7F\x7E\x7A\x6F\x5A\x5E\x6D\x4F");
    let (total, spaces) = (sample.len(), counts[0x40]);
    // e, t, a, o, i, n, s and r; what runs on mainframes often writes capitals only.
    let small_frequent = of(b"\x85\xA3\x81\x96\x89\x95\xA2\x99");
    let frequent = small_frequent + of(b"\xC5\xE3\xC1\xD6\xC9\xD5\xE2\xD9");
    let e = counts[0x85] + counts[0xC5];
    total >= 16
        && (small + capitals + digits + marks) * 10 >= total * 9
        && (spaces * 20 >= total && spaces * 2 <= total)
        && (small + capitals) * 3 >= total
        && frequent * 2 >= small + capitals
        && e * 30 >= total
}

/// Every `+` begins characters of one script in modified base64, and there are several.
fn is_utf7(sample: &[u8]) -> bool {
    let mut characters = Vec::new();
    let mut runs = 0;
    let mut rest = sample;
    while let Some(at) = rest.iter().position(|byte| *byte == b'+') {
        rest = &rest[at + 1..];
        if rest.first() == Some(&b'-') {
            continue;
        }
        let length = rest.iter().take_while(|byte| base64(**byte).is_some()).count();
        // The sample may end within it.
        if length == rest.len() && sample.len() == SAMPLE {
            break;
        }
        let Some(units) = modified_base64(&rest[..length]) else {
            return false;
        };
        characters.extend(char::decode_utf16(units).map(Result::ok));
        runs += 1;
        rest = &rest[length..];
    }
    let census = CharacterCounts::of(characters.into_iter());
    let (script, number, is_one) = census.script();
    let letters = number + census.scripts[LATIN];
    let is_plain = script != EAST || number == 0 || census.east_common * 5 >= census.east;
    runs >= 3 && census.bad == 0 && is_one && is_plain && letters * 2 >= census.total
}

fn base64(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// Units of UTF-16; none where bits are left over that are not zero.
fn modified_base64(text: &[u8]) -> Option<Vec<u16>> {
    let (mut units, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for byte in text {
        bits = (bits << 6) | base64(*byte)?;
        held += 6;
        if held >= 16 {
            held -= 16;
            units.push((bits >> held) as u16);
            bits &= (1 << held) - 1;
        }
    }
    (!units.is_empty() && held < 6 && bits == 0).then_some(units)
}

/// Pairs of bytes of GB 2312 between `~{` and `~}`.
fn is_hz(sample: &[u8]) -> bool {
    let mut pairs = Vec::new();
    let mut rest = sample;
    while let Some(at) = rest.windows(2).position(|window| window == b"~{") {
        rest = &rest[at + 2..];
        let Some(length) = rest.chunks(2).position(|pair| pair == b"~}").map(|pairs| pairs * 2) else {
            // The sample may end within it.
            if sample.len() == SAMPLE {
                break;
            }
            return false;
        };
        let is_pair = |pair: &[u8]| matches!(pair, [0x21..=0x77, 0x21..=0x7E]);
        if !rest[..length].chunks(2).all(is_pair) {
            return false;
        }
        pairs.extend(rest[..length].iter().map(|byte| byte | 0x80));
        rest = &rest[length + 2..];
    }
    let census = CharacterCounts::of(GBK.decode_without_bom_handling(&pairs).0.chars().map(Some));
    census.east >= 4 && census.bad == 0 && census.east_common * 5 >= census.east
}
