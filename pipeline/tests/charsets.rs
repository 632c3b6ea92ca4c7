//! Texts in charsets that nothing announces: which are read, which are named, and that no other text is taken
//! for one of them.

use ai_pipeline::error::Class;
use ai_pipeline::parse::{Error, detect, parse};
use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, IBM866, ISO_8859_2, ISO_8859_5, ISO_8859_7, KOI8_R, KOI8_U,
    MACINTOSH, SHIFT_JIS, WINDOWS_874, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252, WINDOWS_1253, WINDOWS_1254,
    WINDOWS_1255, WINDOWS_1256, WINDOWS_1257, WINDOWS_1258, X_MAC_CYRILLIC,
};

/// The first article of the Universal Declaration of Human Rights, and shorter texts.
const TEXTS: [(&str, &str); 22] = [
    (
        "English",
        "All human beings are born free and equal in dignity and rights.\r\n",
    ),
    ("short", "Hi"),
    ("numbers", "3.14; 2.72\n"),
    (
        "German",
        "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Größe: 5 €",
    ),
    (
        "Polish",
        "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    ),
    (
        "Vietnamese",
        "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền.",
    ),
    (
        "Turkish",
        "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    ),
    (
        "Greek",
        "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.",
    ),
    (
        "Russian",
        "Все люди рождаются свободными и равными в своём достоинстве и правах.",
    ),
    ("one word", "Привет"),
    ("Hebrew", "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם."),
    ("Arabic", "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق."),
    ("Arabic without a space", "المادة"),
    (
        "Hindi",
        "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है।",
    ),
    ("Thai", "มนุษย์ทั้งปวงเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ"),
    (
        "Georgian",
        "ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებით.",
    ),
    ("Amharic", "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።"),
    (
        "Korean",
        "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    ),
    ("Chinese", "人人生而自由，在尊严和权利上一律平等。\n"),
    (
        "Chinese in one line",
        "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心",
    ),
    (
        "Japanese",
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    ),
    ("emoji", "It works 🙂, doesn't it? 世界 say 5"),
];

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn utf32(text: &str, bytes: fn(u32) -> [u8; 4]) -> Vec<u8> {
    text.chars().flat_map(|character| bytes(character.into())).collect()
}

/// As `ai.parsing_auto()` reads it.
fn read(bytes: &[u8]) -> Result<String, Error> {
    let parsed = parse(bytes, detect(bytes, Some("a.txt"), Some("text/plain"))?)?;
    Ok(parsed.text)
}

#[track_caller]
fn named(bytes: &[u8]) -> &'static str {
    match read(bytes) {
        Err(error @ Error::Charset { name }) => {
            assert_eq!(error.class(), Class::Permanent);
            assert_eq!(error.hint().as_deref(), Some("store it in UTF-8"));
            assert_eq!(
                error.to_string(),
                format!("the document is text in {name}, which cannot be decoded")
            );
            name
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn utf_16_and_utf_32_without_a_mark_are_read() {
    for (language, text) in TEXTS {
        for (name, bytes) in [
            ("UTF-16LE", utf16(text, u16::to_le_bytes)),
            ("UTF-16BE", utf16(text, u16::to_be_bytes)),
            ("UTF-32LE", utf32(text, u32::to_le_bytes)),
            ("UTF-32BE", utf32(text, u32::to_be_bytes)),
        ] {
            assert_eq!(read(&bytes).as_deref(), Ok(text), "{language} in {name}");
        }
    }
}

/// Each byte is one of ASCII.
#[test]
fn a_word_in_utf_16_is_read_though_it_might_be_ascii() {
    for text in ["你好", "你好你", "好好"] {
        let bytes = [utf16(text, u16::to_le_bytes), utf16(text, u16::to_be_bytes)];
        for bytes in bytes {
            assert!(bytes.is_ascii());
            assert_eq!(read(&bytes).as_deref(), Ok(text), "{bytes:?}");
        }
    }
    for text in [
        "`ls`",
        "{a}b",
        "C++!",
        "f(x)",
        "1+1=",
        "a|b|",
        "\\O/o",
        "Bush hid the facts",
        "#1!q",
        "x[1]",
    ] {
        assert_eq!(read(text.as_bytes()).as_deref(), Ok(text));
    }
}

#[test]
fn utf_32_with_a_mark_is_read() {
    for (language, text) in TEXTS {
        let marked = format!("\u{FEFF}{text}");
        assert_eq!(
            read(&utf32(&marked, u32::to_le_bytes)).as_deref(),
            Ok(text),
            "{language}"
        );
        assert_eq!(
            read(&utf32(&marked, u32::to_be_bytes)).as_deref(),
            Ok(text),
            "{language}"
        );
    }
}

#[test]
fn zeros_at_the_end_and_a_byte_too_many_are_no_obstacle() {
    let mut bytes = utf16("All human beings are born free and equal\0", u16::to_le_bytes);
    assert_eq!(read(&bytes).as_deref(), Ok("All human beings are born free and equal"));
    bytes.truncate(bytes.len() - 3);
    assert_eq!(
        read(&bytes).as_deref(),
        Ok("All human beings are born free and equa\u{FFFD}")
    );
}

/// What a page in UTF-16 is, is seen in its text.
#[test]
fn markup_is_recognised_in_utf_16() {
    let page = utf16("<!DOCTYPE html>\n<p>All human beings", u16::to_le_bytes);
    assert_eq!(read(&page).as_deref(), Ok("All human beings"));
    let drawing = utf16("%!PS-Adobe-3.0\n%%Title: All human beings", u16::to_le_bytes);
    let seen = "PostScript".to_owned();
    assert_eq!(read(&drawing), Err(Error::Unsupported { seen }));
}

#[test]
fn iso_2022_jp_is_read() {
    let text = b"Title: \x1B$B$$$m$O$K$[$X$H\x1B(B (1)\n\x1B$BHs>o$KNI$$\x1B(B\n";
    assert_eq!(read(text).as_deref(), Ok("Title: いろはにほへと (1)\n非常に良い\n"));
    // What terminals are sent stays as it is.
    for text in [&b"\x1B[1mbold\x1B(B\x1B[m and $B costs"[..], b"\x1B$x is no charset"] {
        assert_eq!(read(text).as_deref(), Ok(std::str::from_utf8(text).unwrap()));
    }
}

#[test]
fn what_cannot_be_decoded_is_named() {
    // "Hello, this is a test of the text." and "THE REPORT ENDS HERE" in code page 037.
    let small =
        b"\xC8\x85\x93\x93\x96\x6B\x40\xA3\x88\x89\xA2\x40\x89\xA2\x40\x81\x40\xA3\x85\xA2\xA3\x40\x96\x86\x40\xA3\x88\
                  \x85\x40\xA3\x85\xA7\xA3\x4B\x25";
    assert_eq!(named(small), "EBCDIC");
    let capitals = b"\xE3\xC8\xC5\x40\xD9\xC5\xD7\xD6\xD9\xE3\x40\xC5\xD5\xC4\xE2\x40\xC8\xC5\xD9\xC5\x15";
    assert_eq!(named(capitals), "EBCDIC");
    assert_eq!(named(b"Gr+APYA3w-e f+APw-r B+APw-cher"), "UTF-7");
    assert_eq!(
        named(b"+BicGRAYlBjkGRAYnBkY +BicGRAY5BicGRAZFBko +BkQGLQZCBkgGQg +BicGRAZFBioGIwY1BkQGKQ-"),
        "UTF-7"
    );

    assert_eq!(named(b"+BicGRAYlBjkGRAYnBkY +BicGRAY5BicGRAZFBko +BkQGLQZCBkgGQg +BicGRAYlBkYGMwYnBkY\n\n+BicGRAYvBkoGKAYnBiwGKQ\n\n+BkQGRQZRBic +BkMGJwZG +BicGRAYnBjkGKgYxBicGQQ +BigGJwZEBkMGMQYnBkUGKQ +BicGRAZFBioGIwY1BkQGKQ-"), "UTF-7");
    assert_eq!(named(b"Title: ~{UbJGR;8vVPND5D>dWS!#~}\n"), "HZ-GB-2312");
    assert_eq!(named(b"\x1B$)C\x0E0!3*\x0F text\n"), "ISO-2022-KR");
    assert_eq!(named(b"\x1B$)A\x0E=;;;\x1B*H\x1BNG(_P\x0F\n"), "ISO-2022-CN");
}

/// ASCII that looks like one of them in parts.
#[test]
fn what_speaks_of_a_charset_is_not_in_it() {
    for text in [
        "1 + 1 = 2, and C++ is no sum; call +49 170 1234567 or +foo+bar-baz",
        "UTF-7 writes + as +- and \u{f6} as +APY-.",
        "git log +refs/heads/*:refs/remotes/origin/* a+b c+d e+f",
        "(format nil \"~{~a~^, ~}\" list) and ~{~s~}",
        "this app can break",
        "Bush hid the facts",
        "1\t2\t3\t4\n5\t6\t7\t8\n",
        "a\nb\nc\nd\ne\n",
    ] {
        assert_eq!(read(text.as_bytes()).as_deref(), Ok(text));
    }
    assert_eq!(read(b"one\0two\0").as_deref(), Ok("onetwo"));
}

/// Each text, and each beginning of it, in every charset that can write it: it is read as it was before
/// UTF-16 was looked for.
#[test]
fn no_text_in_another_charset_is_taken_for_one_of_these() {
    let encodings: [&'static Encoding; 25] = [
        BIG5,
        EUC_JP,
        EUC_KR,
        GB18030,
        GBK,
        IBM866,
        ISO_8859_2,
        ISO_8859_5,
        ISO_8859_7,
        KOI8_R,
        KOI8_U,
        MACINTOSH,
        SHIFT_JIS,
        WINDOWS_874,
        WINDOWS_1250,
        WINDOWS_1251,
        WINDOWS_1252,
        WINDOWS_1253,
        WINDOWS_1254,
        WINDOWS_1255,
        WINDOWS_1256,
        WINDOWS_1257,
        WINDOWS_1258,
        X_MAC_CYRILLIC,
        encoding_rs::UTF_8,
    ];
    let mut tried = 0;
    for (language, text) in TEXTS {
        let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        for beginning in ends.map(|end| &text[..end]).filter(|text| !text.is_empty()) {
            for encoding in encodings {
                let (bytes, _, lost) = encoding.encode(beginning);
                if lost {
                    continue;
                }
                let guessed = match std::str::from_utf8(&bytes) {
                    Ok(text) => text.to_owned(),
                    Err(_) => {
                        let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
                        detector.feed(&bytes, true);
                        let guess = detector.guess(None, chardetng::Utf8Detection::Deny);
                        guess.decode_without_bom_handling(&bytes).0.into_owned()
                    }
                };
                assert_eq!(
                    read(&bytes).as_deref(),
                    Ok(guessed.as_str()),
                    "{language} in {}: {beginning}",
                    encoding.name()
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 5000, "{tried}");
}

/// Numbers of two or four bytes are no text.
#[test]
fn numbers_are_not_taken_for_text() {
    let tables: [Vec<u8>; 5] = [
        (0..500_u16).flat_map(u16::to_le_bytes).collect(),
        (0..500_u16).flat_map(|n| (n * 131).to_be_bytes()).collect(),
        (0..500_u32).flat_map(|n| (n * 7).to_le_bytes()).collect(),
        (0..500_u32).flat_map(|n| (n * 1_000_003).to_be_bytes()).collect(),
        (0..500_u32).flat_map(|n| (n as f32).to_le_bytes()).collect(),
    ];
    for (number, table) in tables.iter().enumerate() {
        assert!(
            matches!(read(table), Err(Error::Unsupported { .. })),
            "{number}: {:?}",
            read(table)
        );
    }
}
